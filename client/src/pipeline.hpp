// What a pipeline needs beside blocking calls: to connect and to send without waiting, and errors as values.
#pragma once

#include <chancy/error.hpp>

#include "connection.hpp"
#include "statement.hpp"

struct pg_result;
typedef struct pg_result PGresult;

namespace chancy::detail {

// Hosts to try, where that is not for the conninfo to say: each a list with commas.
struct host_list {
    std::string host, hostaddr, port;
};

// Begins to connect, with the parameters of every connection of ours, and does not wait: PQconnectPoll goes on. Never throws;
// PQfinish it.
[[nodiscard]] PGconn* start_connection(const std::string& conninfo, std::chrono::milliseconds timeout, const host_list& hosts = {});
// What every connection of ours is set to, once it stands; false: out of memory.
[[nodiscard]] bool settle_connection(PGconn* connection);
[[nodiscard]] error connect_error(const std::string& message);
[[nodiscard]] bool alive(PGconn* connection) noexcept;  // as connection::alive()

// Only sends; false: libpq says why not. Error 22021 for text that no server takes. prepared: the name of a statement that the
// server has ready, instead of the text.
[[nodiscard]] bool send(PGconn* connection, const statement& what, const char* prepared = nullptr);
// What the server said when it refused, and that the connection is gone: as errors, in doubt if it is.
[[nodiscard]] error refusal(PGconn* connection, const PGresult* r, const char* function);
[[nodiscard]] error loss(PGconn* connection, const char* function);

}  // namespace chancy::detail
