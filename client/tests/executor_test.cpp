// Where handlers run: child processes and their limits, and the time limit of those on threads.
#include "support.hpp"

#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <future>
#include <sstream>

#include <sys/wait.h>
#include <unistd.h>

using chancy::job_context;
using chancy::job_state;
using test::eventually;
using test::running;
using namespace std::chrono_literals;

namespace {

class executor : public test::db_test {
protected:
    static chancy::worker_options options() {
        return {.concurrency = 2, .run_on = chancy::executor::processes, .poll_interval = 1h, .log = [](chancy::log_level, const std::string&) {}};
    }
    std::string last_error(const chancy::uuid& id) { return db.get_job(id)->errors.back().at("traceback"); }
};

chancy::json limit(const char* kind, long long value) { return {{{"t", kind}, {"v", value}}}; }

struct process {
    std::string name;
    char state = 'Z';
    pid_t parent = 0;
};

process look_at(pid_t pid) {
    process out;
    const std::string line = test::proc(std::to_string(pid) + "/stat");
    const auto begin = line.find('('), end = line.rfind(')');
    if (end == std::string::npos) return out;
    out.name = line.substr(begin + 1, end - begin - 1);
    std::istringstream(line.substr(end + 2)) >> out.state >> out.parent;
    return out;
}

// Not counting those that have ended and wait to be asked about.
bool alive(pid_t pid) { return look_at(pid).state != 'Z'; }

std::vector<pid_t> children_of(pid_t parent) {
    std::vector<pid_t> out;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
        const std::string name = entry.path().filename();
        if (name.find_first_not_of("0123456789") != std::string::npos) continue;
        const process p = look_at(std::stoi(name));
        if (p.parent == parent && p.state != 'Z') out.push_back(std::stoi(name));
    }
    return out;
}

// The process that forks children; 0 if there is none.
pid_t nursery() {
    for (const pid_t pid : children_of(::getpid()))
        if (look_at(pid).name == "chancy-nursery") return pid;
    return 0;
}

}  // namespace

TEST_F(executor, children_run_jobs_and_what_they_throw_is_known) {
    chancy::worker w(options());
    w.on("result", [](job_context& job) { return chancy::json{{"pid", ::getpid()}, {"n", job.get<int>("n")}}; });
    w.on("nothing", [](job_context&) {});
    w.on("throws", [](job_context&) { throw std::runtime_error("broken \xff"); });
    w.on("snooze", [](job_context&) { throw chancy::snooze(1h); });
    w.on("discard", [](job_context&) { throw chancy::discard("never"); });
    w.on("later", [](job_context&) { throw chancy::retry_at(1h, "not yet"); });
    const running on(w);
    const auto push = [&](const char* func) { return db.push({.func = func, .kwargs = {{"n", 1}}, .max_attempts = 2}); };
    const auto result = push("result"), nothing = push("nothing"), throws = push("throws"), snooze = push("snooze"), discard = push("discard"),
               later = push("later"), unknown = push("unheard.of");
    EXPECT_TRUE(reaches(result, job_state::succeeded));
    EXPECT_NE(db.get_job(result)->result->at("pid"), ::getpid());
    EXPECT_TRUE(reaches(nothing, job_state::succeeded));
    EXPECT_TRUE(reaches(throws, job_state::retrying));
    EXPECT_EQ(last_error(throws), "broken \xEF\xBF\xBD");
    EXPECT_TRUE(eventually([&] { return db.get_job(snooze)->scheduled_at > chancy::now() + 30min; }));
    EXPECT_EQ(db.get_job(snooze)->state, job_state::pending);
    EXPECT_TRUE(reaches(discard, job_state::failed));
    EXPECT_EQ(last_error(discard), "never");
    EXPECT_TRUE(reaches(later, job_state::retrying));
    EXPECT_GT(db.get_job(later)->scheduled_at, chancy::now() + 30min);
    EXPECT_TRUE(reaches(unknown, job_state::retrying));
}

TEST_F(executor, a_crash_costs_one_attempt_of_its_own_job_alone) {
    auto o = options();
    o.concurrency = 1;
    chancy::worker w(o);
    w.on("crash", [](job_context& job) {
        if (job.attempt() == 0) ::raise(SIGSEGV);
        if (job.attempt() == 1) ::_exit(3);
    });
    w.on("fine", [](job_context&) {});
    const running on(w);
    const auto crash = db.push({.func = "crash", .max_attempts = 3, .meta = {{"retry_settings", {{"backoff", 0}, {"backoff_jitter", {0, 0}}}}}});
    const auto fine = db.push({.func = "fine"});
    EXPECT_TRUE(reaches(fine, job_state::succeeded));
    EXPECT_TRUE(eventually([&] {
        db.push({.func = "fine"});  // wakes it
        return db.get_job(crash)->state == job_state::succeeded;
    }));
    const auto errors = db.get_job(crash)->errors;
    ASSERT_EQ(errors.size(), 2u);
    EXPECT_NE(errors[0].at("traceback").get<std::string>().find("killed by signal 11"), std::string::npos) << errors;
    EXPECT_NE(errors[1].at("traceback").get<std::string>().find("exited, with status 3"), std::string::npos) << errors;
}

