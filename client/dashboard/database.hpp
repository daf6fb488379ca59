// Connections to the database, some for each role: a reader's are the reader role's, and read only.
// Threads: any.
#pragma once

#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

struct pg_conn;
typedef struct pg_conn PGconn;

namespace chancy::dashboard {

// What the server said, or why there is none.
struct database_error : std::runtime_error {
    database_error(const std::string& message, std::string state, std::string advice)
        : std::runtime_error(message), sqlstate(std::move(state)), hint(std::move(advice)) {}
    std::string sqlstate, hint;  // class 08: no server
};

// conninfo with more server settings ("-c name=value"): keywords, a URI or a database name, as libpq reads it.
[[nodiscard]] std::string with_settings(const std::string& conninfo, const std::string& settings);
// A connection, or database_error.
[[nodiscard]] PGconn* connect(const std::string& conninfo);

class connections {
public:
    // role: empty for the one that the connection has; seconds: for a statement
    connections(const std::string& conninfo, const std::string& role, bool read_only, int seconds = 30);
    ~connections();
    connections(const connections&) = delete;
    connections& operator=(const connections&) = delete;

    // One statement, a transaction of its own; the first column of its first row, nullopt: no row, or NULL.
    // Parameters are text or NULL. database_error
    [[nodiscard]] std::optional<std::string> ask(const std::string& statement, const std::vector<std::optional<std::string>>& parameters);
    [[nodiscard]] const std::string& conninfo() const { return m_conninfo; }

private:
    [[nodiscard]] PGconn* take();
    void give(PGconn* connection);

    std::string m_conninfo;
    std::mutex m_mutex;
    std::vector<PGconn*> m_idle;
};

}  // namespace chancy::dashboard
