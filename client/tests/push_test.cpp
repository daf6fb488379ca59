#include "support.hpp"

using push = test::db_test;
using chancy::job_state;

namespace {

chancy::error refusal(const std::function<void()>& call) {
    try {
        call();
    } catch (const chancy::error& e) {
        return e;
    }
    ADD_FAILURE() << "not refused";
    return {"", {}};
}

}  // namespace

TEST_F(push, has_chancys_defaults) {
    const auto before = chancy::now() - std::chrono::minutes(5);
    const auto j = db.get_job(db.push({.func = "a.b"}));
    ASSERT_TRUE(j);
    EXPECT_EQ(j->func, "a.b");
    EXPECT_EQ(j->queue, "default");
    EXPECT_EQ(j->kwargs, chancy::json::object());
    EXPECT_EQ(j->limits, chancy::json::array());
    EXPECT_EQ(j->meta, chancy::json::object());
    EXPECT_EQ(j->errors, chancy::json::array());
    EXPECT_EQ(j->state, job_state::pending);
    EXPECT_EQ(j->priority, 0);
    EXPECT_EQ(j->attempts, 0);
    EXPECT_EQ(j->max_attempts, 1);
    EXPECT_EQ(j->recoveries, 0);
    EXPECT_FALSE(j->taken_by || j->started_at || j->completed_at || j->unique_key || j->result);
    EXPECT_GT(j->created_at, before);
    EXPECT_GT(j->scheduled_at, before);
}

TEST_F(push, keeps_every_field) {
    using namespace std::chrono;
    const chancy::new_job wanted{.func = "mail.send",
                                 .kwargs = {{"to", "Жанна@example.org"}, {"n", -7}, {"x", {1, 2.5, nullptr, "\"\\\n"}}},
                                 .queue = "mail",
                                 .priority = -3,
                                 .max_attempts = 9,
                                 .scheduled_at = sys_days(2031y / May / 6) + 7h + 123456us,
                                 .unique_key = "mail:Ж",
                                 .limits = {{{"t", "time"}, {"v", 30}}},
                                 .meta = {{"trace", "abc"}}};
    const chancy::uuid single = db.push(wanted);
    chancy::new_job again = wanted;
    again.unique_key = "mail:2";
    const chancy::uuid many = db.push_many({{again}}).at(0).id;
    for (const chancy::uuid& id : {single, many}) {
        const auto j = db.get_job(id);
        ASSERT_TRUE(j);
        EXPECT_EQ(j->func, wanted.func);
        EXPECT_EQ(j->kwargs, wanted.kwargs);
        EXPECT_EQ(j->queue, wanted.queue);
        EXPECT_EQ(j->priority, wanted.priority);
        EXPECT_EQ(j->max_attempts, wanted.max_attempts);
        EXPECT_EQ(j->scheduled_at, wanted.scheduled_at);
        EXPECT_EQ(j->limits, wanted.limits);
        EXPECT_EQ(j->meta, wanted.meta);
    }
    EXPECT_EQ(db.get_job(single)->unique_key, wanted.unique_key);
    EXPECT_EQ(db.get_live_job("mail:2")->id, many);
}

TEST_F(push, times_do_not_depend_on_the_sessions_settings) {
    chancy::client odd("options='-c TimeZone=Asia/Kolkata -c DateStyle=SQL,DMY'");
    const chancy::timestamp when = std::chrono::sys_days(std::chrono::year(2031) / 2 / 3) + std::chrono::microseconds(1);
    EXPECT_EQ(odd.get_job(odd.push({.func = "a", .scheduled_at = when}))->scheduled_at, when);
}

TEST_F(push, a_live_key_gives_the_live_job) {
    const auto first = db.push({.func = "a", .unique_key = "k"});
    EXPECT_EQ(db.push({.func = "b", .unique_key = "k"}), first);
    EXPECT_EQ(db.get_job(first)->func, "a");
    db.cancel_job(first);
    EXPECT_NE(db.push({.func = "a", .unique_key = "k"}), first);
}

TEST_F(push, many_come_back_in_order) {
    const auto live = db.push({.func = "a", .unique_key = "z"});
    const std::vector<chancy::new_job> jobs{{.func = "a", .unique_key = "z"}, {.func = "b"}, {.func = "c", .unique_key = "a"},
                                            {.func = "d", .unique_key = "a"}};
    const auto done = db.push_many(jobs);
    ASSERT_EQ(done.size(), 4u);
    EXPECT_EQ(done[0].id, live);
    EXPECT_EQ(done[0].created, false);
    EXPECT_EQ(done[1].created, true);
    EXPECT_EQ(db.get_job(done[1].id)->func, "b");
    EXPECT_EQ(done[2].created, true);
    EXPECT_EQ(done[3].created, false);
    EXPECT_EQ(done[2].id, done[3].id);
    EXPECT_TRUE(db.push_many({}).empty());
}

