// How a worker ends: with grace, and without.
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

class stop : public test::db_test {
protected:
    // Quiet, and slow to look by itself: what is quick here is quick because it was told.
    static chancy::worker_options options() {
        return {.concurrency = 2, .poll_interval = 1h, .log = [](chancy::log_level, const std::string&) {}};
    }
};

void wait_to_stop(job_context& job) {
    while (!job.stop_token().stop_requested()) std::this_thread::sleep_for(1ms);
    job.check_cancelled();
}

}  // namespace

TEST_F(stop, a_graceful_one_finishes_what_runs_and_releases_the_rest) {
    auto o = options();
    o.concurrency = 1;
    chancy::worker w(o);
    std::promise<void> go;
    auto may_go = go.get_future().share();
    w.on("quick", [](job_context&) {});
    w.on("slow", [may_go](job_context&) { may_go.wait(); });
    running on(w);
    // A flood of quick ones, so that jobs are fetched ahead, and then a slow one with jobs behind it.
    std::vector<chancy::new_job> jobs(300, {.func = "quick", .priority = 2});
    jobs.push_back({.func = "slow", .priority = 1});
    jobs.insert(jobs.end(), 100, {.func = "quick"});
    const auto ids = db.push_many(jobs);
    const auto slow = ids[300].id;
    ASSERT_TRUE(reaches(slow, job_state::running));
    ASSERT_TRUE(eventually([] { return test::sql("SELECT count(*) FROM chancy.jobs WHERE state = 'succeeded'").at(0) == "300"; }));
    w.stop();
    EXPECT_TRUE(eventually([] { return test::sql("SELECT count(*) FROM chancy.jobs WHERE state = 'running'").at(0) == "1"; }));
    go.set_value();
    on.stop();
    EXPECT_EQ(db.get_job(slow)->state, job_state::succeeded);
    EXPECT_EQ(test::sql("SELECT count(*) FROM chancy.jobs WHERE state = 'pending' AND attempts = 0").at(0), "100");
    EXPECT_TRUE(db.list_workers().empty());
}

TEST_F(stop, when_the_grace_ends_handlers_are_stopped_and_their_jobs_released) {
    auto o = options();
    o.grace = 0ms;
    chancy::worker w(o);
    w.on("endless", wait_to_stop);
    running on(w);
    const auto id = db.push({.func = "endless"});
    ASSERT_TRUE(reaches(id, job_state::running));
    on.stop();
    const auto after = db.get_job(id);
    EXPECT_EQ(after->state, job_state::pending);
    EXPECT_EQ(after->attempts, 0);
    EXPECT_TRUE(after->errors.empty());
}

TEST_F(stop, a_second_one_means_now) {
    auto o = options();
    o.grace = 24h;
    chancy::worker w(o);
    w.on("endless", wait_to_stop);
    running on(w);
    const auto id = db.push({.func = "endless"});
    ASSERT_TRUE(reaches(id, job_state::running));
    w.stop();
    on.stop();
    EXPECT_EQ(db.get_job(id)->state, job_state::pending);
}

TEST_F(stop, a_handler_that_does_not_stop_is_left_behind) {
    auto go = std::make_shared<std::promise<void>>();
    auto done = std::make_shared<std::promise<void>>();
    auto begun = std::make_shared<std::atomic<bool>>(false);
    const auto may_go = go->get_future().share();
    const auto id = db.push({.func = "deaf"});
    {
        auto o = options();
        o.grace = 0ms;
        chancy::worker w(o);
        w.on("deaf", [may_go, done, begun](job_context&) {
            *begun = true;
            may_go.wait();
            done->set_value();
        });
        running on(w);
        ASSERT_TRUE(eventually([&] { return begun->load(); }));  // running it is before
    }
    EXPECT_EQ(db.get_job(id)->state, job_state::pending);
    go->set_value();  // and its late end does no harm
    EXPECT_EQ(done->get_future().wait_for(60s), std::future_status::ready);
}
