// chancy-adversary: many connections run random transactions that mix every function of the queue and collide all the
// time, beside maintenance and killed backends. It fails when a deadlock, a lost push, a key live twice, a result applied
// twice, an unexpected error or a wait beyond its bound is seen; and when too little collided to mean anything.
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <random>
#include <stdexcept>
#include <thread>

#include "bystander.hpp"
#include "check.hpp"
#include "schema.hpp"
#include "worker.hpp"

using namespace adversary;
using namespace std::chrono_literals;
using clock_type = std::chrono::steady_clock;

namespace {

volatile sig_atomic_t interrupted = 0;

options read_options(int argc, char** argv) {
    options o;
    o.seed = std::random_device{}();
    o.database = "adversary_" + std::to_string(getpid());
    CLI::App app{"Random transactions against chancy that collide all the time. Connects as PG* says, in a database of its own."};
    std::map<std::string, mode> modes{{"contract", mode::contract}, {"immediate", mode::immediate}, {"upstream", mode::upstream}};
    double minutes = 0;
    app.add_option("--mode", o.run, "contract: must stay free of deadlocks; immediate (chancy.push_mode) and upstream (its statements): "
                                    "must deadlock")->transform(CLI::CheckedTransformer(modes, CLI::ignore_case));
    app.add_option("--seed", o.seed, "of all random choices");
    app.add_option("--connections", o.connections)->capture_default_str()->check(CLI::Range(2, 150));
    app.add_option("--seconds", o.seconds, "how long")->capture_default_str()->check(CLI::PositiveNumber);
    app.add_option("--minutes", minutes, "how long")->check(CLI::PositiveNumber);
    app.add_option("--round", o.round, "seconds between two quiet moments, in which everything is checked")->capture_default_str();
    app.add_option("--keys", o.keys, "the fewer, the more collide")->capture_default_str()->check(CLI::Range(2, 10000));
    app.add_option("--rows", o.rows, "of the application's table")->capture_default_str()->check(CLI::Range(1, 10000));
    app.add_option("--bound", o.bound, "seconds that no wait may exceed; also chancy.flush_timeout")->capture_default_str();
    app.add_flag("--json", o.json, "the summary as one JSON object");
    app.add_flag("!--no-kill", o.kill, "terminate no backends");
    app.add_flag("!--no-prepare", o.prepare, "no prepared transactions");
    app.add_flag("!--no-maintenance", o.maintenance, "no VACUUM, ANALYZE, REINDEX CONCURRENTLY beside");
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& e) {
        std::exit(app.exit(e) == 0 ? 0 : 2);
    }
    if (minutes > 0) o.seconds = minutes * 60;
    if (o.run != mode::contract) o.kill = o.prepare = o.maintenance = false;
    return o;
}

int64_t collisions(figures& f) { return f.duplicates + f.refused + f.passed + f.gave_way + f.waits; }

void show_progress(world& w, double elapsed) {
    static bool terminal = isatty(STDERR_FILENO) != 0;
    if (!terminal) return;
    figures& f = w.count();
    std::fprintf(stderr, "\r%6.0f s  %lld transactions  %lld operations  %lld collisions  %lld deadlocks  longest wait %.2f s ", elapsed,
                 static_cast<long long>(f.transactions), static_cast<long long>(f.operations), static_cast<long long>(collisions(f)),
                 static_cast<long long>(f.deadlocks), f.longest_wait.load());
}

// All connections run until the round is over or something is found; then it is quiet.
void run_round(world& w, int round, clock_type::time_point start, clock_type::time_point until) {
    const options& o = w.get();
    w.start();
    std::vector<std::thread> threads;
    for (int i = 0; i < o.connections; i++) threads.emplace_back([&, i] { worker(w, i, round).run(); });
    std::thread look_out([&] {
        if (o.run == mode::contract) watch(w);
    });
    if (o.maintenance) threads.emplace_back([&] { maintain(w, round); });
    if (o.kill) threads.emplace_back([&] { kill_backends(w, round); });
    for (int i = 0; clock_type::now() < until && !w.stopped() && !interrupted; i++) {
        std::this_thread::sleep_for(20ms);
        if (i % 50 == 0) show_progress(w, std::chrono::duration<double>(clock_type::now() - start).count());
    }
    w.stop();
    for (std::thread& t : threads) t.join();
    look_out.join();
}

