// chancy-bench: the figures of docs/benchmarks.md. Each stands beside the ceiling of the same server in the same run.
//
// It empties chancy.jobs of the database it is given and makes a schema bench: give it a database of its own.
#include "scenario.hpp"

#include <CLI/CLI.hpp>

#include <cstdio>
#include <fstream>
#include <thread>

namespace {

using bench::figure;

const struct {
    const char* name;
    const char* about;
    bench::figures (*run)(const bench::options&);
} scenarios[] = {
    {"batches", "push_many against COPY and INSERT … unnest", bench::push_batches},
    {"single", "push() against a prepared INSERT, 1 to 16 connections", bench::push_single},
    {"drain", "fetch and complete a backlog", bench::drain},
    {"sustain", "push and drain at the same time", bench::sustain},
    {"latency", "push to handler start", bench::latency},
    {"history", "fetch with millions of jobs in the table", bench::history},
    {"held", "push and drain beside a snapshot held open", bench::held},
};

std::string number(double value) {
    char text[32];
    std::snprintf(text, sizeof text, value < 100 ? "%.3g" : "%.0f", value);
    return text;
}

void print(const figure& f) {
    std::string verdict = f.reach == 0 ? "" : (f.at_most ? "≤ " : "≥ ") + number(f.reach) + (f.reached() ? "  reached" : "  NOT reached");
    std::printf("%-58s %12s %12s %-7s %6.2f  %s\n", f.name.c_str(), number(f.our_value).c_str(), number(f.other_value).c_str(), f.unit.c_str(), f.ratio,
                verdict.c_str());
    std::printf("    %s against %s\n", f.ours.c_str(), f.other.c_str());
    std::fflush(stdout);
}

bench::json to_json(const figure& f) {
    return {{"name", f.name},       {"unit", f.unit},   {"ours", f.ours},   {"ours_value", f.our_value}, {"other", f.other}, {"other_value", f.other_value},
            {"ratio", f.ratio},     {"reach", f.reach == 0 ? bench::json(nullptr) : bench::json((f.at_most ? "<= " : ">= ") + number(f.reach))},
            {"reached", f.reached()}, {"details", f.details}};
}

bench::json machine(bench::connection& server) {
    bench::json told;
    for (const char* setting : {"server_version", "fsync", "synchronous_commit", "shared_buffers", "max_wal_size", "full_page_writes"})
        told[setting] = server.value(std::string("SHOW ") + setting);
    told["processors"] = std::thread::hardware_concurrency();
    return told;
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app{"Measures chancy against the ceilings of the same server. Empties chancy.jobs: give it a database of its own."};
    bench::options with;
    std::vector<std::string> wanted;
    std::string file;
    bool quick = false;
    std::string names;
    for (const auto& s : scenarios) names += std::string("\n  ") + s.name + std::string(10 - std::string(s.name).size(), ' ') + s.about;
    app.add_option("scenario", wanted, "Which to run; all by default:" + names);
    app.add_option("-d,--database", with.conninfo, "libpq's connection string; the PG* variables by default");
    app.add_option("--json", file, "Write the figures there as JSON, for docs/benchmarks.py");
    app.add_option("--rounds", with.rounds, "Turns of each side in a comparison")->check(CLI::Range(1, 100))->capture_default_str();
    app.add_option("--jobs", with.jobs, "Jobs of a drain")->check(CLI::Range(1000, 100'000'000))->capture_default_str();
    app.add_option("--connections", with.connections, "Connections of a drain")->check(CLI::Range(1, 64))->capture_default_str();
    app.add_option("--seconds", with.seconds, "Of sustained load")->check(CLI::Range(2.0, 86400.0))->capture_default_str();
    app.add_option("--held-minutes", with.held_minutes, "Of sustained load beside a snapshot")->check(CLI::Range(0.1, 1440.0))->capture_default_str();
    app.add_option("--history", with.history, "Finished jobs in the table")->check(CLI::Range(1'000LL, 1'000'000'000LL))->capture_default_str();
    app.add_option("--backlog", with.backlog, "Waiting jobs in the table")->check(CLI::Range(1'000LL, 1'000'000'000LL))->capture_default_str();
    app.add_flag("--quick", quick, "A minute in all, to see that it works: the figures are worth little");
    CLI11_PARSE(app, argc, argv);
    if (quick) {
        with.rounds = 1;
        with.jobs = 5000;
        with.seconds = 2;
        with.latency_seconds = 1;
        with.held_minutes = 0.1;
        with.history = with.backlog = 20'000;
    }
    for (const std::string& name : wanted)
        if (std::none_of(std::begin(scenarios), std::end(scenarios), [&](const auto& s) { return s.name == name; })) {
            std::fprintf(stderr, "chancy-bench: there is no scenario \"%s\" (see --help)\n", name.c_str());
            return 2;
        }

    bench::connection server(with.conninfo);
    server.run("CREATE EXTENSION IF NOT EXISTS chancy");
    bench::json report{{"machine", machine(server)}, {"figures", bench::json::array()}};
    std::printf("%-58s %12s %12s %-7s %6s  %s\n", "", "chancy", "ceiling", "unit", "ratio", "to reach");
    bool all_reached = true;
    for (const auto& s : scenarios) {
        if (!wanted.empty() && std::find(wanted.begin(), wanted.end(), s.name) == wanted.end()) continue;
        std::fprintf(stderr, "%s: %s\n", s.name, s.about);
        for (const figure& f : s.run(with)) {
            print(f);
            all_reached = all_reached && f.reached();
            report["figures"].push_back(to_json(f));
            if (!file.empty()) std::ofstream(file) << report.dump(2) << '\n';
        }
    }
    server.run("DROP SCHEMA IF EXISTS bench CASCADE");
    std::printf("%s\n", all_reached ? "All figures that are to be reached are reached." : "Not all figures that are to be reached are reached.");
}
