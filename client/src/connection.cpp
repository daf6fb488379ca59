#include "connection.hpp"

#include <libpq-fe.h>

#include <cstdio>
#include <cstring>

#include <poll.h>

namespace chancy::detail {

std::string trimmed(const char* text) {
    std::string out = text ? text : "";
    while (!out.empty() && (out.back() == '\n' || out.back() == ' ')) out.pop_back();
    return out;
}

namespace {

// Warnings go to stderr, as libpq does it; but that the connection ends will be told by the next call.
void notice(void*, const PGresult* r) {
    const char* severity = PQresultErrorField(r, PG_DIAG_SEVERITY_NONLOCALIZED);
    if (!severity || std::strcmp(severity, "FATAL") != 0) std::fputs(PQresultErrorMessage(r), stderr);
}

}  // namespace

connection::connection(const std::string& conninfo, std::chrono::milliseconds timeout) {
    const std::string limit = std::to_string(std::chrono::ceil<std::chrono::seconds>(timeout).count());
    // What stands before dbname are defaults that the conninfo overrides; what follows it is fixed.
    // The TCP settings notice within half a minute that the peer has vanished.
    const char* const keywords[] = {"fallback_application_name", "connect_timeout", "keepalives_idle", "keepalives_interval",
                                    "keepalives_count", "tcp_user_timeout", "dbname", "client_encoding", nullptr};
    const char* const values[] = {"chancy", limit.c_str(), "15", "5", "3", "30000", conninfo.c_str(), "UTF8", nullptr};
    m_connection = PQconnectdbParams(keywords, values, 1);
    if (PQstatus(m_connection) == CONNECTION_OK && PQsetnonblocking(m_connection, 1) == 0) {
        PQsetNoticeReceiver(m_connection, notice, nullptr);
        return;
    }

    const std::string message = m_connection ? trimmed(PQerrorMessage(m_connection)) : "out of memory";
    PQfinish(m_connection);
    throw error(message, {.sqlstate = "08001", .function = "connect",
                          .hint = "The server is chosen by libpq's rules: a connection string, a service, or PG* variables.",
                          .connection_lost = true});
}

connection::~connection() { PQfinish(m_connection); }

bool connection::alive() const noexcept {
    if (PQstatus(m_connection) != CONNECTION_OK) return false;
    pollfd p{PQsocket(m_connection), POLLIN, 0};
    while (::poll(&p, 1, 0) > 0)  // something is there: the end of the connection, or a notice
        if (!PQconsumeInput(m_connection) || PQstatus(m_connection) != CONNECTION_OK) return false;
    return true;
}

}  // namespace chancy::detail
