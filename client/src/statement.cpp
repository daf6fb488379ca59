#include "statement.hpp"

#include "connection.hpp"
#include "pipeline.hpp"

#include <libpq-fe.h>

#include <cerrno>
#include <poll.h>

namespace chancy::detail {
namespace {

using clock = std::chrono::steady_clock;

std::string field(const PGresult* r, int code) {
    const char* text = PQresultErrorField(r, code);
    return text ? text : "";
}

// What to do about it, where the server's own words leave a newcomer alone.
std::string advice(const std::string& state, const std::string& message) {
    const bool ours = message.find("chancy") != std::string::npos;
    if (ours && (state == "3F000" || state == "42883" || state == "42P01"))
        return "Is the extension installed in this database? CREATE EXTENSION chancy;";
    if (ours && state == "42501")
        return "An administrator can grant it: chancy.grant_producer, chancy.grant_worker, chancy.grant_admin.";
    if (state == "25006") return "Is it a standby? Name all hosts in the connection string, with target_session_attrs=read-write.";
    return {};
}

// Waits until the socket can be read (or written, when asked); false: the deadline has passed.
bool wait_socket(PGconn* connection, bool write, std::optional<clock::time_point> deadline) {
    for (;;) {
        int left = -1;
        if (deadline) {
            const auto ms = std::chrono::ceil<std::chrono::milliseconds>(*deadline - clock::now()).count();
            if (ms <= 0) return false;
            left = static_cast<int>(std::min<long long>(ms, 1'000'000));
        }
        pollfd p{PQsocket(connection), static_cast<short>(POLLIN | (write ? POLLOUT : 0)), 0};
        const int n = ::poll(&p, 1, left);
        if (n > 0) return true;
        if (n < 0 && errno != EINTR) return true;  // libpq will tell what is wrong with the socket
    }
}

}  // namespace

error loss(PGconn* connection, const char* function) {
    std::string message = trimmed(PQerrorMessage(connection));
    if (message.empty()) message = "the connection to the server was lost";
    return error(message, {.sqlstate = "08006", .function = function, .connection_lost = true, .in_doubt = true});
}

error refusal(PGconn* connection, const PGresult* r, const char* function) {
    error::properties p{.sqlstate = field(r, PG_DIAG_SQLSTATE), .function = function,
                        .detail = field(r, PG_DIAG_MESSAGE_DETAIL), .hint = field(r, PG_DIAG_MESSAGE_HINT)};
    std::string message = field(r, PG_DIAG_MESSAGE_PRIMARY);
    if (message.empty()) message = trimmed(PQresultErrorMessage(r));
    if (PQstatus(connection) == CONNECTION_BAD) {
        p.connection_lost = p.in_doubt = true;
        if (p.sqlstate.empty()) p.sqlstate = "08006";
    }
    if (p.hint.empty()) p.hint = advice(p.sqlstate, message);
    return error(message, std::move(p));
}

bool send(PGconn* connection, const statement& what, const char* prepared) {
    std::vector<const char*> values;
    values.reserve(what.parameters.size());
    std::vector<int> lengths;
    for (const parameter& p : what.parameters) {
        if (p && !what.binary && p->find('\0') != std::string::npos)
            throw error("text for PostgreSQL cannot hold a NUL character",
                        {.sqlstate = "22021", .function = what.function, .hint = "Remove it, or encode the value."});
        values.push_back(p ? p->c_str() : nullptr);
        lengths.push_back(p ? static_cast<int>(p->size()) : 0);
    }
    const std::vector<int> formats(values.size(), what.binary);
    const int count = static_cast<int>(values.size());
    return (prepared ? PQsendQueryPrepared(connection, prepared, count, values.data(), lengths.data(), formats.data(), 1)
                     : PQsendQueryParams(connection, what.sql, count, nullptr, values.data(), lengths.data(), formats.data(), 1)) != 0;
}

result receive(PGconn* connection, bool sent, const char* function, std::optional<clock::time_point> deadline) {
    if (!sent) {
        if (PQstatus(connection) == CONNECTION_BAD) throw loss(connection, function);
        throw error(trimmed(PQerrorMessage(connection)), {.sqlstate = "55000", .function = function});
    }
    std::unique_ptr<PGresult, decltype(&PQclear)> last(nullptr, PQclear);
    for (bool unsent = true;;) {
        if (unsent) unsent = PQflush(connection) > 0;
        while (unsent || PQisBusy(connection)) {
            if (!wait_socket(connection, unsent, deadline))
                throw error("no answer from the server in time", {.sqlstate = "08006", .function = function,
                                                                  .connection_lost = true, .in_doubt = true});
            if (!PQconsumeInput(connection)) throw loss(connection, function);
            if (unsent) unsent = PQflush(connection) > 0;
        }
        PGresult* next = PQgetResult(connection);
        if (!next) break;
        // The first error stays: what follows it only says that the connection is gone.
        if (!last || PQresultStatus(last.get()) == PGRES_TUPLES_OK || PQresultStatus(last.get()) == PGRES_COMMAND_OK)
            last.reset(next);
        else
            PQclear(next);
    }
    if (!last) throw loss(connection, function);
    const ExecStatusType status = PQresultStatus(last.get());
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) throw refusal(connection, last.get(), function);
    return result(last.release());
}

std::optional<clock::time_point> deadline_in(std::chrono::milliseconds timeout) {
    return timeout.count() > 0 ? std::optional(clock::now() + timeout) : std::nullopt;
}

result run(PGconn* connection, const statement& what, std::chrono::milliseconds timeout) {
    const auto deadline = deadline_in(timeout);
    return receive(connection, send(connection, what), what.function, deadline);
}

std::string dump(const json& value) {
    try {
        return value.dump();
    } catch (const json::exception&) {
        throw error("a string in the JSON value is not UTF-8", {.sqlstate = "22021", .function = "json"});
    }
}

std::string array(std::span<const uuid> ids) {
    std::string out = "{";
    for (const uuid& id : ids) {
        if (out.size() > 1) out += ',';
        out += id.to_string();
    }
    return out + '}';
}

std::string array(std::span<const std::string> texts) {
    std::string out = "{";
    for (const std::string& t : texts) {
        if (out.size() > 1) out += ',';
        out += '"';
        for (char c : t) {
            if (c == '"' || c == '\\') out += '\\';
            out += c;
        }
        out += '"';
    }
    return out + '}';
}

std::string seconds(std::chrono::milliseconds span) {
    const std::string ms = std::to_string(span.count() % 1000);
    return std::to_string(span.count() / 1000) + '.' + std::string(3 - std::min<std::size_t>(3, ms.size()), '0') + ms;
}

}  // namespace chancy::detail
