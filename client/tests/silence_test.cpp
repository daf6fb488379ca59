// Servers that do not answer, or not what was hoped for.
#include "support.hpp"

#include <libpq-fe.h>

#include <atomic>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

using reconnect = test::db_test;
using namespace std::chrono_literals;

namespace {

// The kernel takes connections for it; nobody ever says a word.
class silent_server {
public:
    silent_server() : m_socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        EXPECT_EQ(::bind(m_socket, reinterpret_cast<sockaddr*>(&address), size), 0);
        EXPECT_EQ(::listen(m_socket, 10), 0);
        EXPECT_EQ(::getsockname(m_socket, reinterpret_cast<sockaddr*>(&address), &size), 0);
        m_port = ntohs(address.sin_port);
    }
    ~silent_server() { ::close(m_socket); }
    silent_server(const silent_server&) = delete;
    silent_server& operator=(const silent_server&) = delete;
    [[nodiscard]] std::string port() const { return std::to_string(m_port); }
    [[nodiscard]] int socket() const { return m_socket; }

private:
    int m_socket, m_port;
};

// Stands before the real server, and can keep what it answers to fetches.
class late_server {
public:
    explicit late_server(std::string path) : m_path(std::move(path)), m_thread([this] { serve(); }) {}
    ~late_server() {
        m_stop = true;
        m_thread.join();
        for (const auto& [client, server, fetches] : m_pairs) ::close(client), ::close(server);
    }
    late_server(const late_server&) = delete;
    late_server& operator=(const late_server&) = delete;
    [[nodiscard]] std::string port() const { return m_door.port(); }
    std::atomic<bool> keep{false};

private:
    struct pair {
        int client, server;
        bool fetches = false;
    };
    void serve() {
        while (!m_stop) {
            std::vector<pollfd> all{{m_door.socket(), POLLIN, 0}};
            for (const pair& p : m_pairs) all.insert(all.end(), {{p.client, POLLIN, 0}, {keep && p.fetches ? -1 : p.server, POLLIN, 0}});
            ::poll(all.data(), all.size(), 10);
            for (std::size_t i = 0; i < m_pairs.size(); i++) {
                if (all[1 + 2 * i].revents != 0 && pass(m_pairs[i].client, m_pairs[i].server).find("chancy.exchange") != std::string::npos) m_pairs[i].fetches = true;
                if (all[2 + 2 * i].revents != 0) pass(m_pairs[i].server, m_pairs[i].client);
            }
            if (all[0].revents == 0) continue;
            sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
            m_path.copy(address.sun_path, sizeof address.sun_path - 1);
            const int server = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
            EXPECT_EQ(::connect(server, reinterpret_cast<sockaddr*>(&address), sizeof address), 0) << m_path;
            m_pairs.push_back({::accept4(m_door.socket(), nullptr, nullptr, SOCK_CLOEXEC), server});
        }
    }
    static std::string pass(int from, int to) {
        std::string text(65536, '\0');
        const auto got = ::read(from, text.data(), text.size());
        text.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
        if (text.empty()) ::shutdown(from, SHUT_RDWR), ::shutdown(to, SHUT_RDWR);
        for (std::size_t sent = 0; sent < text.size();) {
            const auto more = ::send(to, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
            if (more <= 0) break;
            sent += static_cast<std::size_t>(more);
        }
        return text;
    }
    const silent_server m_door;
    const std::string m_path;
    std::vector<pair> m_pairs;
    std::atomic<bool> m_stop{false};
    std::thread m_thread;
};

}  // namespace

TEST_F(reconnect, a_host_that_never_answers_is_passed_by) {
    const silent_server first, second;
    const std::string host = PQhost(db.connection()), port = PQport(db.connection());
    chancy::client far("host=127.0.0.1,localhost," + host + " port=" + first.port() + ',' + second.port() + ',' + port, {.connect_timeout = 100ms});
    EXPECT_EQ(PQhost(far.connection()), host);
    EXPECT_EQ(far.list_jobs().size(), 0u);
}

TEST_F(reconnect, connecting_ends_where_nobody_answers) {
    const silent_server only;
    try {
        chancy::client far("host=127.0.0.1 port=" + only.port(), {.connect_timeout = 100ms});
        ADD_FAILURE() << "connected to whom?";
    } catch (const chancy::error& e) {
        EXPECT_TRUE(e.connection_lost());
        EXPECT_NE(std::string(e.what()).find("port " + only.port() + ": no answer in time"), std::string::npos) << e.what();
    }
}

TEST_F(reconnect, the_timeout_holds_in_a_transaction_too) {
    chancy::client hasty("", {.timeout = 200ms});
    {
        const test::holder lock("LOCK TABLE chancy.queues IN ACCESS EXCLUSIVE MODE");
        chancy::transaction tx(hasty);
        try {
            (void)tx.list_queues();
            ADD_FAILURE() << "read a locked table";
        } catch (const chancy::error& e) {
            EXPECT_TRUE(e.connection_lost());
            EXPECT_FALSE(e.in_doubt());  // without a COMMIT nothing happened
        }
    }
    EXPECT_EQ(hasty.list_queues().size(), 1u);  // on a new connection
}

TEST_F(reconnect, a_server_that_is_read_only_is_left) {
    PQclear(PQexec(db.connection(), "SET default_transaction_read_only = on"));
    const int before = PQbackendPID(db.connection());
    EXPECT_NO_THROW(db.push({.func = "a"}));
    EXPECT_NE(PQbackendPID(db.connection()), before);
}

TEST_F(reconnect, a_cancel_that_is_heard_before_the_job_is_there_counts) {
    late_server between(std::string(PQhost(db.connection())) + "/.s.PGSQL." + PQport(db.connection()));
    chancy::worker w({.conninfo = "host=127.0.0.1 sslmode=disable port=" + between.port(), .poll_interval = 1h, .heartbeat_interval = 8h,
                      .heartbeat_timeout = 24h, .log = [](chancy::log_level, const std::string&) {}});
    std::atomic<bool> began = false, asked = false;
    w.on("first", [](chancy::job_context&) {});
    w.on("a", [&](chancy::job_context& job) {
        began = true;
        asked = test::eventually([&] { return job.stop_token().stop_requested(); });
    });
    const test::running on(w);
    ASSERT_TRUE(test::eventually([&] { return w.ready(); }));
    ASSERT_TRUE(reaches(db.push({.func = "first"}), chancy::job_state::succeeded));  // it is known by now which connection fetches
    between.keep = true;
    const auto id = db.push({.func = "a"});
    ASSERT_TRUE(reaches(id, chancy::job_state::running));
    EXPECT_TRUE(db.cancel_job(id));
    std::this_thread::sleep_for(300ms);  // it is heard
    EXPECT_FALSE(began);
    between.keep = false;
    EXPECT_TRUE(test::eventually([&] { return asked.load(); }));
}
