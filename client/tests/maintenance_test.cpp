#include "support.hpp"

using chancy::job_state;
using test::eventually;
using namespace std::chrono_literals;

namespace {

// Recovery is due every second, instead of every ten.
class maintenance : public test::db_test {
protected:
    void SetUp() override {
        db_test::SetUp();
        test::sql("DELETE FROM chancy.task_runs WHERE name <> 'up'; INSERT INTO chancy.tasks (name, every) VALUES ('recovery', '1 s')");
    }
    void TearDown() override { test::sql("DELETE FROM chancy.tasks"); }

    // As if it had been claimed as long ago as a heartbeat lasts.
    static void claimed_before() { test::sql("UPDATE chancy.jobs SET started_at = started_at - interval '1 s' WHERE state = 'running'"); }

    // Claimed by a worker that has died since.
    chancy::job orphan(int recoveries = 0) {
        db.heartbeat("dead", {}, {"default"}, 1s);
        const auto j = claim({.func = "a"}, "dead");
        test::sql("UPDATE chancy.jobs SET recoveries = " + std::to_string(recoveries) + " WHERE id = '" + j.id.to_string() + "'");
        claimed_before();
        EXPECT_TRUE(eventually([] { return test::sql("SELECT 1 FROM chancy.workers WHERE expires_at < clock_timestamp()").size() == 1; }));
        return j;
    }
};

}  // namespace

TEST_F(maintenance, recovers_jobs_of_expired_workers) {
    const auto j = orphan();
    EXPECT_EQ(chancy::json(db.recover_jobs()), (chancy::json{{"recovered", 1}, {"failed", 0}}));
    EXPECT_EQ(db.get_job(j.id)->state, job_state::pending);
    EXPECT_EQ(db.get_job(j.id)->recoveries, 1);
    EXPECT_EQ(db.recover_jobs().recovered, 0);

    ASSERT_EQ(db.fetch_jobs("default", "dead").size(), 1u);
    claimed_before();
    EXPECT_EQ(db.recover_jobs(1, 90s, 10).failed, 1);
    EXPECT_EQ(db.get_job(j.id)->state, job_state::failed);
}

TEST_F(maintenance, prunes_by_a_rule) {
    const auto live = db.push({.func = "a"});
    for (int i = 0; i < 3; ++i) db.cancel_job(db.push({.func = "a"}));
    EXPECT_EQ(db.prune_jobs({{"age", "1 day"}}), 0);
    EXPECT_EQ(db.prune_jobs({{"state", "failed"}}, 2), 2);
    EXPECT_EQ(db.prune_jobs({{"state", "failed"}}), 1);
    EXPECT_TRUE(db.get_job(live));
    try {
        db.prune_jobs({{"colour", "red"}});
        ADD_FAILURE() << "took a rule that there is not";
    } catch (const chancy::error& e) {
        EXPECT_EQ(e.sqlstate(), "22023");
        EXPECT_EQ(e.function(), "prune_jobs");
    }
}

TEST_F(maintenance, maintain_runs_what_is_due) {
    const auto j = orphan();
    const auto runs = db.maintain();
    const auto recovery = std::ranges::find(runs, "recovery", &chancy::task_run::task);
    ASSERT_NE(recovery, runs.end());
    EXPECT_EQ(recovery->did.at("recovered"), 1);
    EXPECT_EQ(db.get_job(j.id)->state, job_state::pending);
}

TEST_F(maintenance, tasks_are_set_and_listed) {
    const auto get = [&](const std::string& name) {
        const auto all = db.list_tasks();
        return *std::ranges::find(all, name, &chancy::task::name);
    };
    EXPECT_EQ(get("recovery").every, 1s);
    EXPECT_FALSE(get("recovery").last_run);
    EXPECT_EQ(db.next_maintenance(), 0ms);
    db.set_task("recovery", {.every = 2h, .settings = chancy::json{{"grace", 120}}});
    db.set_task("recovery", {.enabled = true});
    EXPECT_EQ(get("recovery").every, 2h);
    EXPECT_EQ(get("recovery").settings, (chancy::json{{"grace", 120}}));
    db.maintain();
    EXPECT_EQ(get("recovery").did, (chancy::json{{"recovered", 0}, {"failed", 0}}));
    EXPECT_FALSE(get("recovery").failed());
    EXPECT_EQ(*get("recovery").next_due - *get("recovery").last_run, 2h);
    for (const auto& t : db.list_tasks()) db.set_task(t.name, {.enabled = t.name == "recovery"});
    EXPECT_GT(*db.next_maintenance(), 1h);
    db.set_task("recovery", {.enabled = false});
    EXPECT_FALSE(db.next_maintenance());
    EXPECT_TRUE(db.reset_task("recovery"));
    EXPECT_FALSE(db.reset_task("recovery"));
    try {
        db.set_task("recovery", {.settings = chancy::json{{"colour", "red"}}});
        ADD_FAILURE() << "took a setting that there is not";
    } catch (const chancy::error& e) {
        EXPECT_EQ(e.sqlstate(), "22023");
    }
}

