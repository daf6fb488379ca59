#include "connection.hpp"
#include "pipeline.hpp"

#include <libpq-fe.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include <poll.h>

namespace chancy::detail {

std::string trimmed(const char* text) {
    std::string out = text ? text : "";
    while (!out.empty() && (out.back() == '\n' || out.back() == ' ')) out.pop_back();
    return out;
}

namespace {

// Warnings go to stderr, as libpq does it; but that the connection ends (class 57P) will be told by the next call.
void notice(void*, const PGresult* r) {
    const char* state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    if (!state || std::strncmp(state, "57P", 3) != 0) std::fputs(PQresultErrorMessage(r), stderr);
}

using clock = std::chrono::steady_clock;

// One option as this connection has it, whatever it came from.
std::string option(PGconn* of, const char* name) {
    const std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> all(PQconninfo(of), PQconninfoFree);
    for (const PQconninfoOption* o = all.get(); o && o->keyword; ++o)
        if (std::strcmp(o->keyword, name) == 0 && o->val) return o->val;
    return {};
}

std::vector<std::string> split(const std::string& list) {
    std::vector<std::string> out(1);
    for (const char c : list) c == ',' ? out.emplace_back() : out.back() += c;
    return out;
}

// The hosts of a connection string, and the one that is being tried.
class hosts {
public:
    explicit hosts(PGconn* of)
        : m_host(split(option(of, "host"))), m_address(split(option(of, "hostaddr"))), m_port(split(option(of, "port"))) {
        m_size = std::max(m_host.size(), m_address.size());
    }
    // Moves to the host that is tried now. libpq tries them in order.
    void follow(PGconn* of) {
        const char* host = PQhost(of);
        for (std::size_t i = m_at; i < m_size; ++i)
            if (of && host && (at(m_host, i) == host || at(m_address, i) == host) && at(m_port, i) == PQport(of)) {
                m_at = i;
                return;
            }
    }
    [[nodiscard]] bool more() const { return m_at + 1 < m_size; }
    // The lists without what has been tried.
    [[nodiscard]] host_list rest() const { return {join(m_host), join(m_address), join(m_port)}; }

private:
    static std::string at(const std::vector<std::string>& list, std::size_t i) { return list.size() == 1 ? list[0] : i < list.size() ? list[i] : ""; }
    [[nodiscard]] std::string join(const std::vector<std::string>& list) const {
        std::string out;
        if (list.size() > 1)
            for (std::size_t i = m_at + 1; i < list.size(); ++i) out += (i > m_at + 1 ? "," : "") + list[i];
        else
            out = list[0];
        return out;
    }

    std::vector<std::string> m_host, m_address, m_port;
    std::size_t m_size, m_at = 0;
};

// Goes on until it is connected or has failed; false: one address has taken longer than it may. libpq would count that by
// the wall clock, and wait for ever when it jumps back.
bool wait_until_open(PGconn* c, hosts& tried, std::chrono::milliseconds limit) {
    std::string address;
    auto deadline = clock::now() + limit;
    PostgresPollingStatusType want = PGRES_POLLING_WRITING;
    while (want != PGRES_POLLING_OK && want != PGRES_POLLING_FAILED) {
        tried.follow(c);
        if (std::string now = std::string(PQhost(c)) + ' ' + PQhostaddr(c) + ' ' + PQport(c); now != address) {
            address = std::move(now);
            deadline = clock::now() + limit;
        }
        int left = -1;
        if (limit.count() > 0) {
            const auto ms = std::chrono::ceil<std::chrono::milliseconds>(deadline - clock::now()).count();
            if (ms <= 0) return false;
            left = static_cast<int>(std::min<long long>(ms, 1'000'000));
        }
        pollfd p{PQsocket(c), static_cast<short>(want == PGRES_POLLING_READING ? POLLIN : POLLOUT), 0};
        if (::poll(&p, 1, left) != 0) want = PQconnectPoll(c);
    }
    return true;
}

}  // namespace

PGconn* start_connection(const std::string& conninfo, std::chrono::milliseconds timeout, const host_list& only) {
    const std::string limit = std::to_string(std::chrono::ceil<std::chrono::seconds>(timeout).count());
    // What stands before dbname are defaults that the conninfo overrides; what follows it is fixed, where it is not empty.
    // The TCP settings notice within half a minute that the peer has vanished.
    const char* const keywords[] = {"fallback_application_name", "connect_timeout", "keepalives_idle", "keepalives_interval",
                                    "keepalives_count", "tcp_user_timeout", "dbname", "client_encoding",
                                    "host", "hostaddr", "port", nullptr};
    const char* const values[] = {"chancy", limit.c_str(), "15", "5", "3", "30000", conninfo.c_str(), "UTF8",
                                  only.host.c_str(), only.hostaddr.c_str(), only.port.c_str(), nullptr};
    return PQconnectStartParams(keywords, values, 1);
}

bool settle_connection(PGconn* connection) {
    PQsetNoticeReceiver(connection, notice, nullptr);
    return PQsetnonblocking(connection, 1) == 0;
}

error connect_error(const std::string& message) {
    return error(message, {.sqlstate = "08001", .function = "connect",
                           .hint = "The server is chosen by libpq's rules: a connection string, a service, or PG* variables.",
                           .connection_lost = true});
}

connection::connection(const std::string& conninfo, std::chrono::milliseconds timeout) {
    const std::string limit = std::to_string(std::chrono::ceil<std::chrono::seconds>(timeout).count());
    host_list only;  // the hosts that are left
    std::string message;
    for (bool more = true; more;) {
        m_connection = start_connection(conninfo, timeout, only);
        if (!m_connection || PQstatus(m_connection) == CONNECTION_BAD) break;
        hosts tried(m_connection);
        const std::string own = option(m_connection, "connect_timeout");
        if (own != limit) timeout = std::chrono::seconds(std::max(0, std::atoi(own.c_str())));
        if (wait_until_open(m_connection, tried, timeout)) break;
        message += std::string("connection to server at \"") + PQhost(m_connection) + "\", port " + PQport(m_connection) + ": no answer in time\n";
        more = tried.more();
        only = tried.rest();
        PQfinish(std::exchange(m_connection, nullptr));
    }
    if (PQstatus(m_connection) == CONNECTION_OK && settle_connection(m_connection)) return;

    message = trimmed((message + (m_connection ? PQerrorMessage(m_connection) : message.empty() ? "out of memory" : "")).c_str());
    PQfinish(m_connection);
    throw connect_error(message);
}

connection::~connection() { PQfinish(m_connection); }

bool connection::alive() const noexcept { return detail::alive(m_connection); }

bool alive(PGconn* connection) noexcept {
    if (PQstatus(connection) != CONNECTION_OK) return false;
    pollfd p{PQsocket(connection), POLLIN, 0};
    while (::poll(&p, 1, 0) > 0)  // something is there: the end of the connection, or a notice
        if (!PQconsumeInput(connection) || PQstatus(connection) != CONNECTION_OK) return false;
    return true;
}

}  // namespace chancy::detail
