// chancy::session: the calls inside your own transaction, on a libpq connection of yours.
//
//     PQexec(conn, "BEGIN");
//     PQexec(conn, "INSERT INTO orders …");
//     chancy::session(conn).push({.func = "order.confirm", .kwargs = {{"order", 17}}});
//     PQexec(conn, "COMMIT");                       // both, or neither
//
// The connection is borrowed: it must outlive the session, and is never opened, closed or reset here. Nothing
// is retried: only you can run your transaction again (chancy::error::retryable tells when to).
// Its client_encoding has to be UTF8. Threads: those of the connection, one at a time.
#pragma once

#include <chancy/calls.hpp>

struct pg_conn;
typedef struct pg_conn PGconn;

namespace chancy {

class session : public calls {
public:
    // timeout: for each call, 0 waits for ever. After it the connection is in the middle of an answer:
    // nothing but closing it helps, so the error says connection_lost.
    explicit session(PGconn* borrowed, std::chrono::milliseconds timeout = {}) noexcept
        : m_connection(borrowed), m_timeout(timeout) {}

protected:
    detail::result execute(const detail::statement& what) override;

private:
    PGconn* m_connection;
    std::chrono::milliseconds m_timeout;
};

}  // namespace chancy
