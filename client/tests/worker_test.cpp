#include "support.hpp"

#include <atomic>
#include <future>

#include <unistd.h>

using chancy::job_context;
using chancy::job_state;
using test::eventually;
using test::running;
using namespace std::chrono_literals;

namespace {

class worker : public test::db_test {
protected:
    // Quiet, and slow to look by itself: what is quick here is quick because it was told.
    static chancy::worker_options options() {
        return {.concurrency = 2, .poll_interval = 1h, .log = [](chancy::log_level, const std::string&) {}};
    }
};

}  // namespace

TEST_F(worker, fetches_what_it_has_sent_away_itself_when_it_is_due) {
    chancy::worker w(options());
    std::atomic<int> runs = 0;
    w.on("snooze", [&](job_context&) {
        if (runs++ == 0) throw chancy::snooze(1s);
    });
    w.on("later", [](job_context& job) {
        if (job.attempt() == 0) throw chancy::retry_at(1s, "not yet");
    });
    const running on(w);
    const auto snoozed = db.push({.func = "snooze"}), later = db.push({.func = "later", .max_attempts = 2});
    EXPECT_TRUE(reaches(snoozed, job_state::succeeded));
    EXPECT_TRUE(reaches(later, job_state::succeeded));
    EXPECT_EQ(runs, 2);
}

TEST_F(worker, writes_what_handlers_make_of_jobs) {
    chancy::worker w(options());
    w.on("result", [](job_context& job) { return chancy::json{{"twice", 2 * job.kwargs().at("n").get<int>()}}; });
    w.on("nothing", [](job_context&) {});
    w.on("throws", [](job_context&) { throw std::runtime_error("broken \xff Ж"); });
    w.on("oddity", [](job_context&) { throw 17; });
    w.on("snooze", [](job_context&) { throw chancy::snooze(1h); });
    w.on("discard", [](job_context&) { throw chancy::discard(std::string("ne\0ver", 6)); });
    w.on("later", [](job_context&) { throw chancy::retry_at(1h, "not yet"); });
    const running on(w);

    const auto run = [&](const char* func, job_state state, int attempts) {
        const auto id = db.push({.func = func, .kwargs = {{"n", 21}}, .max_attempts = 2});
        EXPECT_TRUE(eventually([&] {
            const auto j = db.get_job(id);
            return j->state == state && j->attempts == attempts && (state != job_state::pending || j->scheduled_at > chancy::now() + 30min);
        })) << func;
        return *db.get_job(id);
    };
    EXPECT_EQ(run("result", job_state::succeeded, 1).result, (chancy::json{{"twice", 42}}));
    EXPECT_FALSE(run("nothing", job_state::succeeded, 1).result);
    EXPECT_EQ(run("throws", job_state::retrying, 1).errors.at(0).at("traceback"), "broken \xEF\xBF\xBD Ж");
    EXPECT_EQ(run("oddity", job_state::retrying, 1).errors.size(), 1u);
    EXPECT_TRUE(run("snooze", job_state::pending, 0).errors.empty());
    EXPECT_EQ(run("discard", job_state::failed, 1).errors.at(0).at("traceback"), "ne ver");
    const auto later = run("later", job_state::retrying, 1);
    EXPECT_GT(later.scheduled_at, chancy::now() + 30min);
    EXPECT_EQ(later.errors.at(0).at("traceback"), "not yet");
    const std::string unknown = run("unheard.of", job_state::retrying, 1).errors.at(0).at("traceback");
    EXPECT_NE(unknown.find("unheard.of"), std::string::npos) << unknown;
    EXPECT_NE(unknown.find("discard, later, nothing"), std::string::npos) << unknown;
}

