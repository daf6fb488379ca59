// The dashboard: one server for the HTTP API and the pages that use it. Everything goes through the SQL functions.
//
//     dashboard/dashboard.cpp   the server: addresses, headers, assets, its end
//     dashboard/access.cpp      who is it, and what may they do
//     dashboard/route.cpp       a request: checked, made, answered; every problem in one form
//     dashboard/read_routes.cpp, act_routes.cpp   what there is to ask for, and to do
//     dashboard/live.cpp        events as they come, and how deep queues were
//     dashboard/metrics.cpp     what Prometheus asks for
#pragma once

#include <string>
#include <vector>

namespace httplib {
class Server;
}

namespace chancy::dashboard {

struct options {
    std::string conninfo{};
    std::string address = "127.0.0.1";
    int port = 8017;                 // 0: any free one
    std::string users{};             // a file; empty: one user, admin, with a random password that is printed
    std::string reader{}, operators{}, admin{};  // database roles; empty: the one that the connection has
    std::string proxy{};             // the address of a reverse proxy whose headers are believed
    std::string user_header = "X-Remote-User", role_header{};  // without role_header the users' file decides
    std::string origin{};            // as browsers see the dashboard, behind a proxy: https://queue.example.com
    std::vector<std::string> hide{};  // rules: [func:]kwargs.card, result, errors, …
    std::string audit{};             // a file; empty: standard error
    int listeners = 16;              // browsers that hear events at once
};

// Serves until SIGTERM or SIGINT; the exit code. error if the database cannot be reached at the start.
int serve(const options& how);

}  // namespace chancy::dashboard
