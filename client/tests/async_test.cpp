// Calls as coroutines.
#include "async_support.hpp"

#include <asio/thread_pool.hpp>

#include <atomic>

using namespace asio::experimental::awaitable_operators;
using namespace std::chrono_literals;
using test::run;

namespace {

class async : public test::db_test {
protected:
    static std::string count() { return test::sql("SELECT count(*) FROM chancy.jobs").at(0); }
};

// With a name: g++ 12.2 takes no { … } here.
const chancy::new_job plain{.func = "a"};
const chancy::queue named_a{.name = "a"};

asio::awaitable<void> push_some(chancy::async_client& many, int n) {
    for (int i = 0; i < n; ++i) co_await many.push(plain);
}

}  // namespace

TEST_F(async, calls_are_awaited) {
    run([](asio::io_context& io) -> asio::awaitable<void> {
        chancy::async_client many(io);
        const chancy::new_job wanted{.func = "a", .kwargs = {{"n", 1}}, .unique_key = "k"};
        const chancy::uuid id = co_await many.push(wanted);
        const auto found = co_await many.get_live_job("k");
        EXPECT_EQ(found->id, id);
        EXPECT_TRUE(co_await many.cancel_job(id));
        EXPECT_FALSE(co_await many.cancel_job(id));
        co_await many.flush();
        const auto queues = co_await many.list_queues();
        EXPECT_FALSE(queues.empty());
    });
}

TEST_F(async, an_idle_client_does_not_keep_the_context) {
    asio::io_context io;
    chancy::async_client many(io);
    for (int i = 0; i < 3; ++i) {
        asio::co_spawn(io, push_some(many, 2), test::rethrow);
        io.run();
        io.restart();
    }
    EXPECT_EQ(count(), "6");
}

TEST_F(async, many_coroutines_share_the_connection) {
    asio::io_context io;
    chancy::async_client many(io, "", {.max_in_flight = 16});
    for (int i = 0; i < 64; ++i) asio::co_spawn(io, push_some(many, 20), test::rethrow);
    io.run();
    EXPECT_EQ(count(), "1280");
}

TEST_F(async, calls_are_sent_in_the_order_they_began) {
    asio::io_context io;
    chancy::async_client many(io, "", {.max_in_flight = 4});
    std::vector<chancy::uuid> ids;
    for (int i = 0; i < 100; ++i)
        asio::co_spawn(io, many.push(plain), [&](std::exception_ptr e, chancy::uuid id) {
            test::rethrow(e);
            ids.push_back(id);
        });
    io.run();
    EXPECT_EQ(ids.size(), 100u);
    EXPECT_TRUE(std::ranges::is_sorted(ids));
}

TEST_F(async, an_error_is_its_own_calls) {
    run([](asio::io_context& io) -> asio::awaitable<void> {
        chancy::async_client many(io);
        for (int i = 0; i < 20; ++i) {
            const chancy::new_job wanted{.func = "a", .max_attempts = i % 2};
            bool refused = false;
            try {
                co_await many.push(wanted);
            } catch (const chancy::error& e) {
                refused = true;
                EXPECT_EQ(e.sqlstate(), "22023");
            }
            EXPECT_EQ(refused, i % 2 == 0);
        }
    });
    EXPECT_EQ(count(), "10");
}

TEST_F(async, on_a_pool_of_threads) {
    asio::thread_pool pool(4);
    chancy::async_client many(pool);
    std::atomic<int> done = 0;
    for (int i = 0; i < 32; ++i)
        asio::co_spawn(pool, push_some(many, 20), [&](std::exception_ptr e) {
            test::rethrow(e);
            ++done;
        });
    pool.join();
    EXPECT_EQ(done, 32);
    EXPECT_EQ(count(), "640");
}

