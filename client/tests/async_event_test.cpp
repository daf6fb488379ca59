// Coroutines that wait for events and for jobs.
#include "async_support.hpp"

#include <libpq-fe.h>

using namespace std::chrono_literals;
using test::run;

namespace {

class async_event : public test::db_test {
protected:
    void SetUp() override {
        db_test::SetUp();
        test::sql("DELETE FROM chancy.watches");
    }
};

void terminate() { test::sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"); }

}  // namespace

TEST_F(async_event, a_listener_hears_what_happens) {
    run([](asio::io_context& io) -> asio::awaitable<void> {
        chancy::async_listener ear(io);
        EXPECT_TRUE((co_await ear.wait(1ms)).empty());  // listens from now on
        const chancy::queue wanted{.name = "new"};
        co_await ear.declare_queue(wanted);
        const auto heard = co_await ear.wait(1h);
        EXPECT_EQ(heard.size(), 1u);
        EXPECT_EQ(heard.at(0).type(), "queue.declared");
    });
}

TEST_F(async_event, a_lost_connection_is_told_and_made_again) {
    run([this](asio::io_context& io) -> asio::awaitable<void> {
        chancy::async_listener ear(io);
        EXPECT_TRUE((co_await ear.wait(1ms)).empty());
        terminate();
        bool lost = false;
        try {
            (void)co_await ear.wait(1h);
        } catch (const chancy::error& e) {
            lost = e.connection_lost();
        }
        EXPECT_TRUE(lost);
        EXPECT_TRUE((co_await ear.wait(1ms)).empty());
        db.declare_queue({.name = "again"});
        EXPECT_EQ((co_await ear.wait(1h)).at(0).type(), "queue.declared");
    });
}

TEST_F(async_event, wait_for_job) {
    run([this](asio::io_context& io) -> asio::awaitable<void> {
        chancy::async_listener ear(io);
        EXPECT_FALSE(co_await ear.wait_for_job(chancy::uuid(), 1h));
        const auto j = claim({.func = "a"});
        EXPECT_EQ((co_await ear.wait_for_job(j.id, 10ms))->state, chancy::job_state::running);
        EXPECT_TRUE(db.cancel_job(j.id));
        EXPECT_EQ((co_await ear.wait_for_job(j.id, 1h))->state, chancy::job_state::failed);
    });
}

TEST_F(async_event, wait_for_jobs) {
    run([this](asio::io_context& io) -> asio::awaitable<void> {
        chancy::async_listener ear(io);
        EXPECT_TRUE((co_await ear.wait_for_jobs(std::vector<chancy::uuid>(), 1h)).empty());
        const auto a = claim({.func = "a"}), b = claim({.func = "b"}), c = claim({.func = "c"});
        EXPECT_TRUE(db.cancel_job(b.id));
        const std::vector<chancy::uuid> some{c.id, chancy::uuid(), b.id, c.id}, two{c.id, a.id};  // a list in a co_await is more than some compilers take
        const auto now = co_await ear.wait_for_jobs(some, 10ms);
        EXPECT_EQ(now.size(), 3u);
        EXPECT_EQ(now.at(0).id, c.id);
        EXPECT_EQ(now.at(0).state, chancy::job_state::running);
        EXPECT_EQ(now.at(1).state, chancy::job_state::failed);
        std::thread later([&] {
            EXPECT_TRUE(test::eventually([&] { return test::sql("SELECT count(*) FROM chancy.watches WHERE job_id IN ('" + a.id.to_string() + "', '" + c.id.to_string() + "')").at(0) == "2"; }));
            EXPECT_TRUE(db.cancel_job(a.id));
            std::this_thread::sleep_for(200ms);  // time to take the first end for all
            EXPECT_TRUE(db.cancel_job(c.id));
        });
        const auto ended = co_await ear.wait_for_jobs(two, 1h);
        EXPECT_EQ(ended.size(), 2u);
        EXPECT_EQ(ended.at(0).id, c.id);
        EXPECT_EQ(ended.at(1).id, a.id);
        for (const chancy::job& j : ended) EXPECT_EQ(j.state, chancy::job_state::failed);
        later.join();
    });
}

TEST_F(async_event, wait_for_many_jobs_that_do_not_end) {
    const std::vector<chancy::new_job> batch(2500, {.func = "a"});
    std::vector<chancy::uuid> ids;
    for (const chancy::pushed& p : db.push_many(batch)) ids.push_back(p.id);
    std::ranges::reverse(ids);
    run([&](asio::io_context& io) -> asio::awaitable<void> {
        chancy::async_listener ear(io);
        const auto now = co_await ear.wait_for_jobs(ids, 1ms);
        std::vector<chancy::uuid> told;
        for (const chancy::job& j : now) told.push_back(j.id);
        EXPECT_TRUE(told == ids) << told.size();
    });
}

// There is a look beside the events, after 1 s at the soonest: with that alone this would take a minute.
TEST_F(async_event, an_event_ends_a_wait_before_the_next_look) {
    run([this](asio::io_context& io) -> asio::awaitable<void> {
        using namespace asio::experimental::awaitable_operators;
        chancy::async_listener ear(io);
        const auto one_after_the_other = [&]() -> asio::awaitable<void> {
            for (int i = 0; i < 60; ++i) {
                const auto j = claim({.func = "a"});
                std::jthread later([&] {
                    EXPECT_TRUE(test::eventually([&] { return test::sql("SELECT count(*) FROM chancy.watches WHERE job_id = '" + j.id.to_string() + "'").at(0) == "1"; }));
                    EXPECT_TRUE(db.cancel_job(j.id));
                });
                const std::vector<chancy::uuid> one{j.id};
                const auto ended = co_await ear.wait_for_jobs(one, 1h);
                later.join();
                EXPECT_EQ(ended.at(0).state, chancy::job_state::failed);
            }
        };
        asio::steady_timer timer(io, 30s);
        auto all = one_after_the_other();
        const auto which = co_await (std::move(all) || timer.async_wait(asio::use_awaitable));
        EXPECT_EQ(which.index(), 0u);
    });
}

TEST_F(async_event, many_wait_for_their_jobs_and_share_the_calls) {
    constexpr int jobs = 300;
    test::sql("ALTER DATABASE " + test::database() + " SET track_functions = 'all'");
    test::sql("SELECT pg_stat_reset()");
    const std::vector<chancy::new_job> batch(jobs, {.func = "a"});
    db.push_many(batch);
    const auto claimed = db.fetch_jobs("default", "me", jobs);
    {
        asio::io_context io;
        chancy::async_listener ear(io);
        int ended = 0;
        for (const chancy::job& j : claimed)
            asio::co_spawn(io, ear.wait_for_job(j.id, 1h), [&](std::exception_ptr e, std::optional<chancy::job> done) {
                test::rethrow(e);
                EXPECT_EQ(done->state, chancy::job_state::succeeded);
                ++ended;
            });
        std::thread later([&] {
            EXPECT_TRUE(test::eventually([] { return test::sql("SELECT count(*) FROM chancy.watches").at(0) == std::to_string(jobs); }));
            std::vector<chancy::update> updates;
            for (const chancy::job& j : claimed) updates.push_back({.id = j.id, .started_at = *j.started_at});
            db.apply_updates("me", updates);
        });
        while (ended < jobs && io.run_one() > 0) {}
        later.join();
        EXPECT_EQ(ended, jobs);
    }
    const std::string calls = "SELECT coalesce(sum(calls), 0) FROM pg_stat_user_functions WHERE funcname = 'watch_jobs'";
    EXPECT_TRUE(test::eventually([&] { return test::sql(calls).at(0) != "0"; }));  // told when the backend ends
    EXPECT_LT(std::stoi(test::sql(calls).at(0)), jobs / 4);
    test::sql("ALTER DATABASE " + test::database() + " RESET track_functions");
}

TEST_F(async_event, waiting_for_a_job_survives_the_connection) {
    const auto j = claim({.func = "a"});
    run([&, this](asio::io_context& io) -> asio::awaitable<void> {
        chancy::async_listener ear(io, "application_name=ear");
        std::thread later([&] {
            EXPECT_TRUE(test::eventually([] { return test::sql("SELECT count(*) FROM chancy.watches").at(0) == "1"; }));
            test::sql("SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE application_name = 'ear'");
            EXPECT_TRUE(db.cancel_job(j.id));
        });
        const auto done = co_await ear.wait_for_job(j.id, 1h);
        EXPECT_EQ(done->state, chancy::job_state::failed);
        later.join();
    });
}

TEST_F(async_event, a_wait_is_cancelled) {
    const auto j = claim({.func = "a"});
    run([&](asio::io_context& io) -> asio::awaitable<void> {
        using namespace asio::experimental::awaitable_operators;
        chancy::async_listener ear(io);
        asio::steady_timer timer(io, 20ms);
        const auto which = co_await (ear.wait_for_job(j.id, 1h) || timer.async_wait(asio::use_awaitable));
        EXPECT_EQ(which.index(), 1u);
        EXPECT_TRUE(co_await ear.cancel_job(j.id));
    });
}

TEST_F(async_event, destroyed_while_somebody_waits) {
    const auto j = claim({.func = "a"});
    asio::io_context io;
    auto ear = std::make_unique<chancy::async_listener>(io);
    std::optional<chancy::error> problem, too;
    asio::co_spawn(io, ear->wait_for_job(j.id, 1h), [&](std::exception_ptr e, std::optional<chancy::job>) { problem = test::error_of(e); });
    const std::vector<chancy::uuid> one{j.id};
    asio::co_spawn(io, ear->wait_for_jobs(one, 1h), [&](std::exception_ptr e, std::vector<chancy::job>) { too = test::error_of(e); });
    while (test::sql("SELECT count(*) FROM chancy.watches").at(0) == "0") io.run_for(10ms);
    ear.reset();
    io.restart();
    io.run();
    ASSERT_TRUE(problem && too);
    EXPECT_EQ(problem->sqlstate(), "57014");
    EXPECT_EQ(too->sqlstate(), "57014");
}
