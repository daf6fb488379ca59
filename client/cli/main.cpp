// chancy: the queue on the command line.
#include "cli.hpp"
#include "dashboard.hpp"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <iostream>

namespace {

// What went wrong, on one line.
int complain(const std::string& message, const std::string& hint) {
    std::string line = message + (hint.empty() ? "" : " (" + hint + ")");
    std::ranges::replace(line, '\n', ' ');
    std::erase(line, '\t');
    std::cerr << "chancy: " << line << '\n';
    return chancy::cli::failure;
}

// CLI11 misses a command before it looks at the word that is none.
std::string unknown_command(CLI::App& app, const CLI::ParseError& e) {
    if (dynamic_cast<const CLI::RequiredError*>(&e) == nullptr || std::string(e.what()).find("subcommand") == std::string::npos) return "";
    const std::vector<std::string> left = app.remaining(true);
    const auto word = std::ranges::find_if(left, [](const std::string& w) { return !w.starts_with('-'); });
    if (word == left.end()) return "";
    const auto parsed = app.get_subcommands();
    return (parsed.empty() ? "" : parsed.front()->get_name() + ' ') + *word;
}

}  // namespace

int main(int argc, char** argv) {
    std::signal(SIGPIPE, SIG_IGN);  // a broken pipe is an error where it is written to

    chancy::cli::context context;
    CLI::App app("The job queue in PostgreSQL, on the command line.", "chancy");
    app.add_option("-d,--dbname", context.conninfo,
                   "The database: a connection string, URI or name, by libpq's rules; without it the PG* variables and services");
    app.add_flag("--json", context.json, "Print JSON: one line an object, keys are the column names");
    app.set_version_flag("--version", "chancy " CHANCY_VERSION);
    app.require_subcommand(1);
    app.fallthrough();
    app.footer(R"(Examples:
  chancy push mail.send --kwargs '{"to": "a@b.c"}' --unique-key mail:17
  chancy worker --queue default --exec mail.send=./send-mail
  chancy job list --state failed
  chancy -d 'host=db dbname=app' queue list --json

Exit codes: 0 done, 1 error, 2 wrong usage, 3 no such thing or nothing to do, 4 the job failed (job wait), 5 timeout (job wait), 6 something to mend (doctor))");
    chancy::cli::add_push(app, context);
    chancy::cli::add_worker(app, context);
    chancy::cli::add_queue(app, context);
    chancy::cli::add_job(app, context);
    chancy::cli::add_maintenance(app, context);
    chancy::cli::add_event(app, context);
    chancy::cli::add_cron(app, context);
    chancy::cli::add_sql(app, context);
    chancy::cli::add_top(app, context);
    chancy::cli::add_interop(app, context);
    chancy::cli::add_workflow(app, context);
    chancy::cli::add_metrics(app, context);
    chancy::cli::add_leadership(app, context);
    chancy::cli::add_doctor(app, context);
    chancy::cli::add_dashboard(app, context);

    try {
        app.parse(argc, argv);
        const int code = context.command();
        std::cout.flush();
        return std::cout ? code : complain("cannot write to standard output", "");
    } catch (const CLI::Success& e) {
        return app.exit(e);  // --help, --version
    } catch (const CLI::ParseError& e) {
        const std::string unknown = unknown_command(app, e);
        complain(unknown.empty() ? e.what() : "there is no command \"" + unknown + '"', "see --help");
        return chancy::cli::usage;
    } catch (const chancy::error& e) {
        return complain(e.what(), e.in_doubt() ? "it may or may not have been done" : e.hint());
    } catch (const std::exception& e) {
        return complain(e.what(), "");
    }
}