TEST_F(worker, runs_floods_from_several_queues_once_each) {
    std::mutex mutex;
    std::map<int, int> runs;
    auto o = options();
    o.queues = {"one", "two"};
    o.concurrency = 3;
    chancy::worker w(o);
    w.on("count", [&](job_context& job) {
        const std::lock_guard lock(mutex);
        ++runs[job.kwargs().at("n").get<int>()];
    });
    std::vector<chancy::new_job> jobs;
    for (int i = 0; i < 5000; ++i) jobs.push_back({.func = "count", .kwargs = {{"n", i}}, .queue = i % 2 ? "one" : "two"});
    const running on(w);
    for (int i = 0; i < 5; ++i) db.push_many(std::span(jobs).subspan(static_cast<std::size_t>(i) * 1000, 1000));
    EXPECT_TRUE(eventually([] { return test::sql("SELECT count(*) FROM chancy.jobs WHERE state = 'succeeded' AND attempts = 1").at(0) == "5000"; }));
    EXPECT_EQ(runs.size(), 5000u);
    for (const auto& [n, times] : runs) EXPECT_EQ(times, 1) << n;
}

TEST_F(worker, is_known_while_it_runs) {
    auto o = options();
    o.tags = {"gpu"};
    chancy::worker w(o);
    running on(w);
    ASSERT_TRUE(eventually([&] { return db.list_workers().size() == 1; }));
    const auto row = db.list_workers().at(0);
    EXPECT_EQ(row.worker_id, w.id());
    EXPECT_NE(std::ranges::find(row.tags, "gpu"), row.tags.end());
    EXPECT_NE(std::ranges::find(row.tags, "worker_id=" + w.id()), row.tags.end());
    EXPECT_EQ(row.queues, (std::vector<std::string>{"default"}));
    on.stop();
    EXPECT_TRUE(db.list_workers().empty());
}

TEST_F(worker, declares_its_queues_and_takes_their_concurrency) {
    (void)db.declare_queue({.name = "narrow", .concurrency = 1});
    auto o = options();
    o.concurrency = 0;
    o.queues = {"narrow", "undeclared"};
    chancy::worker w(o);
    std::atomic<int> now = 0, most = 0;
    w.on("count", [&](job_context&) {
        most = std::max(most.load(), ++now);
        std::this_thread::sleep_for(1ms);
        --now;
    });
    const running on(w);
    for (int i = 0; i < 50; ++i) db.push({.func = "count", .queue = "narrow"});
    const auto last = db.push({.func = "count", .queue = "narrow"});
    EXPECT_TRUE(reaches(last, job_state::succeeded));
    EXPECT_EQ(most, 1);
    EXPECT_TRUE(eventually([&] { return db.list_queues().size() == 3; }));
}

TEST_F(worker, takes_over_changes_of_its_queue) {
    (void)db.declare_queue({.name = "changing", .concurrency = 1, .polling_interval = 3600});
    std::mutex mutex;
    std::string told;
    auto o = options();
    o.concurrency = 0;
    o.poll_interval = 0ms;
    o.queues = {"changing"};
    o.log = [&](chancy::log_level, const std::string& text) {
        const std::lock_guard lock(mutex);
        told = text.starts_with("changing: concurrency ") ? text : told;
    };
    const auto tells = [&](const char* text) {
        return eventually([&] {
            const std::lock_guard lock(mutex);
            return told == text;
        });
    };
    chancy::worker w(o);
    std::atomic<int> now = 0, most = 0, wanted = 2;
    w.on("meet", [&](job_context&) {  // until so many are here at once
        most = std::max(most.load(), ++now);
        EXPECT_TRUE(eventually([&] { return most >= wanted; }));
        --now;
    });
    const running on(w);
    const auto meet = [&] { return db.push({.func = "meet", .queue = "changing"}); };
    const auto first = meet(), second = meet();
    EXPECT_TRUE(tells("changing: concurrency 1"));
    (void)db.declare_queue({.name = "changing", .concurrency = 2, .polling_interval = 3600}, true);
    EXPECT_TRUE(reaches(first, job_state::succeeded) && reaches(second, job_state::succeeded));

    (void)db.declare_queue({.name = "changing", .concurrency = 1, .polling_interval = 1}, true);
    EXPECT_TRUE(tells("changing: concurrency 1"));
    wanted = 1;
    most = 0;
    for (int i = 0; i < 20; ++i) meet();
    EXPECT_TRUE(reaches(meet(), job_state::succeeded));
    EXPECT_EQ(most, 1);

    // It polls every second now: what no event tells is found.
    const auto later = db.push({.func = "meet", .queue = "changing", .scheduled_at = chancy::now() + 1h});
    test::sql("UPDATE chancy.jobs SET scheduled_at = now() WHERE state = 'pending'");
    EXPECT_TRUE(reaches(later, job_state::succeeded));
}

