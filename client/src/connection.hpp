// A libpq connection that is ours.
#pragma once

#include <chancy/error.hpp>

#include <chrono>
#include <string>

struct pg_conn;
typedef struct pg_conn PGconn;

namespace chancy::detail {

class connection {
public:
    // error if it cannot connect. timeout: for each address; hosts that do not answer in it are passed by.
    connection(const std::string& conninfo, std::chrono::milliseconds timeout);
    connection(connection&& other) noexcept : m_connection(other.m_connection) { other.m_connection = nullptr; }
    connection& operator=(connection&&) = delete;
    ~connection();

    [[nodiscard]] PGconn* get() const noexcept { return m_connection; }
    // Has the server hung up while nobody looked? Asked before a call, so that a call is not put in doubt by a
    // connection that died long ago.
    [[nodiscard]] bool alive() const noexcept;

private:
    PGconn* m_connection;
};

[[nodiscard]] std::string trimmed(const char* text);

}  // namespace chancy::detail