TEST_F(executor, a_memory_limit_ends_the_attempt) {
    chancy::worker w(options());
    w.on("big", [](job_context& job) {
        std::vector<char> memory(job.get<std::size_t>("bytes"), 'x');
        return chancy::json(memory.back() == 'x');
    });
    const running on(w);
    const auto big = db.push({.func = "big", .kwargs = {{"bytes", 2'000'000'000}}, .limits = limit("memory", 1'000'000'000)});
    EXPECT_TRUE(reaches(big, job_state::failed));
    EXPECT_EQ(last_error(big), "memory limit of 1000000000 bytes exceeded");
    // The limit is the job's, not the child's.
    EXPECT_TRUE(reaches(db.push({.func = "big", .kwargs = {{"bytes", 1'100'000'000}}}), job_state::succeeded));
}

TEST_F(executor, a_time_limit_asks_and_then_kills) {
    auto o = options();
    o.concurrency = 4;
    chancy::worker w(o);
    w.on("obeys", [](job_context& job) {
        EXPECT_TRUE(job.deadline());
        while (!job.stop_token().stop_requested()) std::this_thread::sleep_for(1ms);
        job.check_cancelled();
    });
    w.on("deaf", [](job_context&) { std::this_thread::sleep_for(1h); });
    w.on("quick", [](job_context&) {});
    const running on(w);
    const auto quick = db.push({.func = "quick", .limits = limit("time", 1000)});
    const auto obeys = db.push({.func = "obeys", .limits = limit("time", 1)});
    const auto deaf = db.push({.func = "deaf", .limits = limit("time", 1)});
    EXPECT_TRUE(reaches(quick, job_state::succeeded));
    EXPECT_TRUE(reaches(obeys, job_state::failed));
    EXPECT_EQ(last_error(obeys), "time limit of 1 s exceeded");
    EXPECT_TRUE(reaches(deaf, job_state::failed));
    EXPECT_EQ(last_error(deaf), "time limit of 1 s exceeded; the child process was killed by signal 9 (Killed)");
}

TEST_F(executor, on_threads_a_time_limit_asks_and_fails_the_attempt_that_stops) {
    auto o = options();
    o.run_on = chancy::executor::threads;
    o.concurrency = 4;
    chancy::worker w(o);
    std::promise<void> begun, done;
    auto is_done = done.get_future().share();
    w.on("long", [&](job_context&) {
        begun.set_value();
        is_done.wait();
    });
    w.on("obeys", [](job_context& job) {
        while (!job.stop_token().stop_requested()) std::this_thread::sleep_for(1ms);
        job.check_cancelled();
    });
    w.on("late", [](job_context& job) {
        while (!job.stop_token().stop_requested()) std::this_thread::sleep_for(1ms);
        return chancy::json("all the same");
    });
    w.on("quick", [](job_context&) {});
    const running on(w);
    (void)db.push({.func = "long", .limits = limit("time", 100'000)});
    begun.get_future().wait();
    std::this_thread::sleep_for(50ms);  // who watches has gone to sleep until then; the deadlines that come are earlier
    const auto quick = db.push({.func = "quick", .limits = limit("time", 1000)});
    const auto obeys = db.push({.func = "obeys", .max_attempts = 2, .limits = limit("time", 1)});
    const auto late = db.push({.func = "late", .limits = limit("time", 1)});
    EXPECT_TRUE(reaches(quick, job_state::succeeded));
    EXPECT_TRUE(reaches(obeys, job_state::retrying));
    EXPECT_EQ(last_error(obeys), "time limit of 1 s exceeded");
    EXPECT_TRUE(reaches(late, job_state::succeeded));
    done.set_value();
}

TEST_F(executor, cancel_and_stop_reach_children) {
    auto o = options();
    o.grace = 0ms;
    chancy::worker w(o);
    w.on("obeys", [](job_context& job) {
        while (!job.stop_token().stop_requested()) std::this_thread::sleep_for(1ms);
        job.check_cancelled();
    });
    w.on("fine", [](job_context&) {});
    running on(w);
    const auto cancelled = db.push({.func = "obeys"}), released = db.push({.func = "obeys"});
    EXPECT_TRUE(reaches(cancelled, job_state::running) && reaches(released, job_state::running));
    EXPECT_TRUE(db.cancel_job(cancelled));
    EXPECT_TRUE(reaches(db.push({.func = "fine"}), job_state::succeeded));  // in the child that is free again, or a new one
    const pid_t forks = nursery();
    const auto children = children_of(forks);
    EXPECT_EQ(children.size(), 2u);
    on.stop();
    EXPECT_EQ(last_error(cancelled), "cancelled");
    EXPECT_EQ(db.get_job(released)->state, job_state::pending);
    EXPECT_EQ(db.get_job(released)->attempts, 0);
    for (const pid_t pid : children) EXPECT_FALSE(alive(pid));
    EXPECT_EQ(nursery(), 0);
}

TEST_F(executor, children_are_replaced_after_a_number_of_jobs) {
    (void)db.declare_queue({.name = "default", .executor_options = {{"maximum_jobs_per_worker", 3}}}, true);
    auto o = options();
    o.concurrency = 1;
    chancy::worker w(o);
    w.on("pid", [](job_context&) { return chancy::json(::getpid()); });
    const running on(w);
    std::vector<chancy::new_job> jobs(9, {.func = "pid"});
    std::map<int, int> runs;
    for (const auto& [id, created] : db.push_many(jobs)) {
        EXPECT_TRUE(reaches(id, job_state::succeeded));
        ++runs[db.get_job(id)->result->get<int>()];
    }
    EXPECT_EQ(runs.size(), 3u);
    for (const auto& [pid, times] : runs) EXPECT_EQ(times, 3) << pid;
    EXPECT_LE(children_of(nursery()).size(), 1u);
}

TEST_F(executor, a_child_killed_while_it_has_no_job_costs_no_attempt) {
    auto o = options();
    o.concurrency = 1;
    chancy::worker w(o);
    w.on("pid", [](job_context&) { return chancy::json(::getpid()); });
    const running on(w);
    const auto pid = [&] {
        const auto id = db.push({.func = "pid"});
        EXPECT_TRUE(reaches(id, job_state::succeeded));
        return db.get_job(id)->result->get<int>();
    };
    const int first = pid();
    ::kill(first, SIGKILL);
    EXPECT_TRUE(eventually([&] { return !alive(first); }));
    EXPECT_NE(pid(), first);
}

TEST_F(executor, nothing_survives_a_worker_that_is_killed) {
    // A worker in a process of its own: a handler that is deaf, has a child, and threads enough that it takes a while to end; and a
    // command with children in the background.
    const std::string pids = std::filesystem::temp_directory_path() / ("chancy_executor_" + std::to_string(::getpid()));
    const pid_t worker = ::fork();
    if (worker == 0) {
        chancy::worker w(options());
        w.on("deaf", [pids](job_context&) {
            for (int i = 0; i < 200; ++i) std::thread([] { for (;;) ::pause(); }).detach();
            if (::fork() == 0) {
                ::setsid();
                std::ofstream(pids, std::ios::app) << ::getpid() << '\n';
                for (;;) ::pause();
            }
            std::ofstream(pids, std::ios::app) << ::getpid() << '\n';
            for (;;) ::pause();
        });
        w.on("command", chancy::command("trap '' TERM; sleep 1000 & sleep 1001 & echo \"$!\n$$\n$PPID\" >>" + pids + "; wait; wait"));
        w.run();
        ::_exit(0);
    }
    db.push({.func = "deaf"});
    db.push({.func = "command"});
    std::vector<pid_t> started;
    EXPECT_TRUE(eventually([&] {
        started.clear();
        std::ifstream in(pids);
        for (pid_t pid; in >> pid;) started.push_back(pid);
        return started.size() == 5;
    }));
    for (const pid_t pid : started) EXPECT_TRUE(alive(pid)) << pid;
    ::kill(worker, SIGKILL);
    ::waitpid(worker, nullptr, 0);
    for (const pid_t pid : started) {
        const bool ended = eventually([&] { return !alive(pid); });
        EXPECT_TRUE(ended) << pid;
        if (!ended) ::kill(pid, SIGKILL);  // else it holds the output of the tests open, and nobody learns that they have ended
    }
    std::filesystem::remove(pids);
    // What it had runs again: here, at once.
    test::sql("UPDATE chancy.workers SET expires_at = now()");
    chancy::worker again({.maintain_interval = 100ms, .log = options().log});
    again.on("deaf", [](job_context&) {});
    again.on("command", [](job_context&) {});
    const running on(again);
    EXPECT_TRUE(eventually([] { return test::sql("SELECT count(*) FROM chancy.jobs WHERE state = 'succeeded'").at(0) == "2"; }));
}

TEST_F(executor, without_the_process_that_forks_children_the_worker_ends) {
    chancy::worker w(options());
    w.on("a", [](job_context&) {});
    std::string why;
    std::thread on([&] {
        try {
            w.run();
        } catch (const chancy::error& e) {
            why = e.what();
        }
    });
    EXPECT_TRUE(reaches(db.push({.func = "a"}), job_state::succeeded));
    ::kill(nursery(), SIGKILL);
    const auto id = db.push({.func = "a"});
    on.join();
    EXPECT_NE(why.find("forks children is gone"), std::string::npos) << why;
    EXPECT_EQ(db.get_job(id)->state, job_state::pending);
    EXPECT_EQ(db.get_job(id)->attempts, 0);
}