TEST_F(worker, an_eager_queue_is_looked_at_after_each_job) {
    (void)db.declare_queue({.name = "eager", .eager_polling = true});
    auto o = options();  // polls once an hour, and hears nothing
    o.listen = false;
    o.queues = {"eager"};
    chancy::worker w(o);
    w.on("next", [](job_context& job) {
        const int left = job.kwargs().at("left");
        if (left > 0) chancy::client().push({.func = "next", .kwargs = {{"left", left - 1}}, .queue = "eager"});
    });
    db.push({.func = "next", .kwargs = {{"left", 20}}, .queue = "eager"});  // more than the looks of a minute for changes of the queue would find
    const running on(w);
    EXPECT_TRUE(eventually([] { return test::sql("SELECT count(*) FROM chancy.jobs WHERE state = 'succeeded'").at(0) == "21"; }));
}

TEST_F(worker, is_woken_by_an_event) {
    chancy::worker w(options());  // polls once an hour
    w.on("a", [](job_context&) {});
    const running on(w);
    ASSERT_TRUE(eventually([&] { return db.list_workers().size() == 1; }));
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(reaches(db.push({.func = "a"}), job_state::succeeded));
    db.pause_queue("default");
    const auto id = db.push({.func = "a"});
    db.resume_queue("default");
    EXPECT_TRUE(reaches(id, job_state::succeeded));
}

TEST_F(worker, polls_when_it_does_not_listen) {
    auto o = options();
    o.listen = false;
    o.poll_interval = 50ms;
    chancy::worker w(o);
    w.on("a", [](job_context&) {});
    const running on(w);
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(reaches(db.push({.func = "a"}), job_state::succeeded));
}

TEST_F(worker, cancel_stops_a_running_handler) {
    for (const bool listen : {true, false}) {
        auto o = options();
        o.listen = listen;
        o.poll_interval = 50ms;
        o.heartbeat_interval = 200ms;  // without events, the heartbeat finds out
        chancy::worker w(o);
        std::promise<void> stopped;
        w.on("endless", [&](job_context& job) {
            while (!job.stop_token().stop_requested()) std::this_thread::sleep_for(1ms);
            stopped.set_value();
            return chancy::json("too late");
        });
        running on(w);
        const auto id = db.push({.func = "endless", .max_attempts = 5});
        ASSERT_TRUE(reaches(id, job_state::running));
        EXPECT_TRUE(db.cancel_job(id));
        ASSERT_EQ(stopped.get_future().wait_for(60s), std::future_status::ready) << listen;
        on.stop();
        const auto after = db.get_job(id);
        EXPECT_EQ(after->state, job_state::failed);
        EXPECT_FALSE(after->result);
    }
}

