#include "support.hpp"

using update = test::db_test;
using chancy::job_state;
using chancy::outcome;
using namespace std::chrono_literals;

TEST_F(update, fetch_gives_jobs_by_priority_and_takes_them) {
    const auto low = db.push({.func = "a"});
    const auto high = db.push({.func = "a", .priority = 5});
    db.push({.func = "a", .scheduled_at = chancy::now() + 1h});
    const auto jobs = db.fetch_jobs("default", "me", 10);
    ASSERT_EQ(jobs.size(), 2u);
    EXPECT_EQ(jobs[0].id, high);
    EXPECT_EQ(jobs[1].id, low);
    EXPECT_EQ(jobs[0].state, job_state::running);
    EXPECT_EQ(jobs[0].taken_by, "me");
    EXPECT_TRUE(jobs[0].started_at);
    EXPECT_TRUE(db.fetch_jobs("default", "you", 10).empty());
    EXPECT_EQ(db.running_jobs("me").size(), 2u);
    EXPECT_TRUE(db.running_jobs("you").empty());
    EXPECT_TRUE(db.fetch_jobs("no such queue", "me", 1).empty());
}

TEST_F(update, success_keeps_result_and_meta) {
    const auto j = claim({.func = "a"});
    const auto done = db.apply_updates("tester", {{{.id = j.id, .started_at = *j.started_at, .meta = {{{"m", 1}}}, .result = {{{"r", "Ж"}}}}}});
    ASSERT_EQ(done.size(), 1u);
    EXPECT_EQ(done[0].id, j.id);
    EXPECT_EQ(done[0].ok, true);
    EXPECT_EQ(done[0].state, "succeeded");
    const auto after = db.get_job(j.id);
    EXPECT_EQ(after->state, job_state::succeeded);
    EXPECT_EQ(after->attempts, 1);
    EXPECT_EQ(after->result, (chancy::json{{"r", "Ж"}}));
    EXPECT_EQ(after->meta, (chancy::json{{"m", 1}}));
    EXPECT_TRUE(after->completed_at);
}

TEST_F(update, outcomes) {
    struct expectation {
        outcome how;
        int max_attempts;
        job_state state;
        int attempts;
    };
    for (const expectation& x : {expectation{outcome::failed, 2, job_state::retrying, 1}, {outcome::failed, 1, job_state::failed, 1},
                                 {outcome::discarded, 5, job_state::failed, 1}, {outcome::snoozed, 1, job_state::pending, 0},
                                 {outcome::released, 1, job_state::pending, 0}}) {
        const auto j = claim({.func = "a", .max_attempts = x.max_attempts});
        chancy::update u{.id = j.id, .started_at = *j.started_at, .how = x.how};
        const auto later = chancy::timestamp(chancy::now() + 1h);
        if (x.how == outcome::failed || x.how == outcome::discarded) u.error = "no luck";
        if (x.how == outcome::snoozed) u.retry_at = later;
        ASSERT_EQ(db.apply_updates("tester", {&u, 1}).at(0).ok, true);
        const auto after = db.get_job(j.id);
        EXPECT_EQ(after->state, x.state) << to_string(x.how);
        EXPECT_EQ(after->attempts, x.attempts) << to_string(x.how);
        if (u.error) {
            EXPECT_EQ(after->errors.at(0).at("traceback"), "no luck");
        }
        if (u.retry_at) {
            EXPECT_EQ(after->scheduled_at, later);
        }
        db.cancel_job(j.id);
    }
}

TEST_F(update, a_result_of_another_attempt_is_stale) {
    const auto j = claim({.func = "a"});
    const std::vector<chancy::update> updates{{.id = j.id, .started_at = *j.started_at + 1us},
                                              {.id = *chancy::uuid::parse("00000000-0000-0000-0000-000000000001"), .started_at = *j.started_at}};
    const auto done = db.apply_updates("tester", updates);
    EXPECT_EQ(done.at(0).ok, false);
    EXPECT_EQ(done.at(0).reason, "stale");
    EXPECT_EQ(done.at(1).reason, "missing");
    EXPECT_EQ(db.apply_updates("impostor", {{{.id = j.id, .started_at = *j.started_at}}}).at(0).reason, "stale");
    EXPECT_EQ(db.get_job(j.id)->state, job_state::running);
}

TEST_F(update, exchange_applies_and_fetches) {
    const auto first = claim({.func = "a"});
    const auto gone = claim({.func = "b"});
    db.cancel_job(gone.id);
    const auto second = db.push({.func = "c"});
    const std::vector<chancy::update> updates{{.id = gone.id, .started_at = *gone.started_at}, {.id = first.id, .started_at = *first.started_at}};
    const auto x = db.exchange("tester", updates, "default", 10);
    ASSERT_EQ(x.refused.size(), 1u);
    EXPECT_EQ(x.refused[0].index, 0u);
    EXPECT_EQ(x.refused[0].reason, "stale");
    ASSERT_EQ(x.jobs.size(), 1u);
    EXPECT_EQ(x.jobs[0].id, second);
    EXPECT_EQ(x.passed, 0);
    EXPECT_EQ(db.get_job(first.id)->state, job_state::succeeded);
}

TEST_F(update, a_held_job_is_told_as_locked_or_passed_by) {
    const auto mine = claim({.func = "a"});
    const auto due = db.push({.func = "b"});
    const test::holder lock("SELECT FROM chancy.jobs FOR UPDATE");
    const chancy::update u{.id = mine.id, .started_at = *mine.started_at};
    EXPECT_EQ(db.apply_updates("tester", {&u, 1}, chancy::on_locked::skip).at(0).reason, "locked");
    const auto x = db.exchange("tester", {&u, 1}, "default", 10);
    ASSERT_EQ(x.refused.size(), 1u);
    EXPECT_EQ(x.refused[0].reason, "locked");
    EXPECT_TRUE(x.jobs.empty());
    EXPECT_EQ(x.passed, 1);
    try {
        db.apply_updates("tester", {&u, 1}, 50ms);
        ADD_FAILURE() << "the lock was not waited for";
    } catch (const chancy::error& e) {
        EXPECT_EQ(e.sqlstate(), "55P03");
    }
    EXPECT_EQ(db.get_job(due)->state, job_state::pending);
}

TEST_F(update, with_a_lock_timeout_it_applies_and_leaves_no_setting_behind) {
    const auto j = claim({.func = "a"});
    EXPECT_EQ(db.apply_updates("tester", {{{.id = j.id, .started_at = *j.started_at}}}, 50ms).at(0).ok, true);
    const test::holder lock("LOCK TABLE chancy.queues IN ACCESS EXCLUSIVE MODE");
    std::thread later([&] {
        EXPECT_TRUE(test::eventually([] { return test::sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'").at(0) == "1"; }));
        std::this_thread::sleep_for(200ms);  // longer than the timeout that must be gone
        test::sql("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'");
    });
    try {
        (void)db.list_queues();
        ADD_FAILURE() << "the lock did not hold";
    } catch (const chancy::error& e) {
        EXPECT_EQ(e.sqlstate(), "57014");  // cancelled, and not 55P03
    }
    later.join();
}
