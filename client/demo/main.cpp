// chancy-demo: every file of every Debian package of this machine against its checksum, one job a package.
//
// Four producers push all packages at the same time, each in its own order, in batches that overlap, while workers
// write results already: the load under which Chancy for Python deadlocks. Then the same with its plain statements.
#include "dpkg.hpp"
#include "plain.hpp"
#include "plan.hpp"
#include "show.hpp"

#include <atomic>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <map>
#include <mutex>
#include <thread>
#include <unordered_set>

#include <libpq-fe.h>

namespace {

using namespace std::chrono_literals;
using namespace demo;
using clock = std::chrono::steady_clock;

constexpr const char* queue_name = "dpkg";

struct tally {
    std::atomic<bool> stop = false;
    std::atomic<long> runs = 0, files = 0, pushes = 0, batches = 0, duplicates = 0;
    std::atomic<long long> bytes = 0;
    std::mutex mutex;
    std::unordered_set<chancy::uuid> jobs;
    std::string problem;
};

// Deadlocks of this database so far. Backends report theirs when they end, so ours must have gone.
long deadlocks() {
    chancy::client db;
    const auto number = [&](const char* sql) {
        PGresult* r = PQexec(db.connection(), sql);
        const long value = PQntuples(r) == 1 ? std::atol(PQgetvalue(r, 0, 0)) : -1;
        PQclear(r);
        return value;
    };
    for (int tries = 0; tries < 50; ++tries) {
        if (number("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'chancy-demo' AND pid <> pg_backend_pid()") == 0) break;
        std::this_thread::sleep_for(100ms);
    }
    std::this_thread::sleep_for(600ms);  // before 15, a process of its own collects them
    return number("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()");
}

// The extension, the queue, and nothing left in it by a demo that was interrupted.
void prepare() {
    chancy::client db;
    PGresult* r = PQexec(db.connection(), "SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS chancy");
    const std::string problem = PQresultErrorMessage(r);
    PQclear(r);
    if (!problem.empty()) throw std::runtime_error(problem);
    (void)db.declare_queue({.name = queue_name});
    for (auto state : {chancy::job_state::pending, chancy::job_state::running, chancy::job_state::retrying})
        for (const chancy::job& j : db.list_jobs({.queue = queue_name, .state = state, .up_to = 10'000})) db.cancel_job(j.id);
}

void produce(const std::vector<block>& plan, int number, tally& t) {
    chancy::client db;
    // The first producer is two blocks ahead of the workers, the last one half a block: pushes meet jobs in every state,
    // and just when their results are written.
    const long ahead = static_cast<long>(block_size) * (producers - number) / 2;
    for (std::size_t at = 0; at < plan.size(); ++at) {
        while (!t.stop && static_cast<long>(at * block_size) > t.runs + ahead) std::this_thread::sleep_for(1ms);
        for (const batch& names : plan[at].batches[number]) {
            if (t.stop) return;
            std::vector<chancy::new_job> jobs;
            for (const std::string& name : names)
                jobs.push_back({.func = "dpkg.verify", .kwargs = {{"package", name}}, .queue = queue_name, .unique_key = "dpkg:" + name});
            const auto answers = db.push_many(jobs);
            const std::lock_guard lock(t.mutex);
            ++t.batches;
            for (const chancy::pushed& p : answers) {
                ++t.pushes;
                t.duplicates += !p.created.value_or(true);
                t.jobs.insert(p.id);
            }
        }
    }
}

// Waits until the server says that every job has finished; the jobs, or fewer when that does not come.
std::vector<chancy::job> collect(tally& t) {
    chancy::client db;
    const std::vector<chancy::uuid> ids(t.jobs.begin(), t.jobs.end());
    auto patience = clock::now() + 60s;
    for (long seen = t.runs;;) {
        auto jobs = db.get_jobs(ids);
        std::erase_if(jobs, [](const chancy::job& j) { return !j.finished(); });
        if (jobs.size() == ids.size() || t.stop || clock::now() > patience) return jobs;
        if (t.runs != seen) patience = clock::now() + 60s;
        seen = t.runs;
        std::this_thread::sleep_for(50ms);
    }
}

// Runs a body on a thread; what goes wrong there stops everything.
template <class Body>
std::thread guarded(tally& t, Body body) {
    return std::thread([&t, body] {
        try {
            body();
        } catch (const std::exception& e) {
            const std::lock_guard lock(t.mutex);
            t.problem = e.what();
            t.stop = true;
        }
    });
}

// Pushes, runs, and gives what the server has in the end.
std::vector<chancy::job> run(const std::vector<block>& plan, const diversions& moved, std::size_t packages, tally& t) {
    const chancy::worker_options options{.queues = {queue_name}, .grace = 0ms, .log = [](chancy::log_level level, const std::string& text) {
        if (level >= chancy::log_level::warning) std::fprintf(stderr, "\nchancy-demo: %s\n", text.c_str());
    }};
    chancy::worker workers[] = {chancy::worker(options), chancy::worker(options)};
    std::vector<std::thread> working, producing;
    for (chancy::worker& w : workers) {
        w.on("dpkg.verify", [&](chancy::job_context& job) {
            const report r = verify(job.kwargs().at("package"), moved, job);
            t.files += r.files;
            t.bytes += r.bytes;
            ++t.runs;
            return chancy::json(r);
        });
        working.push_back(guarded(t, [&w] { w.run(); }));
    }
    for (int i = 0; i < producers; ++i) producing.push_back(guarded(t, [&, i] { produce(plan, i, t); }));

    std::atomic<bool> done = false;
    std::thread bar([&] {
        progress shown(static_cast<long>(packages));
        while (!done && !t.stop) {
            shown.show(t.runs, figure(t.runs) + " packages, " + figure(t.files) + " files, " + size(t.bytes));
            std::this_thread::sleep_for(100ms);
        }
        shown.end();
    });
    for (std::thread& p : producing) p.join();
    std::vector<chancy::job> jobs;
    guarded(t, [&] { jobs = collect(t); }).join();
    done = true;
    bar.join();
    for (chancy::worker& w : workers) w.stop();
    for (std::thread& w : working) w.join();
    return jobs;
}

// The summary; false if something is not as it must be.
bool tell(const std::vector<chancy::job>& jobs, std::size_t packages, const tally& t, double seconds, long deadlocked) {
    report total;
    std::map<std::string, report> by_package;
    long failed = 0;
    for (const chancy::job& j : jobs) {
        if (j.state == chancy::job_state::succeeded && j.result) by_package[j.kwargs.at("package")] = j.result->get<report>();
        else if (++failed <= 3) std::printf("  %s: %s\n", j.kwargs.dump().c_str(), j.errors.dump().c_str());
    }
    for (const auto& [name, r] : by_package) add(total, r);
    const auto lost = static_cast<long>(t.jobs.size() - jobs.size());

    line("packages", figure(static_cast<long>(by_package.size())) + " of " + figure(static_cast<long>(packages)) + " verified");
    line("files", figure(total.files) + ", " + size(total.bytes));
    line("mismatched", figure(static_cast<long>(total.mismatched.size())));
    for (std::size_t i = 0; i < total.mismatched.size() && i < 5; ++i) line("", total.mismatched[i]);
    line("missing", figure(total.missing) + (total.missing > 0 ? "  (slim images leave out documentation and translations)" : ""));
    line("diverted", figure(total.diverted) + "  (looked for where dpkg-divert put them)");
    if (total.unreadable > 0) line("unreadable", figure(total.unreadable) + "  (root could read them)");
    line("pushes", figure(t.pushes) + " in " + figure(t.batches) + " batches by " + std::to_string(producers) + " producers");
    line("duplicates", figure(t.duplicates) + " met a live job");
    line("jobs", figure(static_cast<long>(t.jobs.size())) + ", " + figure(t.runs) + " runs; " +
                     figure(static_cast<long>(t.jobs.size() - by_package.size())) + " came after their package was done, and verified it again");
    line("lost", figure(lost) + (failed > 0 ? ", failed " + figure(failed) : ""));
    line("speed", decimal(static_cast<double>(t.runs) / seconds) + " jobs/s for " + decimal(seconds) + " s, " +
                      size(static_cast<long long>(static_cast<double>(t.bytes) / seconds)) + "/s");
    line("deadlocks", figure(deadlocked));
    return lost == 0 && failed == 0 && deadlocked == 0 && by_package.size() == packages && t.runs == static_cast<long>(t.jobs.size());
}

int demonstrate(tally& t) {
    prepare();
    const std::vector<std::string> packages = installed_packages();
    const diversions moved = read_diversions();
    const std::vector<block> plan = make_plan(packages);

    std::printf("chancy: %zu packages, %d producers push all of them, 2 workers verify\n", packages.size(), producers);
    const long before = deadlocks();
    const auto begin = clock::now();
    const auto jobs = run(plan, moved, packages.size(), t);
    const double seconds = std::chrono::duration<double>(clock::now() - begin).count();
    if (!t.problem.empty()) throw std::runtime_error(t.problem);
    if (t.stop) return 130;
    const bool good = tell(jobs, packages.size(), t, seconds, deadlocks() - before);

    std::printf("\nthe same pushes and results, in the plain statements and the order of Chancy for Python\n");
    const plain_outcome plain = run_plain(plan, 20s, t.stop);
    if (t.stop) return 130;
    line("deadlocks", figure(plain.deadlocks) + " in " + figure(plain.transactions) + " transactions (" +
                          std::to_string(plain.rounds) + (plain.rounds == 1 ? " round, " : " rounds, ") + decimal(plain.seconds) + " s)");
    std::printf("\n%s\n", good ? "chancy: no deadlock, no job lost" : "chancy: NOT as it must be, see above");
    return good ? 0 : 1;
}

}  // namespace

int main(int argc, char**) {
    if (argc > 1) {
        std::puts("chancy-demo: verifies every file of every Debian package of this machine through chancy,\n"
                  "against the server that the PG* variables name. It takes no options.");
        return 2;
    }
    ::setenv("PGAPPNAME", "chancy-demo", 1);
    tally t;
    try {
        const chancy::stop_on_signals guard([&] { t.stop = true; });
        const int code = demonstrate(t);
        if (code == 130) std::puts("\ninterrupted");
        return code;
    } catch (const std::exception& e) {
        std::cerr << "chancy-demo: " << e.what() << '\n';
        return 1;
    }
}
