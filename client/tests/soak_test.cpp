// A worker under mixed load for a while: ten seconds in the suite, thirty minutes with scripts/test --soak (or as long as
// CHANCY_SOAK_SECONDS says). Memory, threads, descriptors, children and connections must be at the end what they were after the
// first third. Each minute's figures are printed.
#include "support.hpp"

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <sstream>

#include <unistd.h>

using chancy::job_context;
using test::eventually;
using namespace std::chrono_literals;

namespace {

class soak : public test::db_test {};

std::chrono::seconds duration() {
    if (const char* given = std::getenv("CHANCY_SOAK_SECONDS")) return std::chrono::seconds(std::stoi(given));
    return std::getenv("CHANCY_SOAK") ? 1800s : 10s;
}

// A field of /proc/PID/status, as a number.
long status(const std::string& pid, const std::string& field) {
    std::istringstream file(test::proc(pid + "/status"));
    for (std::string name; file >> name;) {
        long value = 0;
        if (name == field + ":" && file >> value) return value;
        std::getline(file, name);
    }
    return 0;
}

struct figures {
    long memory = 0, threads = 0, descriptors = 0, children = 0, connections = 0, server = 0;
};

std::ostream& operator<<(std::ostream& out, const figures& f) {
    return out << "memory " << f.memory << " kB, with children; threads " << f.threads << ", descriptors " << f.descriptors << ", children " << f.children
               << ", connections " << f.connections << ", memory of their backends " << f.server << " kB";
}

// This process and what descends from it; the largest backend stands for the server.
figures look() {
    figures f;
    std::map<std::string, std::string> parents;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
        const std::string pid = entry.path().filename();
        if (pid.find_first_not_of("0123456789") == std::string::npos) parents[pid] = std::to_string(status(pid, "PPid"));
    }
    const std::string self = std::to_string(::getpid());
    f.memory = status(self, "VmRSS");
    for (const auto& [pid, parent] : parents) {
        std::string up = parent;
        while (up != self && parents.contains(up)) up = parents[up];
        if (up != self) continue;
        ++f.children;
        f.memory += status(pid, "RssAnon");  // what it shares with us is counted already, mostly
    }
    f.threads = status(self, "Threads");
    f.descriptors = std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
    for (const std::string& pid : test::sql("SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'soak'")) {
        ++f.connections;
        f.server = std::max(f.server, status(pid, "RssAnon"));
    }
    return f;
}

}  // namespace

TEST_F(soak, nothing_grows) {
    for (const char* name : {"threads", "children", "commands"}) (void)db.declare_queue({.name = name, .concurrency = 4, .executor_options = {{"maximum_jobs_per_worker", 50}}, .polling_interval = 1}, true);
    chancy::worker w({.conninfo = "application_name=soak", .queues = {"threads", "children", "commands", "now and then"}, .run_on = chancy::executor::threads,
                      .by_queue = {{"children", {.run_on = chancy::executor::processes}}}, .declare_queues = false,
                      .log = [](chancy::log_level, const std::string&) {}});
    w.on("quick", [](job_context& job) { return job.kwargs(); });
    w.on("fails", [](job_context&) { throw std::runtime_error(std::string(1000, 'e')); });
    w.on("snoozes", [](job_context& job) {
        if (!job.checkpoint()) {
            job.save_checkpoint(std::string(1000, 'c'));
            throw chancy::snooze(100ms);
        }
        job.progress(100, "done");
    });
    w.on("limited", [](job_context& job) {
        while (!job.stop_token().stop_requested()) std::this_thread::sleep_for(1ms);
        job.check_cancelled();
    });
    w.on("crashes", [](job_context&) { ::raise(SIGKILL); });
    w.on("command", chancy::command("echo 1"));
    w.fork_children();
    std::jthread on([&] { w.run(); });
    const std::unique_ptr<chancy::worker, void (*)(chancy::worker*)> stop(&w, [](chancy::worker* started) { started->stop(); });

    const auto begin = std::chrono::steady_clock::now(), end = begin + duration();
    auto next_look = begin + std::min<std::chrono::seconds>(duration() / 3, 60s);
    std::optional<figures> first;
    long pushed = 0;
    for (int round = 0; std::chrono::steady_clock::now() < end; ++round) {
        std::vector<chancy::new_job> jobs(400, {.func = "quick", .kwargs = {{"text", std::string(200, 'x')}}, .queue = "threads"});
        for (const char* queue : {"threads", "children"}) {
            for (const char* func : {"quick", "quick", "quick", "fails", "snoozes"}) jobs.insert(jobs.end(), 5, {.func = func, .kwargs = {{"n", round}}, .queue = queue});
        }
        jobs.insert(jobs.end(), 4, {.func = "command", .queue = "commands"});
        if (round % 20 == 7) jobs.push_back({.func = "crashes", .queue = "children"});
        if (round % 20 == 13)
            for (const char* queue : {"threads", "children"}) jobs.push_back({.func = "limited", .queue = queue, .limits = {{{"t", "time"}, {"v", 1}}}});
        db.push_many(jobs);
        pushed += static_cast<long>(jobs.size());
        if (round % 10 == 3) {  // a queue that comes and goes
            (void)db.declare_queue({.name = "now and then", .concurrency = 2});
            db.push({.func = "quick", .queue = "now and then"});
            ++pushed;
        }
        if (round % 10 == 8) {
            try {
                db.delete_queue("now and then");
            } catch (const chancy::error&) {  // one of its jobs runs
            }
        }
        if (round % 25 == 20) (void)test::sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'soak' ORDER BY random() LIMIT 1");
        while (db.prune_jobs({{"age", "5 s"}}) == 10'000) continue;
        std::this_thread::sleep_for(200ms);
        if (std::chrono::steady_clock::now() >= next_look) {
            const figures now = look();
            std::cout << std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now() - begin).count() << " s: " << pushed << " jobs; " << now << std::endl;
            if (!first && std::chrono::steady_clock::now() >= begin + duration() / 3) first = now;
            next_look += std::min<std::chrono::seconds>(duration() / 3, 60s);
        }
    }
    // All of them end, and then there is nothing but the idle worker.
    EXPECT_TRUE(eventually([] { return test::sql("SELECT count(*) FROM chancy.jobs WHERE state IN ('pending', 'running', 'retrying')").at(0) == "0"; }))
        << ::testing::PrintToString(test::sql("SELECT queue || ' ' || func || ' ' || state || ' ' || count(*) FROM chancy.jobs WHERE state IN ('pending', 'running', 'retrying') GROUP BY queue, func, state"));
    ASSERT_TRUE(first);
    const figures last = look();
    std::cout << "at the end: " << last << std::endl;
    EXPECT_LT(last.memory, first->memory * 5 / 4 + 20'000);
    EXPECT_LT(last.server, first->server * 5 / 4 + 20'000);
    EXPECT_LE(last.threads, 3 + 4 * 3 + 2 + 6);       // this one, run()'s and the watchdog; handlers; pulse, expiry and four flows
    EXPECT_LE(last.children, 1 + 4);                  // who forks, and those of the queue "children"
    EXPECT_LE(last.connections, 1 + 4);
    w.stop();
    on.join();
    const figures after = look();
    EXPECT_EQ(after.children, 0);
    EXPECT_EQ(after.connections, 0);
    EXPECT_LE(after.threads, 2);                      // the watchdog lives as long as the worker
}
