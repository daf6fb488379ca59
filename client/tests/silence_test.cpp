// Servers that do not answer, or not what was hoped for.
#include "support.hpp"

#include <libpq-fe.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
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

private:
    int m_socket, m_port;
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