TEST_F(worker, a_cancel_told_late_does_not_stop_the_attempt_that_came_after_it) {
    auto o = options();
    o.heartbeat_interval = 8h;  // nothing but events tells it
    o.heartbeat_timeout = 24h;
    chancy::worker w(o);
    std::atomic<bool> may_end = false;
    std::atomic<int> begun = 0, stopped = 0;
    w.on("a", [&](job_context& job) {
        ++begun;
        while (!may_end && !job.stop_token().stop_requested()) std::this_thread::sleep_for(1ms);
        stopped += job.stop_token().stop_requested();
    });
    const running on(w);
    const auto retried = db.push({.func = "a"}), cancelled = db.push({.func = "a"});
    ASSERT_TRUE(eventually([&] { return begun == 2; }));
    // As if it had been cancelled and retried, and taken again before its worker heard of the cancel. The other one is told of after it.
    test::sql("SELECT pg_notify('chancy_events', json_build_object('t', 'job.cancelled', 'j', '" + retried.to_string() + "')::text)");
    EXPECT_TRUE(db.cancel_job(cancelled));
    EXPECT_TRUE(eventually([&] { return stopped == 1; }));
    may_end = true;
    EXPECT_TRUE(reaches(retried, job_state::succeeded));
    EXPECT_EQ(stopped, 1);
}

