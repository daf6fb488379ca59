// A connection and what a statement on it gave. One thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

struct pg_conn;

namespace adversary {

struct answer {
    bool ok = false;
    bool lost = false;                           // the connection is gone
    std::string sqlstate, message;               // of an error; message with DETAIL and CONTEXT
    std::vector<std::vector<std::string>> rows;  // NULL is the empty string
    double seconds = 0;
};

class connection {
public:
    // parameters: a libpq connection string that adds to PG*; throws std::runtime_error.
    explicit connection(const std::string& parameters);
    ~connection();

    connection(const connection&) = delete;
    connection& operator=(const connection&) = delete;

    // One or more statements in one simple query; or one in the extended protocol, which commits later, at its Sync.
    answer run(const std::string& sql, bool extended = false);
    // As run, and throws std::runtime_error on an error.
    answer need(const std::string& sql);

    int pid() const;

private:
    pg_conn* m_connection;
};

}  // namespace adversary