TEST_F(maintenance, raises_jobs_that_wait) {
    const auto id = db.push({.func = "a"});
    EXPECT_EQ(db.reprioritize({.ceiling = 3}), 0);
    test::sql("UPDATE chancy.jobs SET scheduled_at = now() - interval '1 hour', created_at = now() - interval '1 hour', "
              "id = '00000000-0000-4000-8000-000000000000' WHERE id = '" + id.to_string() + "'");
    EXPECT_EQ(db.reprioritize({.ceiling = 3, .rule = chancy::json{{"func", "b"}}}), 0);
    EXPECT_EQ(db.reprioritize({.ceiling = 3, .by = 5}), 1);
    EXPECT_EQ(db.reprioritize({.ceiling = 3, .by = 5}), 0);
    EXPECT_EQ(db.list_jobs().at(0).priority, 3);
}

TEST_F(maintenance, one_leads) {
    test::sql("TRUNCATE chancy.leader");
    EXPECT_TRUE(db.acquire_leadership("w1", 1min));
    EXPECT_TRUE(db.acquire_leadership("w1", 1min));
    EXPECT_FALSE(db.acquire_leadership("w2", 1min));
    EXPECT_TRUE(db.release_leadership("w1"));
    EXPECT_FALSE(db.release_leadership("w1"));
    EXPECT_TRUE(db.acquire_leadership("w2", 1min));
}

// The pruner has not done after a batch: the worker does not wait for its next turn.
TEST_F(maintenance, a_worker_goes_on_while_there_is_more) {
    for (int i = 0; i < 5; ++i) db.cancel_job(db.push({.func = "a"}));
    db.set_task("pruner", {.settings = chancy::json{{"rule", {{"state", "failed"}}}, {"up_to", 1}}});
    chancy::worker w({.poll_interval = 1h, .maintain_interval = 1s, .log = [](chancy::log_level, const std::string&) {}});
    w.on("a", [](chancy::job_context&) {});
    std::thread on([&] { w.run(); });
    EXPECT_TRUE(eventually([&] { return db.list_jobs().empty(); }));
    w.stop();
    on.join();
}

TEST_F(maintenance, a_worker_recovers_the_jobs_of_a_dead_one) {
    for (const bool listen : {true, false}) {
        const auto j = orphan();
        chancy::worker w({.listen = listen, .poll_interval = 200ms, .maintain_interval = 100ms, .log = [](chancy::log_level, const std::string&) {}});
        w.on("a", [](chancy::job_context&) {});
        std::thread on([&] { w.run(); });
        EXPECT_TRUE(eventually([&] { return db.get_job(j.id)->state == job_state::succeeded; })) << listen;
        EXPECT_EQ(db.get_job(j.id)->attempts, 1);
        w.stop();
        on.join();
    }
}

TEST_F(maintenance, its_errors_are_told_once_and_end_no_worker) {
    // Whatever is wrong there: a role without the right, say.
    test::sql("ALTER FUNCTION chancy.maintain() RENAME TO maintain_away");
    std::mutex mutex;
    int told = 0;
    chancy::worker w({.poll_interval = 1h, .maintain_interval = 10ms, .log = [&](chancy::log_level, const std::string& text) {
                          const std::lock_guard lock(mutex);
                          told += text.starts_with("maintenance: ");
                      }});
    w.on("a", [](chancy::job_context&) {});
    std::thread on([&] { w.run(); });
    EXPECT_TRUE(eventually([&] {
        const std::lock_guard lock(mutex);
        return told == 1;
    }));
    const auto id = db.push({.func = "a"});
    EXPECT_TRUE(eventually([&] { return db.get_job(id)->state == job_state::succeeded; }));
    std::this_thread::sleep_for(100ms);  // ten more of them
    w.stop();
    on.join();
    EXPECT_EQ(told, 1);
    test::sql("ALTER FUNCTION chancy.maintain_away() RENAME TO maintain");
}

TEST_F(maintenance, can_be_switched_off) {
    test::sql("DELETE FROM chancy.task_runs WHERE name = 'recovery'");
    chancy::worker w({.heartbeat_interval = 50ms, .maintain_interval = 0ms, .log = [](chancy::log_level, const std::string&) {}});
    w.on("a", [](chancy::job_context&) {});
    std::thread on([&] { w.run(); });
    const auto id = db.push({.func = "a"});
    EXPECT_TRUE(eventually([&] { return db.get_job(id)->state == job_state::succeeded; }));
    w.stop();
    on.join();
    EXPECT_TRUE(test::sql("SELECT 1 FROM chancy.task_runs WHERE name = 'recovery'").empty());
}
