// chancy::client: a connection of its own, and every call on it as a transaction of its own.
//
//     chancy::client db;                                    // PGHOST, PGDATABASE, … as psql reads them
//     auto id = db.push({.func = "mail.send", .unique_key = "mail:17"});
//
//     chancy::transaction tx(db);                           // several calls, one commit
//     tx.push({.func = "a"});
//     tx.push({.func = "b"});
//     tx.commit();                                          // without it: rolled back
//
// A call is run again after a deadlock (40P01) or serialization failure (40001), a lack of disk, memory or connections
// (class 53), on a new connection after meeting a standby (25006), and after a lost connection if running it twice does no harm: looking, declaring, a push with a unique_key, results (fenced: a repeated one
// may be told as "stale"). Any other call whose connection is lost in mid-flight is reported with in_doubt().
// Keeps no session state but prepared statements, and does without those where the server has lost them: PgBouncer in
// transaction mode will do.
// Threads: one at a time. Give each thread a client.
#pragma once

#include <chancy/calls.hpp>
#include <chancy/error.hpp>
#include <chancy/retry.hpp>

#include <memory>
#include <string>

struct pg_conn;
typedef struct pg_conn PGconn;

namespace chancy {

struct client_options {
    retry_policy retry{};
    std::chrono::milliseconds timeout{0};             // for each try of a call, 0 waits for ever (as TCP does: see docs/reliability.md)
    std::chrono::milliseconds connect_timeout{10'000};  // for each address; connect_timeout in the conninfo wins
};

class client : public calls {
public:
    // conninfo by libpq's rules: keywords, a URI, a database name, or empty for the PG* variables.
    // Connects at once; error (connection_lost) if it cannot.
    explicit client(const std::string& conninfo = "", client_options options = {});
    client(client&&) noexcept;
    client& operator=(client&&) noexcept;
    ~client() override;

    // The connection underneath, for statements of your own; another one after a reconnect.
    [[nodiscard]] PGconn* connection();

protected:
    detail::result execute(const detail::statement& what) override;

private:
    friend class transaction;
    struct state;
    std::unique_ptr<state> m_state;
};

class transaction : public calls {
public:
    explicit transaction(client& on);  // BEGIN; leave the client itself alone until the end. Its timeout holds here too
    ~transaction() override;           // rolls back what is not committed
    transaction(const transaction&) = delete;
    transaction& operator=(const transaction&) = delete;

    // error in_doubt() if the connection is lost before the answer to COMMIT
    void commit();
    void rollback() noexcept;
    // For statements of your own in the same transaction.
    [[nodiscard]] PGconn* connection() const noexcept { return m_connection; }

protected:
    detail::result execute(const detail::statement& what) override;

private:
    client::state* m_state;
    PGconn* m_connection;
    bool m_open = true;
    bool m_lost = false;  // the connection is of no use any more
};

}  // namespace chancy
