#include "database.hpp"

#include <libpq-fe.h>

#include <cstdlib>
#include <stdexcept>

namespace chancy::dashboard {
namespace {

// So many stay open while nobody asks.
constexpr std::size_t kept = 4;

// As a value of a keyword in a connection string.
std::string quoted(const std::string& value) {
    std::string out = "'";
    for (char c : value) {
        if (c == '\'' || c == '\\') out += '\\';
        out += c;
    }
    return out + '\'';
}

// As a word among command line options of the server.
std::string word(const std::string& value) {
    std::string out;
    for (char c : value) {
        if (c == ' ' || c == '\\' || c == '\t' || c == '\n') out += '\\';
        out += c;
    }
    return out;
}

}  // namespace

std::string with_settings(const std::string& conninfo, const std::string& settings) {
    std::string all = conninfo.find('=') == std::string::npos && conninfo.find("://") == std::string::npos && !conninfo.empty()
                          ? "dbname=" + quoted(conninfo)
                          : conninfo;
    char* problem = nullptr;
    PQconninfoOption* given = PQconninfoParse(all.c_str(), &problem);
    if (!given) {
        const std::string message = problem ? problem : "the connection string cannot be read";
        PQfreemem(problem);
        throw std::runtime_error(message);
    }
    const char* inherited = std::getenv("PGOPTIONS");
    std::string out, before = inherited ? inherited : "";
    bool waits = std::getenv("PGCONNECT_TIMEOUT") != nullptr;  // for so long as somebody said
    for (const PQconninfoOption* o = given; o->keyword; ++o) {
        if (!o->val) continue;
        waits |= std::string(o->keyword) == "connect_timeout";
        if (std::string(o->keyword) == "options") before = o->val;
        else out += std::string(o->keyword) + '=' + quoted(o->val) + ' ';
    }
    PQconninfoFree(given);
    return out + (waits ? "" : "connect_timeout=10 ") + "options=" + quoted(before + (before.empty() ? "" : " ") + settings);
}

PGconn* connect(const std::string& conninfo) {
    PGconn* made = PQconnectdb(conninfo.c_str());
    if (PQstatus(made) == CONNECTION_OK) return made;
    const std::string message = PQerrorMessage(made);
    PQfinish(made);
    throw database_error(message, "08001", "Is the database there, and may this role connect?");
}

connections::connections(const std::string& conninfo, const std::string& role, bool read_only, int seconds)
    : m_conninfo(with_settings(conninfo, "-c application_name=chancy_dashboard -c timezone=UTC -c lock_timeout=5s -c statement_timeout=" +
                                             std::to_string(seconds) + 's' + (role.empty() ? "" : " -c role=" + word(role)) +
                                             (read_only ? " -c default_transaction_read_only=on" : ""))) {}

connections::~connections() {
    for (PGconn* c : m_idle) PQfinish(c);
}

PGconn* connections::take() {
    {
        const std::lock_guard lock(m_mutex);
        if (!m_idle.empty()) {
            PGconn* last = m_idle.back();
            m_idle.pop_back();
            return last;
        }
    }
    return connect(m_conninfo);
}

void connections::give(PGconn* connection) {
    if (PQstatus(connection) == CONNECTION_OK) {
        const std::lock_guard lock(m_mutex);
        if (m_idle.size() < kept) return m_idle.push_back(connection);
    }
    PQfinish(connection);
}

std::optional<std::string> connections::ask(const std::string& statement, const std::vector<std::optional<std::string>>& parameters) {
    std::vector<const char*> values;
    for (const auto& p : parameters) values.push_back(p ? p->c_str() : nullptr);
    const auto run = [&](PGconn* on) {
        return PQexecParams(on, statement.c_str(), static_cast<int>(values.size()), nullptr, values.data(), nullptr, nullptr, 0);
    };
    PGconn* on = take();
    // One that idled may be gone since, with its server: then nothing has been done, and a new one does it.
    if (PGresult* probe = PQexec(on, ""); PQresultStatus(probe) != PGRES_EMPTY_QUERY) {
        PQclear(probe);
        PQfinish(on);
        on = connect(m_conninfo);
    } else {
        PQclear(probe);
    }
    PGresult* got = run(on);
    if (PQresultStatus(got) != PGRES_TUPLES_OK) {
        const auto field = [&](int which) { const char* text = PQresultErrorField(got, which); return std::string(text ? text : ""); };
        std::string message = field(PG_DIAG_MESSAGE_PRIMARY), state = field(PG_DIAG_SQLSTATE), hint = field(PG_DIAG_MESSAGE_HINT);
        if (state.empty()) state = "08006", message = PQerrorMessage(on);
        PQclear(got);
        give(on);
        throw database_error(message, state, hint);
    }
    std::optional<std::string> out;
    if (PQntuples(got) > 0 && !PQgetisnull(got, 0, 0)) out = std::string(PQgetvalue(got, 0, 0), static_cast<std::size_t>(PQgetlength(got, 0, 0)));
    PQclear(got);
    give(on);
    return out;
}

}  // namespace chancy::dashboard
