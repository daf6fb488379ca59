// What the command line does on a terminal: chancy top, and the bar of push --file.
#include "support.hpp"

#include <csignal>
#include <filesystem>
#include <fstream>

#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace std::chrono_literals;

namespace {

// A program on a terminal of its own.
class on_terminal {
public:
    on_terminal(std::vector<std::string> arguments, unsigned short rows, unsigned short columns) {
        winsize size{rows, columns, 0, 0};
        m_pid = ::forkpty(&m_terminal, nullptr, nullptr, &size);
        if (m_pid < 0) throw std::runtime_error("no terminal");  // kill(-1) would be everybody's
        if (m_pid == 0) {
            std::vector<char*> argv;
            for (std::string& a : arguments) argv.push_back(a.data());
            argv.push_back(nullptr);
            ::execv(CHANCY_PROGRAM, argv.data());
            ::_exit(127);
        }
    }
    ~on_terminal() {
        ::kill(m_pid, SIGKILL);
        if (!m_ended) ::waitpid(m_pid, nullptr, 0);
        ::close(m_terminal);
    }
    // Reads until this comes; the output so far is forgotten with it.
    bool shows(const std::string& text) {
        const bool came = test::eventually([&] {
            read();
            return m_output.find(text) != std::string::npos;
        });
        EXPECT_TRUE(came) << text << " in\n" << m_output;
        if (came) m_output.erase(0, m_output.find(text) + text.size());
        return came;
    }
    // The next frame that begins from now on, as lines without escape sequences.
    std::vector<std::string> frame() {
        std::string bytes;
        (void)test::eventually([&] {
            read();
            const auto begin = m_output.find("\033[?2026h"), end = m_output.find("\033[?2026l", begin);
            if (end == std::string::npos) return false;
            bytes = m_output.substr(begin, end - begin);
            m_output.erase(0, end);
            return true;
        });
        std::vector<std::string> lines(1);
        for (std::size_t i = 0; i < bytes.size(); ++i) {
            if (bytes[i] == '\033') i = bytes.find_first_of("hlmKHJ", i);
            else if (bytes[i] == '\n') lines.emplace_back();
            else if (bytes[i] != '\r') lines.back() += bytes[i];
        }
        return lines;
    }
    void forget() { m_output.clear(); }
    void type(const std::string& keys) { EXPECT_EQ(::write(m_terminal, keys.data(), keys.size()), static_cast<ssize_t>(keys.size())); }
    void resize(unsigned short rows, unsigned short columns) {
        winsize size{rows, columns, 0, 0};
        ::ioctl(m_terminal, TIOCSWINSZ, &size);
    }
    void kill(int signal) const { ::kill(m_pid, signal); }
    int exit_code() {
        int status = 0;
        (void)test::eventually([&] {  // whoever ends writes first
            read();
            return ::waitpid(m_pid, &status, WNOHANG) == m_pid;
        });
        m_ended = true;
        read();
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }
    [[nodiscard]] const std::string& output() const { return m_output; }

private:
    void read() {
        pollfd p{m_terminal, POLLIN, 0};
        char bytes[65536];
        while (::poll(&p, 1, 0) > 0) {
            const ssize_t n = ::read(m_terminal, bytes, sizeof bytes);
            if (n <= 0) return;
            m_output.append(bytes, static_cast<std::size_t>(n));
        }
    }

    int m_terminal = -1;
    pid_t m_pid = -1;
    bool m_ended = false;
    std::string m_output;
};

class top : public test::db_test {};

std::size_t characters(const std::string& text) {
    return static_cast<std::size_t>(std::ranges::count_if(text, [](unsigned char c) { return (c & 0xc0) != 0x80; }));
}

}  // namespace

TEST_F(top, draws_resizes_and_quits) {
    db.declare_queue({.name = "mail"});
    db.push({.func = "a", .queue = "mail"});
    db.push({.func = "a", .queue = "evil\033[2J\tqueue"});
    on_terminal t({"chancy", "top", "--interval", "100ms"}, 24, 100);
    ASSERT_TRUE(t.shows("mail"));
    auto lines = t.frame();
    EXPECT_EQ(lines.size(), 24u);
    EXPECT_EQ(lines.at(0).rfind("chancy top", 0), 0u) << lines.at(0);
    EXPECT_EQ(lines.at(23).rfind("q quit", 0), 0u) << lines.at(23);
    EXPECT_TRUE(std::ranges::any_of(lines, [](const std::string& l) { return l.rfind("evil [2J queue", 0) == 0; }));
    t.resize(10, 40);
    EXPECT_TRUE(test::eventually([&] { return t.frame().size() == 10; }));
    lines = t.frame();
    for (const std::string& l : lines) EXPECT_LE(characters(l), 40u) << l;
    EXPECT_EQ(lines.back().rfind("q quit", 0), 0u) << lines.back();
    t.type("q");
    EXPECT_EQ(t.exit_code(), 0);
    EXPECT_NE(t.output().find("\033[?25h\033[?1049l"), std::string::npos);  // the terminal is as it was
}

