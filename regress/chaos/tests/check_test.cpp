// The checker of histories, given histories made by hand: a sound one, and for each law one that breaks it and nothing else.
#include "check.hpp"
#include "world.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include <unistd.h>

using namespace chaos;

namespace {

// Two jobs of one key, one after the other by two workers, and both acknowledged. Times are far before now, when
// ledger's own are taken.
struct sound : testing::Test {
    const chancy::uuid first = id("03f00000-0000-7000-8000-000000000001"), second = id("03f00000-0000-7000-8000-000000000002");
    ledger book;
    std::vector<handled> runs{{.job = first, .started_at = 1000, .key = "key", .worker = "w1", .number = 1, .from = 100, .to = 200},
                              {.job = second, .started_at = 2000, .key = "key", .worker = "w2", .number = 1, .from = 300, .to = 400}};
    std::map<chancy::uuid, row> rows{{first, {.state = "succeeded", .worker = "w1", .run = "w1/1", .error = "", .started_at = 1000}},
                                     {second, {.state = "succeeded", .worker = "w2", .run = "w2/1", .error = "", .started_at = 2000}}};

    sound() { book.acknowledged(first), book.acknowledged(second); }
    static chancy::uuid id(const char* text) { return chancy::uuid::parse(text).value(); }

    // The one violation that is found; "none", or all of them if there are more.
    [[nodiscard]] std::string violation() const {
        std::string all;
        for (const std::string& text : check_history(book, runs, rows).violations) all += (all.empty() ? "" : "; ") + text;
        return all.empty() ? "none" : all;
    }
    [[nodiscard]] bool tells(const std::string& text) const {
        const std::string found = violation();
        return found.find("; ") == std::string::npos && found.find(text) != std::string::npos;
    }
};

struct broken : sound {};

// The first job is run to its end by w1, and then again by w2. Whether that may be depends on what became of w1.
struct run_again : sound {
    run_again() {
        runs[0].done = true;
        runs.push_back({.job = first, .started_at = 1500, .key = "key", .worker = "w2", .number = 2, .from = 210, .to = 220});
        rows[first] = {.state = "succeeded", .worker = "w2", .run = "w2/2", .error = "", .started_at = 1500};
    }
    // The ledger's own times are of now: the second run is after them.
    void after_that() {
        runs[2].from = INT64_MAX - 2, runs[2].to = INT64_MAX - 1;
    }
};

// A world without a server: what it notes of faults.
struct injection : testing::Test {
    world w{{.faults = {"kill"}, .seconds = 600, .heartbeat_timeout = 1, .patience = std::chrono::milliseconds(0)}};
};

}  // namespace

TEST_F(sound, history_breaks_no_law) { EXPECT_EQ(violation(), "none"); }

TEST_F(sound, history_with_a_killed_worker) {
    // It ends when it is killed, which is now; its job begins anew after that.
    book.killed("w1");
    runs[0].to = 0;
    runs[1] = {.job = first, .started_at = 3000, .key = "key", .worker = "w3", .number = 1, .from = INT64_MAX - 2, .to = INT64_MAX - 1};
    rows[first] = {.state = "succeeded", .worker = "w3", .run = "w3/1", .error = "", .started_at = 3000};
    rows[second] = {.state = "failed", .worker = "-", .run = "-", .error = "its worker died"};
    EXPECT_EQ(violation(), "none");
    const findings found = check_history(book, runs, rows);
    EXPECT_EQ(found.cut_short, 1U);
    EXPECT_EQ(found.recovered, 1U);
}

TEST_F(broken, acknowledged_push_lost) {
    rows.erase(first);
    EXPECT_TRUE(tells("was acknowledged, and is not there")) << violation();
}

TEST_F(broken, job_that_never_ends) {
    rows[first].state = "running";
    EXPECT_TRUE(tells("has not ended: running, taken by w1")) << violation();
}

TEST_F(broken, job_that_fails_for_no_reason) {
    rows[first].state = "failed";
    rows[first].error = "something else";
    EXPECT_TRUE(tells("failed: something else")) << violation();
    rows[first].error = "its worker died";
    EXPECT_EQ(violation(), "none");
}

TEST_F(broken, fenced_result_applied) {
    // A second attempt took the job over; the first one's result stands in its row.
    runs.push_back({.job = first, .started_at = 1500, .key = "key", .worker = "w2", .number = 2, .from = 210, .to = 220});
    rows[first].worker = "w2", rows[first].started_at = 1500;
    EXPECT_TRUE(tells("has the result of a fenced run: w1/1")) << violation();
}

TEST_F(broken, result_of_another_worker) {
    rows[first].worker = "w2";
    EXPECT_TRUE(tells("has the result of a fenced run: w1/1")) << violation();
}

TEST_F(broken, result_of_nobody) {
    rows[first].run = "w9/1";
    EXPECT_TRUE(tells("has the result of a run that nobody knows: w9/1")) << violation();
}

TEST_F(broken, job_run_again_after_its_success) {
    runs.push_back({.job = first, .started_at = 1500, .key = "key", .worker = "w2", .number = 2, .from = 210, .to = 220});
    EXPECT_TRUE(tells("ran again after it had succeeded")) << violation();
}

TEST_F(broken, key_run_twice_at_once) {
    runs[1].from = 150;
    EXPECT_TRUE(tells("two runs at once of key")) << violation();
}

TEST_F(broken, key_run_twice_at_once_below_a_longer_run) {
    // The second run ends within the first; the third begins within it, too.
    runs = {{.job = first, .started_at = 1000, .key = "key", .worker = "w1", .number = 1, .from = 100, .to = 900},
            {.job = second, .started_at = 2000, .key = "other", .worker = "w2", .number = 1, .from = 150, .to = 160},
            {.job = id("03f00000-0000-7000-8000-000000000003"), .started_at = 3000, .key = "key", .worker = "w2", .number = 2, .from = 800, .to = 850}};
    EXPECT_TRUE(tells("two runs at once of key")) << violation();
}

