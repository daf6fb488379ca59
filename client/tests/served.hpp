// The dashboard as a program, asked over HTTP.
#pragma once

#include "support.hpp"

#include <httplib.h>

#include <csignal>
#include <cstdio>

#include <sys/wait.h>
#include <unistd.h>

namespace test {

using chancy::json;

// chancy dashboard, until the end of the test.
class served {
public:
    explicit served(std::vector<std::string> more = {}) {
        int out[2], err[2];
        EXPECT_EQ(::pipe(out), 0);
        EXPECT_EQ(::pipe(err), 0);
        std::vector<std::string> words = {CHANCY_PROGRAM, "dashboard", "--port", "0"};
        words.insert(words.end(), more.begin(), more.end());
        m_pid = ::fork();
        if (m_pid == 0) {
            ::dup2(out[1], 1);
            ::dup2(err[1], 2);
            for (int fd : {out[0], out[1], err[0], err[1]}) ::close(fd);
            std::vector<char*> argv;
            for (auto& w : words) argv.push_back(w.data());
            argv.push_back(nullptr);
            ::execv(argv[0], argv.data());
            ::_exit(127);
        }
        ::close(out[1]);
        ::close(err[1]);
        m_err = err[0];
        FILE* lines = ::fdopen(out[0], "r");
        char line[400];
        while (std::fgets(line, sizeof line, lines)) {
            const std::string text = line;
            if (text.starts_with("Log in as admin")) password = text.substr(text.rfind(' ') + 1, text.size() - text.rfind(' ') - 2);
            if (text.starts_with("http://")) {
                port = std::stoi(text.substr(text.rfind(':') + 1));
                break;
            }
        }
        std::fclose(lines);
        EXPECT_GT(port, 0);
    }
    ~served() {
        if (m_pid > 0) (void)end();
    }
    // What it wrote to standard error: the audit.
    std::string end() {
        ::kill(m_pid, SIGTERM);
        std::string text;
        char some[4096];
        for (ssize_t n; (n = ::read(m_err, some, sizeof some)) > 0;) text.append(some, static_cast<std::size_t>(n));
        ::close(m_err);
        int status = 0;
        ::waitpid(m_pid, &status, 0);
        m_pid = 0;
        EXPECT_EQ(status, 0);
        return text;
    }
    httplib::Client client() const {
        httplib::Client c("127.0.0.1", port);
        c.set_read_timeout(60);
        return c;
    }
    httplib::Client as(const std::string& name, const std::string& secret) const {
        httplib::Client c = client();
        c.set_basic_auth(name, secret);
        return c;
    }
    httplib::Client admin() const { return as("admin", password); }
    int port = 0;
    std::string password;

private:
    pid_t m_pid = 0;
    int m_err = -1;
};

inline json body_of(const httplib::Result& r, int status = 200) {
    EXPECT_TRUE(r) << httplib::to_string(r.error());
    if (!r) return {};
    EXPECT_EQ(r->status, status) << r->body;
    return json::parse(r->body, nullptr, false);
}

inline json post(httplib::Client& on, const std::string& path, const json& body = json::object(), int status = 200) {
    return body_of(on.Post("/api/v1" + path, body.dump(), "application/json"), status);
}

inline json get(httplib::Client& on, const std::string& path, int status = 200) { return body_of(on.Get("/api/v1" + path), status); }

// As it would be at the end of its last attempt.
inline void fail_all(const std::string& queue, const std::string& error) {
    sql("SELECT chancy.heartbeat('tester', '{}', ARRAY['" + queue + "'])");
    sql("SELECT count(*) FROM chancy.fetch_jobs('" + queue + "', 'tester', 100)");
    sql("SELECT count(*) FROM chancy.apply_updates('tester', (SELECT jsonb_agg(jsonb_build_object('id', id, 'started_at', started_at, 'outcome', 'failed', 'error', E'" + error +
              "')) FROM chancy.jobs WHERE state = 'running'))");
}

}  // namespace test
