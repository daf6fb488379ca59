#include "connection.hpp"

#include <libpq-fe.h>

#include <chrono>
#include <stdexcept>

namespace adversary {

connection::connection(const std::string& parameters) : m_connection(PQconnectdb(parameters.c_str())) {
    if (PQstatus(m_connection) == CONNECTION_OK) {
        PQsetNoticeProcessor(m_connection, [](void*, const char*) {}, nullptr);
        return;
    }
    std::string message = PQerrorMessage(m_connection);
    PQfinish(m_connection);
    throw std::runtime_error("could not connect: " + message);
}

connection::~connection() { PQfinish(m_connection); }

int connection::pid() const { return PQbackendPID(m_connection); }

namespace {

std::string field(const PGresult* result, int code, const char* label) {
    const char* text = PQresultErrorField(result, code);
    return text == nullptr ? "" : std::string(label) + text;
}

void read_rows(const PGresult* result, answer& a) {
    a.rows.clear();
    for (int row = 0; row < PQntuples(result); row++) {
        auto& values = a.rows.emplace_back();
        for (int column = 0; column < PQnfields(result); column++) values.emplace_back(PQgetvalue(result, row, column));
    }
}

}  // namespace

answer connection::run(const std::string& sql, bool extended) {
    auto start = std::chrono::steady_clock::now();
    answer a;
    PGresult* result = extended ? PQexecParams(m_connection, sql.c_str(), 0, nullptr, nullptr, nullptr, nullptr, 0)
                                : PQexec(m_connection, sql.c_str());
    ExecStatusType status = PQresultStatus(result);
    a.ok = status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK;
    if (a.ok) {
        read_rows(result, a);
    } else {
        a.sqlstate = field(result, PG_DIAG_SQLSTATE, "");
        a.message = field(result, PG_DIAG_MESSAGE_PRIMARY, "") + field(result, PG_DIAG_MESSAGE_DETAIL, "\n  DETAIL ") +
                    field(result, PG_DIAG_CONTEXT, "\n  CONTEXT ");
        if (a.message.empty()) a.message = PQerrorMessage(m_connection);
    }
    PQclear(result);
    a.lost = PQstatus(m_connection) == CONNECTION_BAD;
    while (PGnotify* n = PQnotifies(m_connection)) PQfreemem(n);
    a.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return a;
}

answer connection::need(const std::string& sql) {
    answer a = run(sql);
    if (!a.ok) throw std::runtime_error(a.sqlstate + " " + a.message + "\nin: " + sql);
    return a;
}

}  // namespace adversary