nlohmann::ordered_json summary(world& w, double seconds, int64_t server_deadlocks) {
    figures& f = w.count();
    auto n = [](const figures::count& c) { return c.load(); };
    return {{"mode", w.get().run == mode::contract ? "contract" : w.get().run == mode::immediate ? "immediate" : "upstream"},
            {"seed", w.get().seed}, {"connections", w.get().connections}, {"seconds", seconds},
            {"transactions", n(f.transactions)}, {"blocks_committed", n(f.committed)}, {"blocks_rolled_back", n(f.rolled_back)},
            {"prepared", n(f.prepared)}, {"operations", n(f.operations)}, {"met_a_duplicate", n(f.duplicates)},
            {"met_a_change", n(f.refused)}, {"passed_by", n(f.passed)}, {"gave_way", n(f.gave_way)}, {"waits_seen", n(f.waits)},
            {"collided_percent", f.operations == 0 ? 0.0 : 100.0 * static_cast<double>(collisions(f)) / static_cast<double>(f.operations)},
            {"serialization_failures", n(f.serialization)}, {"stale_commits", n(f.stale)}, {"queue_in_use", n(f.in_use)},
            {"backends_terminated", n(f.terminated)}, {"statements_cancelled", n(f.cancelled)}, {"ended_in_flight", n(f.killed)}, {"commits_in_doubt", n(f.in_doubt)},
            {"maintenance", n(f.maintenance)}, {"looks_for_keys_live_twice", n(f.looks)}, {"longest_wait", f.longest_wait.load()},
            {"longest_call_or_commit", f.longest_commit.load()}, {"longest_transaction", f.longest_transaction.load()}, {"deadlocks_of_clients", n(f.deadlocks)},
            {"deadlocks_of_the_server", server_deadlocks}, {"violations", w.failures().size()}};
}

void print(const nlohmann::ordered_json& s, bool json) {
    if (json) {
        std::printf("%s\n", s.dump().c_str());
        return;
    }
    for (const auto& [key, value] : s.items()) std::printf("%-28s %s\n", key.c_str(), value.dump().c_str());
}

}  // namespace

int main(int argc, char** argv) {
    options o = read_options(argc, argv);
    signal(SIGINT, [](int) { interrupted = 1; });
    signal(SIGTERM, [](int) { interrupted = 1; });
    signal(SIGPIPE, SIG_IGN);
    world w(o);
    try {
        create_database(o);
        connection c("dbname=postgres");
        if (o.prepare && c.need("SHOW max_prepared_transactions").rows[0][0] == "0")
            throw std::runtime_error("the server has max_prepared_transactions = 0: raise it, or give --no-prepare");
    } catch (const std::runtime_error& e) {
        std::fprintf(stderr, "chancy-adversary: %s\n", e.what());
        drop_database(o);
        return 2;
    }
    std::fprintf(stderr, "seed %llu\n", static_cast<unsigned long long>(o.seed));
    auto start = clock_type::now();
    auto end = start + std::chrono::duration_cast<clock_type::duration>(std::chrono::duration<double>(o.seconds));
    auto round_time = std::chrono::duration_cast<clock_type::duration>(std::chrono::duration<double>(o.round));
    for (int round = 0; clock_type::now() < end && !w.failed() && !interrupted && (o.run == mode::contract || w.count().deadlocks == 0); round++) {
        run_round(w, round, start, std::min(end, clock_type::now() + round_time));
        if (o.run == mode::contract) check_all(w);
    }
    double seconds = std::chrono::duration<double>(clock_type::now() - start).count();
    std::this_thread::sleep_for(200ms);  // the server's statistics come when its backends have ended
    int64_t server_deadlocks = deadlocks(o);
    if (o.run == mode::contract) {
        if (server_deadlocks > 0) w.fail("pg_stat_database counts " + std::to_string(server_deadlocks) + " deadlocks");
        if (!w.failed() && collisions(w.count()) * 5 < w.count().operations) w.fail("fewer than one operation in five collided");
    } else if (w.count().deadlocks == 0) {
        w.fail("no deadlock was found: this adversary could not fail");
    }
    if (isatty(STDERR_FILENO)) std::fprintf(stderr, "\n");
    print(summary(w, seconds, server_deadlocks), o.json);
    for (const std::string& failure : w.failures())
        std::fprintf(stderr, "\nVIOLATION (--seed %llu): %s\n", static_cast<unsigned long long>(o.seed), failure.c_str());
    try {
        drop_database(o);
    } catch (const std::runtime_error& e) {
        std::fprintf(stderr, "chancy-adversary: %s\n", e.what());
    }
    return w.failed() ? 1 : 0;
}