TEST_F(async, a_call_that_was_sent_is_given_up_and_in_doubt) {
    auto lock = std::make_unique<test::holder>("LOCK TABLE chancy.queues IN ACCESS EXCLUSIVE MODE");
    asio::io_context io;
    chancy::async_client many(io);
    asio::cancellation_signal stop;
    std::optional<chancy::error> problem;
    std::optional<chancy::uuid> neighbour;
    asio::co_spawn(io, many.declare_queue(named_a), asio::bind_cancellation_slot(stop.slot(), [&](std::exception_ptr e, chancy::queue) {
        problem = test::error_of(e);
    }));
    asio::co_spawn(io, many.push(plain), [&](std::exception_ptr e, chancy::uuid id) {
        test::rethrow(e);
        neighbour = id;
    });
    std::thread later([&] {
        EXPECT_TRUE(test::eventually([] { return test::sql("SELECT count(*) FROM pg_locks WHERE NOT granted").at(0) != "0"; }));
        asio::post(io, [&] { stop.emit(asio::cancellation_type::terminal); });
    });
    while (!problem) io.run_one();
    later.join();
    EXPECT_EQ(problem->sqlstate(), "57014");
    EXPECT_TRUE(problem->in_doubt());
    EXPECT_FALSE(neighbour);
    lock.reset();
    io.run();
    EXPECT_TRUE(neighbour);
    EXPECT_EQ(test::sql("SELECT count(*) FROM chancy.queues WHERE name = 'a'").at(0), "1");  // it was made all the same
}

TEST_F(async, a_call_that_was_not_sent_is_cancelled_for_good) {
    auto lock = std::make_unique<test::holder>("LOCK TABLE chancy.queues IN ACCESS EXCLUSIVE MODE");
    asio::io_context io;
    chancy::async_client many(io, "", {.max_in_flight = 1});
    asio::cancellation_signal stop;
    std::optional<chancy::error> problem;
    asio::co_spawn(io, many.declare_queue(named_a), [&](std::exception_ptr e, chancy::queue) { test::rethrow(e); });
    asio::co_spawn(io, many.push(plain), asio::bind_cancellation_slot(stop.slot(), [&](std::exception_ptr e, chancy::uuid) {
        problem = test::error_of(e);
    }));
    asio::post(io, [&] { asio::post(io, [&] { asio::post(io, [&] { stop.emit(asio::cancellation_type::terminal); }); }); });
    while (!problem) io.run_one();
    EXPECT_EQ(problem->sqlstate(), "57014");
    EXPECT_FALSE(problem->in_doubt());
    lock.reset();
    io.run();
    EXPECT_EQ(count(), "0");
}

TEST_F(async, whichever_comes_first) {
    const test::holder lock("LOCK TABLE chancy.queues IN ACCESS EXCLUSIVE MODE");
    run([](asio::io_context& io) -> asio::awaitable<void> {
        chancy::async_client many(io);
        asio::steady_timer timer(io, 100ms);
        auto call = many.declare_queue(named_a);
        const auto which = co_await (std::move(call) || timer.async_wait(asio::use_awaitable));
        EXPECT_EQ(which.index(), 1u);
    });
}

TEST_F(async, destroyed_with_calls_in_flight) {
    auto lock = std::make_unique<test::holder>("LOCK TABLE chancy.queues IN ACCESS EXCLUSIVE MODE");
    asio::io_context io;
    auto many = std::make_unique<chancy::async_client>(io);
    std::optional<chancy::error> problem;
    asio::co_spawn(io, many->declare_queue(named_a), [&](std::exception_ptr e, chancy::queue) { problem = test::error_of(e); });
    while (test::sql("SELECT count(*) FROM pg_locks WHERE NOT granted").at(0) == "0") io.run_for(10ms);
    auto late = many->push(plain);  // begins when nobody is there any more
    many.reset();
    io.restart();
    io.run();
    ASSERT_TRUE(problem);
    EXPECT_TRUE(problem->in_doubt());
    problem.reset();
    asio::co_spawn(io, std::move(late), [&](std::exception_ptr e, chancy::uuid) { problem = test::error_of(e); });
    io.restart();
    io.run();
    ASSERT_TRUE(problem);
    EXPECT_EQ(problem->sqlstate(), "57014");
    EXPECT_FALSE(problem->in_doubt());
}

TEST_F(async, the_context_may_go_with_calls_in_flight) {
    const test::holder lock("LOCK TABLE chancy.queues IN ACCESS EXCLUSIVE MODE");
    auto io = std::make_unique<asio::io_context>();
    {
        chancy::async_client many(*io);
        asio::co_spawn(*io, many.declare_queue(named_a), [](std::exception_ptr, chancy::queue) { ADD_FAILURE() << "nobody ran it"; });
        while (test::sql("SELECT count(*) FROM pg_locks WHERE NOT granted").at(0) == "0") io->run_for(10ms);
    }
    io.reset();
}