TEST_F(worker, a_job_that_runs_again_is_not_stopped_for_the_attempt_that_is_over) {
    auto o = options();
    o.heartbeat_interval = 200ms;
    chancy::worker w(o);
    std::atomic<int> attempts = 0;
    std::atomic<bool> may_snooze = false, may_end = false, stopped = false;
    w.on("a", [&](job_context& job) {
        const bool first = ++attempts == 1;
        while (!(first ? may_snooze : may_end) && !job.stop_token().stop_requested()) std::this_thread::sleep_for(1ms);
        stopped = job.stop_token().stop_requested();
        if (first) throw chancy::snooze(0ms);
    });
    // The heartbeat's answer waits, and is of the moment between the two attempts.
    struct between {
        between() {
            test::sql("ALTER FUNCTION chancy.running_jobs(text) RENAME TO running_jobs_now");
            test::sql("CREATE FUNCTION chancy.running_jobs(worker_id text) RETURNS SETOF chancy.jobs LANGUAGE plpgsql AS $$ BEGIN"
                      " IF EXISTS (SELECT FROM pg_listening_channels()) THEN PERFORM pg_advisory_xact_lock(17);"
                      " ELSE RETURN QUERY SELECT * FROM chancy.running_jobs_now(worker_id); END IF; END $$");
        }
        ~between() { end(); }
        void end() {
            if (!std::exchange(m_holds, false)) return;
            test::sql("DROP FUNCTION chancy.running_jobs(text)");
            test::sql("ALTER FUNCTION chancy.running_jobs_now(text) RENAME TO running_jobs");
        }
        bool m_holds = true;
    } answer;
    const auto beats = [&] { return db.list_workers().at(0).last_seen; };
    std::optional<test::holder> held("SELECT pg_advisory_lock(17)");
    const running on(w);
    const auto id = db.push({.func = "a"});
    ASSERT_TRUE(eventually([] { return test::sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted").at(0) == "1"; }));
    may_snooze = true;
    ASSERT_TRUE(eventually([&] { return attempts == 2; }));
    answer.end();
    const auto before = beats();
    held.reset();
    EXPECT_TRUE(eventually([&] { return beats() > before; }));
    may_end = true;
    EXPECT_TRUE(reaches(id, job_state::succeeded));
    EXPECT_EQ(attempts, 2);
    EXPECT_FALSE(stopped);
}

TEST_F(worker, a_result_that_cannot_be_stored_fails_its_job_alone) {
    chancy::worker w(options());
    w.on("good", [](job_context&) { return chancy::json("fine"); });
    w.on("bad", [](job_context&) { return chancy::json(std::string("a\0b", 3)); });  // jsonb has no \u0000
    std::vector<chancy::new_job> jobs(40, {.func = "good"});
    jobs.insert(jobs.begin() + 17, {.func = "bad"});
    const auto ids = db.push_many(jobs);
    const running on(w);
    for (const auto& [id, created] : ids) EXPECT_TRUE(eventually([&] { return db.get_job(id)->finished(); }));
    EXPECT_EQ(test::sql("SELECT count(*) FROM chancy.jobs WHERE state = 'succeeded'").at(0), "40");
    const auto bad = db.get_job(ids[17].id);
    EXPECT_EQ(bad->state, job_state::failed);
    EXPECT_EQ(bad->attempts, 1);
    EXPECT_NE(bad->errors.at(0).at("traceback").get<std::string>().find("could not be stored"), std::string::npos);
}

TEST_F(worker, a_result_for_a_held_job_waits_without_stalling_others) {
    auto o = options();
    chancy::worker w(o);
    std::promise<void> go;
    auto may_go = go.get_future().share();
    w.on("held", [may_go](job_context&) { may_go.wait(); });
    w.on("free", [](job_context&) {});
    const running on(w);
    const auto held = db.push({.func = "held"});
    ASSERT_TRUE(reaches(held, job_state::running));
    {
        const test::holder lock("SELECT FROM chancy.jobs WHERE func = 'held' FOR UPDATE");
        go.set_value();
        // Long enough for it to be tried alone, too.
        ASSERT_TRUE(eventually([] {
            return test::sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%apply_updates%'").at(0) != "0";
        }));
        for (int i = 0; i < 3; ++i) EXPECT_TRUE(reaches(db.push({.func = "free"}), job_state::succeeded));
        EXPECT_EQ(db.get_job(held)->state, job_state::running);
    }
    EXPECT_TRUE(reaches(held, job_state::succeeded));
}

TEST_F(worker, serves_the_declared_queues_whose_tags_match) {
    (void)db.declare_queue({.name = "gpu", .tags = {"has=gpu$"}, .polling_interval = 3600});
    (void)db.declare_queue({.name = "anybody", .polling_interval = 3600});
    (void)db.declare_queue({.name = "elsewhere", .tags = {"gpu", "hostname=nowhere\\.", "("}, .polling_interval = 3600});
    (void)db.declare_queue({.name = "nobody", .tags = {}, .polling_interval = 3600});
    auto o = options();
    o.queues = {};
    o.tags = {"has=gpu"};
    chancy::worker w(o);
    w.on("a", [](job_context&) {});
    const running on(w);
    std::map<std::string, chancy::uuid> jobs;
    const auto push = [&](const char* queue) { jobs[queue] = db.push({.func = "a", .queue = queue}); };
    for (const char* queue : {"default", "gpu", "anybody", "elsewhere", "nobody"}) push(queue);
    for (const char* queue : {"default", "gpu", "anybody"}) EXPECT_TRUE(reaches(jobs[queue], job_state::succeeded)) << queue;
    const auto served = [&](const std::vector<std::string>& queues) { return eventually([&] { return db.list_workers().at(0).queues == queues; }); };
    EXPECT_TRUE(served({"anybody", "default", "gpu"}));

    // What is declared, changed and deleted while it runs.
    (void)db.declare_queue({.name = "elsewhere", .tags = {"arch="}, .polling_interval = 3600}, true);
    EXPECT_TRUE(reaches(jobs["elsewhere"], job_state::succeeded));
    (void)db.declare_queue({.name = "later", .polling_interval = 3600});
    push("later");
    EXPECT_TRUE(reaches(jobs["later"], job_state::succeeded));
    (void)db.declare_queue({.name = "gpu", .tags = {"has=tpu"}, .polling_interval = 3600}, true);
    EXPECT_TRUE(eventually([&] {
        try {
            return db.delete_queue("anybody");
        } catch (const chancy::error&) {  // its last job is just being written
            return false;
        }
    }));
    EXPECT_TRUE(served({"default", "elsewhere", "later"}));
    push("gpu");
    (void)db.declare_queue({.name = "gpu", .polling_interval = 3600}, true);
    EXPECT_TRUE(reaches(jobs["gpu"], job_state::succeeded));
    (void)db.declare_queue({.name = "anybody", .polling_interval = 3600});
    push("anybody");
    EXPECT_TRUE(reaches(jobs["anybody"], job_state::succeeded));
    EXPECT_TRUE(served({"anybody", "default", "elsewhere", "gpu", "later"}));  // anew: the flows before have ended
    EXPECT_EQ(db.get_job(jobs["nobody"])->state, job_state::pending);
}

TEST_F(worker, a_queue_that_is_named_is_served_whatever_its_tags) {
    (void)db.declare_queue({.name = "ours", .tags = {}});
    auto o = options();
    o.queues = {"ours"};
    chancy::worker w(o);
    w.on("a", [](job_context&) {});
    const running on(w);
    EXPECT_TRUE(reaches(db.push({.func = "a", .queue = "ours"}), job_state::succeeded));
}

TEST_F(worker, each_queue_has_its_own_executor_and_concurrency) {
    (void)db.declare_queue({.name = "children"});
    (void)db.declare_queue({.name = "threads", .executor = "chancy.executors.thread.ThreadedExecutor"});
    (void)db.declare_queue({.name = "overruled"});
    (void)db.declare_queue({.name = "unknown", .executor = "app.OwnExecutor"});
    std::mutex mutex;
    std::vector<std::string> told;
    auto o = options();
    o.queues = {"children", "threads", "overruled", "unknown"};
    o.run_on = chancy::executor::as_declared;
    o.by_queue = {{"overruled", {.concurrency = 1, .run_on = chancy::executor::threads}}};
    o.log = [&](chancy::log_level level, const std::string& text) {
        const std::lock_guard lock(mutex);
        if (level == chancy::log_level::error) told.push_back(text);
    };
    chancy::worker w(o);
    w.on("pid", [](job_context&) { return chancy::json(::getpid()); });
    const running on(w);
    const auto pid = [&](const char* queue) {
        const auto id = db.push({.func = "pid", .queue = queue});
        EXPECT_TRUE(reaches(id, job_state::succeeded)) << queue;
        return db.get_job(id)->result->get<int>();
    };
    const auto refused = db.push({.func = "pid", .queue = "unknown"});
    EXPECT_NE(pid("children"), ::getpid());
    EXPECT_EQ(pid("threads"), ::getpid());
    EXPECT_EQ(pid("overruled"), ::getpid());
    // From children to threads, while it runs.
    (void)db.declare_queue({.name = "children", .executor = "chancy.executors.asyncex.AsyncExecutor"}, true);
    EXPECT_TRUE(eventually([&] { return pid("children") == ::getpid(); }));
    EXPECT_EQ(db.get_job(refused)->state, job_state::pending);
    const std::lock_guard lock(mutex);
    ASSERT_EQ(told.size(), 1u);
    EXPECT_NE(told[0].find("app.OwnExecutor"), std::string::npos) << told[0];
    EXPECT_NE(told[0].find("chancy.executors.sub.SubInterpreterExecutor"), std::string::npos) << told[0];
}

TEST_F(worker, kwargs_have_types) {
    chancy::worker w(options());
    w.on("typed", [](job_context& job) {
        return chancy::json{job.get<std::string>("s"), job.get<int>("n"), job.get<std::vector<int>>("v"), job.get("absent", 7), job.attempt(), job.last_attempt()};
    });
    w.on("wrong", [](job_context& job) { return chancy::json(job.get<int>(job.get<std::string>("name"))); });
    const running on(w);
    const auto typed = db.push({.func = "typed", .kwargs = {{"s", "x"}, {"n", 1}, {"v", {1, 2}}, {"absent", nullptr}}});
    const auto missing = db.push({.func = "wrong", .kwargs = {{"name", "nowhere"}}}), wrong = db.push({.func = "wrong", .kwargs = {{"name", "name"}}});
    EXPECT_TRUE(reaches(typed, job_state::succeeded) && reaches(missing, job_state::failed) && reaches(wrong, job_state::failed));
    EXPECT_EQ(db.get_job(typed)->result, (chancy::json{"x", 1, {1, 2}, 7, 0, true}));
    EXPECT_EQ(db.get_job(missing)->errors[0].at("traceback"), "kwargs.nowhere is missing");
    EXPECT_EQ(db.get_job(wrong)->errors[0].at("traceback"), "kwargs.name is of another type: string");
}
