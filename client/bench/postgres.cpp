#include "postgres.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <poll.h>

namespace bench {

namespace {

[[noreturn]] void fail(PGconn* connection, const char* what) {
    std::fprintf(stderr, "chancy-bench: %s%s\n", PQerrorMessage(connection), what);
    std::exit(1);
}

std::vector<const char*> pointers(const std::vector<std::string>& texts) {
    std::vector<const char*> all;
    for (const std::string& text : texts) all.push_back(text.c_str());
    return all;
}

}  // namespace

connection::connection(const std::string& conninfo) : m_connection(PQconnectdb(conninfo.c_str())) {
    if (PQstatus(m_connection) != CONNECTION_OK) fail(m_connection, "");
    PQsetNoticeProcessor(m_connection, [](void*, const char*) {}, nullptr);
}

result connection::check(PGresult* r, const char* sql) {
    const ExecStatusType status = PQresultStatus(r);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && status != PGRES_COPY_IN) fail(m_connection, sql);
    return result(r);
}

result connection::run(const char* sql) { return check(PQexec(m_connection, sql), sql); }

result connection::run(const char* sql, const std::vector<std::string>& parameters) {
    return check(PQexecParams(m_connection, sql, static_cast<int>(parameters.size()), nullptr, pointers(parameters).data(), nullptr,
                              nullptr, 0), sql);
}

result connection::run(const chancy::detail::statement& made) {
    std::vector<const char*> values;
    std::vector<int> lengths, formats;
    for (const chancy::detail::parameter& p : made.parameters) {
        values.push_back(p ? p->data() : nullptr);
        lengths.push_back(p ? static_cast<int>(p->size()) : 0);
        formats.push_back(1);
    }
    return check(PQexecParams(m_connection, made.sql, static_cast<int>(values.size()), nullptr, values.data(), lengths.data(), formats.data(), 1), made.sql);
}

void connection::prepare(const char* name, const char* sql) { check(PQprepare(m_connection, name, sql, 0, nullptr), sql); }

result connection::run_prepared(const char* name, const std::vector<std::string>& parameters) {
    return check(PQexecPrepared(m_connection, name, static_cast<int>(parameters.size()), pointers(parameters).data(), nullptr, nullptr, 0),
                 name);
}

std::vector<result> connection::run_together(const std::vector<std::pair<const char*, std::vector<std::string>>>& statements) {
    PQenterPipelineMode(m_connection);
    for (const auto& [sql, parameters] : statements)
        PQsendQueryParams(m_connection, sql, static_cast<int>(parameters.size()), nullptr, pointers(parameters).data(), nullptr, nullptr, 0);
    PQpipelineSync(m_connection);
    std::vector<result> all;
    for (const auto& [sql, parameters] : statements) {
        all.push_back(check(PQgetResult(m_connection), sql));
        while (PGresult* r = PQgetResult(m_connection)) PQclear(r);
    }
    PQclear(PQgetResult(m_connection));  // of the sync
    PQexitPipelineMode(m_connection);
    return all;
}

void connection::copy(const char* sql, std::string_view data) {
    run(sql);
    if (PQputCopyData(m_connection, data.data(), static_cast<int>(data.size())) != 1 || PQputCopyEnd(m_connection, nullptr) != 1)
        fail(m_connection, sql);
    check(PQgetResult(m_connection), sql);
    while (PGresult* r = PQgetResult(m_connection)) PQclear(r);
}

std::string connection::value(const std::string& sql) {
    const result r = run(sql);
    if (PQntuples(r.get()) < 1) fail(m_connection, ("no row: " + sql).c_str());
    return PQgetvalue(r.get(), 0, 0);
}

void connection::await_notification() {
    for (;;) {
        PQconsumeInput(m_connection);
        if (PGnotify* note = PQnotifies(m_connection)) {
            PQfreemem(note);
            return;
        }
        pollfd ready{PQsocket(m_connection), POLLIN, 0};
        ::poll(&ready, 1, 10'000);
    }
}

}  // namespace bench