TEST_F(broken, job_without_a_key_run_twice_at_once) {
    for (handled& run : runs) run.key.clear();
    runs.push_back({.job = first, .started_at = 900, .key = "", .worker = "w2", .number = 2, .from = 150, .to = 160});
    EXPECT_TRUE(tells("two runs at once of " + first.to_string())) << violation();
}

TEST_F(broken, run_that_never_ends) {
    runs[1].to = 0;
    EXPECT_TRUE(tells("run w2/1 never ended, and nobody killed its worker")) << violation();
}

TEST_F(sound, cancel_frees_the_key_at_once) {
    // The ledger's own times are of now, so the next run is after it.
    book.cancelled(first);
    runs[0].to = INT64_MAX;
    runs[1].from = INT64_MAX - 2, runs[1].to = INT64_MAX - 1;
    EXPECT_EQ(violation(), "none");
}

TEST_F(broken, cancel_that_came_later) {
    runs[1].from = 150;
    book.cancelled(first);
    EXPECT_TRUE(tells("two runs at once of key")) << violation();
}

TEST_F(sound, sleeper_overlaps) {
    book.paused("w1");
    runs[0].to = INT64_MAX;
    runs[1].from = 300;
    EXPECT_EQ(violation(), "none");
    EXPECT_EQ(check_history(book, runs, rows).overlapped, 1U);
}

TEST_F(broken, another_one_slept) {
    book.paused("w2");
    runs[1].from = 150;
    EXPECT_TRUE(tells("two runs at once of key")) << violation();
}

TEST_F(run_again, result_lost) {
    EXPECT_TRUE(tells("the result of w1/1 was lost, and its worker was not: job " + first.to_string() + " ran again as w2/2")) << violation();
}

TEST_F(run_again, nothing_held) {
    runs[0].done = false;  // it failed, or asked to be run again
    EXPECT_EQ(violation(), "none");
}

TEST_F(run_again, worker_killed) {
    book.killed("w1");
    EXPECT_TRUE(tells("the result of w1/1 was lost")) << violation();
    after_that();
    EXPECT_EQ(violation(), "none");
}

TEST_F(run_again, worker_slept) {
    book.paused("w1");
    EXPECT_TRUE(tells("the result of w1/1 was lost")) << violation();
    after_that();
    EXPECT_EQ(violation(), "none");
}

TEST_F(run_again, heartbeat_expired) {
    runs[0].expired = 215;
    EXPECT_TRUE(tells("the result of w1/1 was lost")) << violation();
    runs[0].expired = 205;
    EXPECT_EQ(violation(), "none");
}

TEST(diary, tells_what_was_written) {
    const std::string path = testing::TempDir() + "chaos-check." + std::to_string(::getpid()) + ".diary";
    const diary book(path);
    handled first{.job = chancy::uuid::parse("03f00000-0000-7000-8000-000000000001").value(), .started_at = 1000, .key = "key", .worker = "w1", .number = 1};
    handled second = first;
    second.number = 2, second.key.clear();
    book.begins(first);
    first.done = true;
    book.ends(first);
    book.expires();
    book.begins(second);
    const std::vector<handled> told = read_diary(path, "w1");
    std::filesystem::remove(path);
    ASSERT_EQ(told.size(), 2U);
    EXPECT_EQ(told[0].job, first.job);
    EXPECT_EQ(told[0].key, "key");
    EXPECT_TRUE(told[0].done);
    EXPECT_LE(told[0].from, told[0].to);
    EXPECT_LE(told[0].to, told[0].expired);
    EXPECT_EQ(told[1].key, "");
    EXPECT_FALSE(told[1].done);
    EXPECT_EQ(told[1].to, 0);
    EXPECT_EQ(told[1].expired, 0);
}

TEST_F(injection, none) {
    w.check_injection(*make_fault("kill"));
    ASSERT_EQ(w.violations.size(), 1U);
    EXPECT_TRUE(w.violations[0].starts_with("only 0 times \"worker killed\"")) << w.violations[0];
}

TEST_F(injection, enough) {
    w.injected("worker killed", 10'000);
    w.check_injection(*make_fault("kill"));
    EXPECT_TRUE(w.violations.empty());
}

TEST_F(injection, nobody_at_work) {
    w.injected("worker killed", 3);
    w.shared.running[0] = 1;
    w.injected("worker killed", 2);
    w.check_jobs_in_flight();
    EXPECT_EQ(w.violations, std::vector<std::string>{"jobs were in flight at only 2 of 5 faults"});
}

TEST_F(injection, recovery_too_late) {
    // A worker that does nothing.
    w.workers.emplace(fleet::settings{.program = "/bin/false", .folder = w.folder, .roads = {{.conninfo = ""}}, .concurrency = 1, .heartbeat_timeout = 1}, w.book);
    w.workers->start(0);
    w.await_recovery("the fault");
    ASSERT_EQ(w.violations.size(), 1U);
    EXPECT_TRUE(w.violations[0].starts_with("no job ended in worker 0 within 0 s after the fault")) << w.violations[0];
}

TEST(log, lines_that_tell_of_a_bug) {
    const std::string path = testing::TempDir() + "chaos-check." + std::to_string(::getpid()) + ".log";
    std::ofstream(path) << "LOG:  checkpoint\nERROR:  deadlock detected\nPANIC:  no space\n";
    EXPECT_EQ(bad_lines(path, false).size(), 2U);
    EXPECT_EQ(bad_lines(path, true).size(), 1U);
    std::filesystem::remove(path);
}