TEST_F(top, pauses_and_resumes_the_chosen_queue_after_a_question) {
    db.declare_queue({.name = "mail"});
    const auto state = [] { return test::sql("SELECT state FROM chancy.queues WHERE name = 'mail'").at(0); };
    on_terminal t({"chancy", "top", "--interval", "1h"}, 24, 100);
    ASSERT_TRUE(t.shows("mail"));
    t.type("j");  // default, mail
    t.type("p");
    ASSERT_TRUE(t.shows("pause mail?"));
    t.type("n");
    ASSERT_TRUE(t.shows("q quit"));
    EXPECT_EQ(state(), "active");
    t.type("p");
    ASSERT_TRUE(t.shows("pause mail?"));
    t.type("y");
    ASSERT_TRUE(t.shows("paused"));
    EXPECT_EQ(state(), "paused");
    t.type("p");
    ASSERT_TRUE(t.shows("resume mail?"));
    t.type("y");
    EXPECT_TRUE(test::eventually([&] { return state() == "active"; }));
    t.kill(SIGTERM);
    EXPECT_EQ(t.exit_code(), 0);
    EXPECT_NE(t.output().find("\033[?1049l"), std::string::npos);
}

TEST_F(top, goes_on_when_the_server_comes_back) {
    on_terminal t({"chancy", "-d", "application_name=top", "top", "--interval", "100ms"}, 24, 100);
    ASSERT_TRUE(t.shows("default"));
    test::sql("ALTER DATABASE " + test::database() + " ALLOW_CONNECTIONS false", "postgres");
    test::sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'top'", "postgres");
    EXPECT_TRUE(t.shows("trying again"));
    test::sql("ALTER DATABASE " + test::database() + " ALLOW_CONNECTIONS true", "postgres");
    EXPECT_TRUE(t.shows("q quit"));
    t.type("q");
    EXPECT_EQ(t.exit_code(), 0);
}

TEST_F(top, once_and_as_json) {
    const auto j = claim({.func = "page.fetch"});
    db.apply_updates("tester", {{{.id = j.id, .started_at = *j.started_at, .how = chancy::outcome::discarded, .error = "Traceback\n  gone\nNotFound: 404\n"}}});
    db.push({.func = "a"});
    const auto plain = test::shell(CHANCY_PROGRAM " top --once");
    EXPECT_EQ(plain.code, 0) << plain.err;
    EXPECT_NE(plain.out.find("NotFound: 404"), std::string::npos) << plain.out;
    const auto r = test::shell(CHANCY_PROGRAM " top --once --json");
    EXPECT_EQ(r.code, 0) << r.err;
    const auto all = chancy::json::parse(r.out);
    EXPECT_EQ(all.at("queues").at(0).at("queue"), "default");
    EXPECT_EQ(all.at("queues").at(0).at("pending"), 1);
    EXPECT_EQ(all.at("errors").at(0).at("func"), "page.fetch");
    EXPECT_EQ(all.at("errors").at(0).at("error"), "NotFound: 404");
    EXPECT_EQ(test::shell(CHANCY_PROGRAM " top --interval 1ms").code, 2);
    EXPECT_EQ(test::shell(CHANCY_PROGRAM " -d host=/nonexistent top").code, 1);
}

// The last failures are looked for in bounded time: a history without any does not hold top up.
TEST_F(top, a_long_history_is_not_walked) {
    test::sql("INSERT INTO chancy.jobs (id, queue, func, state) SELECT gen_random_uuid(), 'default', 'a', 'succeeded' FROM generate_series(1, 3000)");
    const auto r = test::shell(CHANCY_PROGRAM " top --once --json");
    EXPECT_EQ(r.code, 0) << r.err;
    EXPECT_EQ(chancy::json::parse(r.out).at("queues").at(0).at("pending"), 0);
}

TEST_F(top, push_from_a_file_shows_a_bar) {
    const std::string file = std::filesystem::temp_directory_path() / ("chancy_bar." + std::to_string(::getpid()));
    {
        std::ofstream out(file);
        for (int i = 0; i < 2500; ++i) out << R"({"func": "a", "kwargs": {"i": )" << i << "}}\n";
    }
    on_terminal t({"chancy", "push", "--file", file}, 24, 100);
    EXPECT_TRUE(t.shows("[####"));
    EXPECT_TRUE(t.shows("] 100 %  2500 jobs"));
    EXPECT_TRUE(t.shows("\r\033[K2500 jobs pushed"));
    EXPECT_EQ(t.exit_code(), 0);
    std::filesystem::remove(file);
    EXPECT_EQ(test::sql("SELECT count(*) FROM chancy.jobs").at(0), "2500");
}
