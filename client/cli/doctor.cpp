// chancy doctor: what chancy.check_installation() finds, and what only a client can see: its own version and clock, and that
// there is nothing to ask.
#include "cli.hpp"

#include <iostream>

namespace chancy::cli {
namespace {

constexpr std::chrono::seconds clock_tolerance{2};

// What stands in the way of asking, as a finding; nothing if it is no such thing.
std::optional<finding> obstacle(const error& e) {
    if (e.connection_lost()) return finding{"connection", "error", e.what(), "Check host, port, database, password and pg_hba.conf; is the server up?"};
    if (e.sqlstate() == "3F000" || e.sqlstate() == "42883")
        return finding{"version", "error", std::string(e.what()), "CREATE EXTENSION chancy; or, if it is an older one, ALTER EXTENSION chancy UPDATE."};
    if (e.sqlstate() == "42501") return finding{"grants", "error", e.what(), "SELECT chancy.grant_admin(…), or ask as the extension's owner."};
    return std::nullopt;
}

std::vector<finding> examine(const context& with, std::chrono::milliseconds longer_than) {
    std::vector<finding> found;
    try {
        client db = with.connect();
        const timestamp before = now();
        const installation there = db.check_installation(longer_than);
        const timestamp after = now();
        if (there.extension_version != CHANCY_VERSION)
            found.push_back({"version", "warning", "this client is of version " CHANCY_VERSION ", the extension of version " + there.extension_version,
                             "Install the same version on both sides; the server first."});
        if (there.server_time < before - clock_tolerance || there.server_time > after + clock_tolerance)
            found.push_back({"clock", "warning", "the clock here is " + span(std::chrono::duration<double>(before - there.server_time).count()) + " before the server's",
                             "Run an NTP client on both. The server's clock decides when jobs are due; times in logs and --at go by the one here."});
        found.insert(found.end(), there.findings.begin(), there.findings.end());
    } catch (const error& e) {
        const auto why = obstacle(e);
        if (!why) throw;
        found.push_back(*why);
    }
    return found;
}

int doctor(const context& with, std::chrono::milliseconds longer_than) {
    const std::vector<finding> found = examine(with, longer_than);
    bool trouble = false;
    for (const finding& f : found) {
        trouble |= f.severity != "notice";
        if (with.json) print_json(f);
        else std::cout << f.severity << ": " << f.about << ": " << f.what << "\n    " << f.hint << '\n';
    }
    if (found.empty() && !with.json) std::cout << "nothing found\n";
    return trouble ? findings : ok;
}

}  // namespace

void add_doctor(CLI::App& app, context& with) {
    auto longer_than = std::make_shared<std::string>("10m");
    CLI::App* c = app.add_subcommand("doctor", "Check the installation, and say what to do; exit code 6 if there is something to do");
    c->fallthrough();
    c->add_option("--long", *longer_than, "Transactions, and tasks that are due, are no matter for so long")->capture_default_str();
    c->footer(R"(Errors keep jobs from running, or may lose some; warnings grow into errors; notices (exit code 0) are worth knowing. In SQL:
SELECT * FROM chancy.check_installation();

Examples:
  chancy doctor
  chancy doctor --json | grep '"severity":"error"')");
    c->callback([longer_than, &with] { with.command = [longer_than, &with] { return doctor(with, read_duration(*longer_than)); }; });
}

}  // namespace chancy::cli
