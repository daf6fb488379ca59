#include "support.hpp"

using queue = test::db_test;
using cancel = test::db_test;
using chancy::job_state;
using namespace std::chrono_literals;

TEST_F(queue, declare_keeps_or_changes) {
    const chancy::queue wanted{.name = "Ж \"q\"", .concurrency = 3, .tags = {"a,b", "c\"d\\e", "", "NULL"},
                               .executor_options = {{"x", 1}}, .polling_interval = 7, .rate_limit = 5, .rate_limit_window = 60,
                               .resume_at = chancy::timestamp(std::chrono::sys_days(std::chrono::year(2031) / 1 / 2)), .eager_polling = true,
                               .max_running = 20, .max_running_per_key = 2, .rate_limit_burst = 4};
    const auto made = db.declare_queue(wanted);
    EXPECT_EQ(made.name, wanted.name);
    EXPECT_EQ(made.state, "active");
    EXPECT_EQ(made.concurrency, 3);
    EXPECT_EQ(made.tags, wanted.tags);
    EXPECT_EQ(made.executor, wanted.executor);
    EXPECT_EQ(made.executor_options, wanted.executor_options);
    EXPECT_EQ(made.polling_interval, 7);
    EXPECT_EQ(made.rate_limit, 5);
    EXPECT_EQ(made.rate_limit_window, 60);
    EXPECT_EQ(made.resume_at, wanted.resume_at);
    EXPECT_TRUE(made.eager_polling);
    EXPECT_TRUE(made.created_at);
    EXPECT_EQ(made.max_running, 20);
    EXPECT_EQ(made.max_running_per_key, 2);
    EXPECT_EQ(made.rate_limit_burst, 4);

    EXPECT_EQ(db.declare_queue({.name = wanted.name, .concurrency = 9}).concurrency, 3);
    const auto changed = db.declare_queue({.name = wanted.name, .tags = {}}, true);
    EXPECT_FALSE(changed.concurrency);
    EXPECT_FALSE(changed.max_running);
    EXPECT_TRUE(changed.tags.empty());
    EXPECT_EQ(db.list_queues().size(), 2u);
}

TEST_F(queue, a_paused_queue_gives_nothing) {
    db.push({.func = "a"});
    EXPECT_TRUE(db.pause_queue("default"));
    EXPECT_TRUE(db.fetch_jobs("default", "me").empty());
    EXPECT_TRUE(db.resume_queue("default"));
    EXPECT_EQ(db.fetch_jobs("default", "me").size(), 1u);
    const auto later = chancy::timestamp(chancy::now() + 1h);
    EXPECT_TRUE(db.pause_queue("default", later));
    EXPECT_EQ(db.list_queues().at(0).resume_at, later);
    EXPECT_FALSE(db.pause_queue("none"));
    EXPECT_FALSE(db.resume_queue("none"));
}

TEST_F(queue, delete_waits_for_nobody) {
    const auto j = claim({.func = "a"});
    try {
        db.delete_queue("default");
        ADD_FAILURE() << "deleted under a running job";
    } catch (const chancy::error& e) {
        EXPECT_EQ(e.sqlstate(), "55006");
    }
    db.cancel_job(j.id);
    EXPECT_TRUE(db.delete_queue("default"));
    EXPECT_FALSE(db.get_job(j.id));
    EXPECT_FALSE(db.delete_queue("default"));
}

TEST_F(queue, workers_come_and_go) {
    const auto before = chancy::now();
    const auto expires = db.heartbeat("w1", {"a", "b"}, {"default"}, 1h);
    EXPECT_GT(expires, before + 30min);
    const auto workers = db.list_workers();
    ASSERT_EQ(workers.size(), 1u);
    EXPECT_EQ(workers[0].worker_id, "w1");
    EXPECT_EQ(workers[0].tags, (std::vector<std::string>{"a", "b"}));
    EXPECT_EQ(workers[0].queues, (std::vector<std::string>{"default"}));
    EXPECT_EQ(workers[0].expires_at, expires);
    EXPECT_TRUE(db.retire_worker("w1"));
    EXPECT_FALSE(db.retire_worker("w1"));
    EXPECT_TRUE(db.list_workers().empty());
}

TEST_F(cancel, ends_a_live_job_and_frees_its_key) {
    const auto id = db.push({.func = "a", .unique_key = "k"});
    EXPECT_TRUE(db.cancel_job(id));
    EXPECT_FALSE(db.cancel_job(id));
    EXPECT_EQ(db.get_job(id)->state, job_state::failed);
    EXPECT_FALSE(db.get_live_job("k"));
    const auto other = db.push({.func = "a"});
    EXPECT_EQ(db.cancel_jobs(std::vector{id, other, chancy::uuid()}), (std::vector{false, true, false}));
    EXPECT_TRUE(db.cancel_jobs({}).empty());
}

TEST_F(cancel, a_finished_job_can_be_retried) {
    const auto j = claim({.func = "a", .unique_key = "k"});
    EXPECT_FALSE(db.retry_job(j.id));
    db.apply_updates("tester", {{{.id = j.id, .started_at = *j.started_at}}});
    EXPECT_TRUE(db.retry_job(j.id));
    EXPECT_EQ(db.get_job(j.id)->state, job_state::pending);
    db.cancel_job(j.id);
    db.push({.func = "a", .unique_key = "k"});
    EXPECT_FALSE(db.retry_job(j.id));
    EXPECT_FALSE(db.retry_job(chancy::uuid()));
}

TEST_F(queue, jobs_are_listed_newest_first_in_pages) {
    std::vector<chancy::uuid> ids;
    for (int i = 0; i < 5; ++i) ids.push_back(db.push({.func = i % 2 ? "odd" : "even", .queue = i == 4 ? "other" : "default"}));
    const auto all = db.list_jobs();
    ASSERT_EQ(all.size(), 5u);
    EXPECT_EQ(all[0].id, ids[4]);
    EXPECT_EQ(all[4].id, ids[0]);
    const auto page = db.list_jobs({.after = ids[3], .up_to = 2});
    ASSERT_EQ(page.size(), 2u);
    EXPECT_EQ(page[0].id, ids[2]);
    EXPECT_EQ(db.list_jobs({.func = "odd"}).size(), 2u);
    EXPECT_EQ(db.list_jobs({.queue = "other"}).size(), 1u);
    db.cancel_job(ids[0]);
    EXPECT_EQ(db.list_jobs({.state = job_state::failed}).at(0).id, ids[0]);
    EXPECT_EQ(db.get_jobs(std::vector{ids[2], chancy::uuid(), ids[0]}).at(1).id, ids[0]);
    EXPECT_FALSE(db.get_job(chancy::uuid()));
    EXPECT_FALSE(db.get_live_job("none"));
}
