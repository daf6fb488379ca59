// Limits over all workers: of jobs at once, and of starts in a time.
#include "support.hpp"

#include <atomic>
#include <map>
#include <mutex>
#include <thread>

using test::eventually;
using limit = test::db_test;
using namespace std::chrono_literals;

namespace {

// Workers, each with its own connections, that look by themselves once an hour: what is quick here was told to them.
class crew {
public:
    crew(int size, const std::string& queue, const std::function<void(chancy::job_context&)>& run) {
        for (int i = 0; i < size; ++i) {
            m_workers.push_back(std::make_unique<chancy::worker>(chancy::worker_options{
                .queues = {queue}, .concurrency = 4, .poll_interval = 1h, .log = [](chancy::log_level, const std::string&) {}}));
            m_workers.back()->on("work", run);
            m_threads.emplace_back([w = m_workers.back().get()] { w->run(); });
        }
    }
    ~crew() {
        for (const auto& w : m_workers) w->stop();
        for (auto& t : m_threads) t.join();
    }

private:
    std::vector<std::unique_ptr<chancy::worker>> m_workers;
    std::vector<std::thread> m_threads;
};

// How many of each key run at once, at most.
class gauge {
public:
    void enter(const std::string& key) {
        const std::lock_guard lock(m_mutex);
        auto& [now, most] = m_counts[key];
        most = std::max(most, ++now);
    }
    void leave(const std::string& key) {
        const std::lock_guard lock(m_mutex);
        --m_counts[key].first;
    }
    int most(const std::string& key) { return m_counts[key].second; }

private:
    std::mutex m_mutex;
    std::map<std::string, std::pair<int, int>> m_counts;
};

bool all_done(const std::string& queue) {
    return eventually([&] { return test::sql("SELECT count(*) FROM chancy.jobs WHERE queue = '" + queue + "' AND state <> 'succeeded'").at(0) == "0"; });
}

}  // namespace

TEST_F(limit, of_a_queue_holds_over_all_workers) {
    db.declare_queue({.name = "two", .max_running = 2});
    gauge g;
    const crew on(3, "two", [&](chancy::job_context&) {
        g.enter("");
        std::this_thread::sleep_for(2ms);
        g.leave("");
    });
    db.push_many(std::vector<chancy::new_job>(60, {.func = "work", .queue = "two"}));
    EXPECT_TRUE(all_done("two"));
    EXPECT_EQ(g.most(""), 2);
}

TEST_F(limit, of_a_key_holds_and_keys_do_not_starve) {
    db.declare_queue({.name = "keys", .max_running_per_key = 1});
    gauge g;
    std::mutex mutex;
    std::vector<std::string> order;
    std::vector<chancy::new_job> jobs(60, {.func = "work", .queue = "keys", .concurrency_key = "big"});
    for (int i = 0; i < 5; ++i) jobs.push_back({.func = "work", .queue = "keys", .concurrency_key = "small"});
    db.push_many(jobs);
    const crew on(2, "keys", [&](chancy::job_context& job) {
        const std::string key = job.job().concurrency_key.value();
        g.enter(key);
        std::this_thread::sleep_for(2ms);
        g.leave(key);
        const std::lock_guard lock(mutex);
        order.push_back(key);
    });
    EXPECT_TRUE(all_done("keys"));
    EXPECT_EQ(g.most("big"), 1);
    EXPECT_EQ(g.most("small"), 1);
    // Pushed after 60 of the other's, the five are done long before those.
    EXPECT_EQ(std::count(order.begin(), order.begin() + 40, "small"), 5);
}

TEST_F(limit, of_starts_is_waited_for_as_long_as_told) {
    db.declare_queue({.name = "slow", .rate_limit = 50, .rate_limit_window = 1, .rate_limit_burst = 1});
    db.push_many(std::vector<chancy::new_job>(10, {.func = "work", .queue = "slow"}));
    const crew on(1, "slow", [](chancy::job_context&) {});
    EXPECT_TRUE(all_done("slow"));
}

TEST_F(limit, concurrency_keys_travel) {
    db.declare_queue({.name = "shared", .max_running_per_key = 1});
    const chancy::new_job jobs[] = {{.func = "a", .queue = "shared", .concurrency_key = "x"}, {.func = "b", .queue = "shared", .concurrency_key = "x"},
                                    {.func = "c", .queue = "shared", .concurrency_key = "y"}};
    db.push_many(jobs);
    EXPECT_EQ(db.get_job(db.push({.func = "d", .concurrency_key = "z"}))->concurrency_key, "z");
    const auto got = db.fetch_jobs("shared", "me", 9);
    ASSERT_EQ(got.size(), 2u);
    EXPECT_EQ(got[0].concurrency_key, "x");
    EXPECT_EQ(got[1].concurrency_key, "y");
    EXPECT_TRUE(db.fetch_jobs("shared", "me", 9).empty());
}

TEST_F(limit, a_used_up_rate_limit_tells_how_long) {
    db.declare_queue({.name = "slow", .rate_limit = 1, .rate_limit_window = 1000, .rate_limit_burst = 1});
    db.push({.func = "a", .queue = "slow"});
    db.push({.func = "b", .queue = "slow"});
    EXPECT_EQ(db.exchange("me", {}, "slow", 9).jobs.size(), 1u);
    const auto answer = db.exchange("me", {}, "slow", 9);
    EXPECT_TRUE(answer.jobs.empty());
    EXPECT_GT(answer.wait, 500s);
    EXPECT_LE(answer.wait, 1000s);
}
