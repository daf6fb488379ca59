// chancy dashboard: the HTTP API and the pages, served.
#include "dashboard.hpp"

#include "../dashboard/access.hpp"
#include "../dashboard/dashboard.hpp"

#include <iostream>

namespace chancy::cli {

void add_dashboard(CLI::App& app, context& with) {
    auto o = std::make_shared<dashboard::options>();
    CLI::App* command = app.add_subcommand("dashboard", "Serve the dashboard and the HTTP API");
    command->add_option("--address", o->address, "Where to listen")->capture_default_str();
    command->add_option("--port", o->port, "0: any free one")->capture_default_str()->check(CLI::Range(0, 65535));
    command->add_option("--users", o->users, "File of users, lines name:role:hash; made, with a user admin, if it is not there. Without it: a user admin, a new password each time");
    command->add_option("--reader-role", o->reader, "Database role for looking (grant_reader)");
    command->add_option("--operator-role", o->operators, "Database role for operators (grant_admin)");
    command->add_option("--admin-role", o->admin, "Database role for admins (grant_admin)");
    command->add_option("--proxy", o->proxy, "Address of a reverse proxy whose headers tell who it is");
    command->add_option("--user-header", o->user_header, "The proxy's header with the user")->capture_default_str();
    command->add_option("--role-header", o->role_header, "The proxy's header with the role: reader, operator or admin; without it the users' file decides, else a reader");
    command->add_option("--origin", o->origin, "How browsers see the dashboard behind a proxy: https://queue.example.com");
    command->add_option("--hide", o->hide, "Hide from all but admins: [func:]kwargs.card, result, errors, …");
    command->add_option("--audit", o->audit, "File for a line of JSON about every action; without it standard error");
    command->add_option("--listeners", o->listeners, "Browsers that hear events at once")->capture_default_str()->check(CLI::Range(1, 1000));
    command->footer("Example:\n  chancy -d 'host=db dbname=app' dashboard --users /etc/chancy/users");
    command->callback([o, &with] {
        with.command = [o, &with] {
            o->conninfo = with.conninfo;
            return dashboard::serve(*o);
        };
    });

    struct user {
        std::string name, role = "reader";
    };
    auto u = std::make_shared<user>();
    CLI::App* line = app.add_subcommand("dashboard-user", "Print the line of a user for --users; reads the password from standard input");
    line->add_option("name", u->name, "The name")->required();
    line->add_option("--role", u->role, "reader, operator or admin")->capture_default_str()->check(CLI::IsMember({"reader", "operator", "admin"}));
    line->footer("Example:\n  chancy dashboard-user ann --role operator < password >> /etc/chancy/users");
    line->callback([u, &with] {
        with.command = [u] {
            std::string password;
            if (!std::getline(std::cin, password) || password.empty()) throw std::runtime_error("no password on standard input");
            std::cout << dashboard::user_line(u->name, *dashboard::read_role(u->role), password) << '\n';
            return ok;
        };
    });
}

}  // namespace chancy::cli