TEST_F(push, bad_input_is_refused_whole_and_told) {
    const auto e = refusal([&] { db.push_many(std::vector<chancy::new_job>{{.func = "fine"}, {.func = "bad", .max_attempts = 0}}); });
    EXPECT_EQ(e.sqlstate(), "22023");
    EXPECT_NE(std::string(e.what()).find("jobs[1].max_attempts"), std::string::npos) << e.what();
    EXPECT_EQ(e.function(), "push_many");
    EXPECT_FALSE(e.hint().empty());
    EXPECT_FALSE(e.retryable() || e.in_doubt() || e.connection_lost());
    EXPECT_EQ(refusal([&] { db.push({.func = ""}); }).sqlstate(), "22023");
    EXPECT_EQ(refusal([&] { db.push({.func = "a", .kwargs = {1, 2}}); }).sqlstate(), "22023");
    EXPECT_EQ(refusal([&] { db.push({.func = std::string("a\0b", 3)}); }).sqlstate(), "22021");
    EXPECT_EQ(refusal([&] { db.push({.func = "a", .kwargs = {{"x", "\xff"}}}); }).sqlstate(), "22021");
    EXPECT_EQ(refusal([&] { db.push({.func = "a", .unique_key = "\xff"}); }).sqlstate(), "22021");
    EXPECT_EQ(test::sql("SELECT count(*) FROM chancy.jobs").at(0), "0");
}

TEST_F(push, a_batch_has_at_most_100000_jobs) {
    std::vector<chancy::new_job> jobs(100'001, {.func = "a"});
    EXPECT_EQ(refusal([&] { db.push_many(jobs); }).sqlstate(), "54000");
    EXPECT_EQ(test::sql("SELECT count(*) FROM chancy.jobs").at(0), "0");
    jobs.pop_back();
    EXPECT_EQ(db.push_many(jobs).size(), 100'000u);
}

TEST_F(push, at_commit_reserves_ids_and_tells_what_became_of_them) {
    const auto live = db.push({.func = "a", .unique_key = "live"});
    std::vector<chancy::uuid> ids;
    {
        chancy::transaction tx(db);
        ids = tx.push_at_commit(std::vector<chancy::new_job>{{.func = "b", .unique_key = "new"}, {.func = "b", .unique_key = "live"},
                                                             {.func = "b", .unique_key = "withdrawn"}});
        ASSERT_EQ(ids.size(), 3u);
        EXPECT_FALSE(tx.get_job(ids[0]));
        tx.cancel_job(ids[2]);
        tx.commit();
    }
    const auto became = db.pushed();
    ASSERT_EQ(became.size(), 3u);
    for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(became[i].reserved, ids[i]);
    EXPECT_EQ(became[0].id, ids[0]);
    EXPECT_EQ(became[0].created, true);
    EXPECT_EQ(became[1].id, live);
    EXPECT_EQ(became[1].created, false);
    EXPECT_FALSE(became[2].id);
    EXPECT_FALSE(db.get_job(ids[2]));
    // Outside a block the call is its own transaction, and made when it returns.
    EXPECT_TRUE(db.get_job(db.push_at_commit(std::vector<chancy::new_job>{{.func = "c", .unique_key = "alone"}}).at(0)));
}

TEST_F(push, flush_makes_the_buffered_writes_now) {
    chancy::transaction tx(db);
    const auto id = tx.push({.func = "a", .unique_key = "k"});
    EXPECT_FALSE(tx.get_job(id));
    tx.flush();
    EXPECT_EQ(tx.get_job(id)->func, "a");
    tx.rollback();
    EXPECT_FALSE(db.get_job(id));
}

TEST_F(push, meets_a_key_that_is_taken) {
    db.declare_queue({.name = "default"});
    const chancy::uuid first = db.push({.func = "a", .unique_key = "k", .on_conflict = "rerun"});
    EXPECT_EQ(db.push({.func = "b", .kwargs = {{"n", 2}}, .unique_key = "k", .on_conflict = "replace"}), first);
    EXPECT_EQ(db.get_job(first)->func, "b");
    const chancy::job running = db.fetch_jobs("default", "w").at(0);
    EXPECT_FALSE(*db.push_many({{{.func = "c", .unique_key = "k", .on_conflict = "rerun"}}}).at(0).created);
    EXPECT_EQ(db.get_job(first)->next_run->at("func"), "c");
    const std::vector<chancy::update> done{{.id = running.id, .started_at = *running.started_at, .how = chancy::outcome::succeeded}};
    EXPECT_TRUE(db.apply_updates("w", done).at(0).ok);
    EXPECT_EQ(db.get_live_job("k")->func, "c");
    const chancy::error taken = refusal([&] { db.push({.func = "d", .unique_key = "k", .on_conflict = "reject"}); });
    EXPECT_EQ(taken.sqlstate(), "23505");
    EXPECT_FALSE(refusal([&] { db.push({.func = "d", .on_conflict = "rerun"}); }).sqlstate() != "22023");
}

TEST_F(push, keeps_a_key_taken_for_a_period) {
    db.declare_queue({.name = "default"});
    const chancy::uuid first = db.push({.func = "a", .unique_key = "k", .unique_for = std::chrono::hours(1)});
    const chancy::job running = db.fetch_jobs("default", "w").at(0);
    const std::vector<chancy::update> done{{.id = running.id, .started_at = *running.started_at, .how = chancy::outcome::succeeded}};
    EXPECT_TRUE(db.apply_updates("w", done).at(0).ok);
    const chancy::pushed again = db.push_many({{{.func = "b", .unique_key = "k", .unique_for = std::chrono::hours(1)}}}).at(0);
    EXPECT_EQ(again.id, first);
    EXPECT_FALSE(*again.created);
    EXPECT_EQ(db.get_job(first)->unique_until, db.get_job(first)->created_at + std::chrono::hours(1));
}
