// Calls in flight when the connection is lost.
#include "async_support.hpp"

#include <set>

using namespace std::chrono_literals;

namespace {

class async_fault : public test::db_test {
protected:
    // Pushes from 32 coroutines while the backend is terminated again and again.
    void push_through(bool keyed) {
        asio::io_context io;
        chancy::async_client many(io, "application_name=victim", {.max_in_flight = 32});
        for (int i = 0; i < 32; ++i) asio::co_spawn(io, push_some(many, keyed), test::rethrow);
        std::thread killer([&] {
            while (terminations < 10 && test::eventually([&] { return m_pushed > 40 * terminations; })) {
                terminations += std::stoi(
                    test::sql("SELECT count(*) FROM (SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE application_name = 'victim') t").at(0));
            }
            m_stop = true;
        });
        io.run();
        killer.join();
        EXPECT_EQ(terminations, 10);
    }

    std::set<chancy::uuid> acknowledged;
    int in_doubt = 0;
    std::atomic<int> terminations = 0;

private:
    asio::awaitable<void> push_some(chancy::async_client& many, bool keyed) {
        while (!m_stop) {
            chancy::new_job wanted{.func = "a"};
            if (keyed) wanted.unique_key = "k" + std::to_string(m_pushed);
            ++m_pushed;
            try {
                acknowledged.insert(co_await many.push(wanted));
            } catch (const chancy::error& e) {
                EXPECT_TRUE(e.in_doubt()) << e.what();
                EXPECT_TRUE(e.connection_lost());
                EXPECT_EQ(e.function(), "push");
                ++in_doubt;
            }
        }
    }

    std::atomic<int> m_pushed = 0;
    std::atomic<bool> m_stop = false;
};

}  // namespace

TEST_F(async_fault, with_a_key_every_push_is_acknowledged) {
    push_through(true);
    EXPECT_EQ(in_doubt, 0);
    EXPECT_EQ(test::sql("SELECT count(*) FROM chancy.jobs").at(0), std::to_string(acknowledged.size()));
}

// A backend that is terminated says so, and has not begun what stood behind: one call in doubt at most, not 32.
TEST_F(async_fault, without_a_key_one_push_is_in_doubt_and_the_others_are_repeated) {
    push_through(false);
    EXPECT_LE(in_doubt, terminations);
    std::set<std::string> there;
    for (const std::string& id : test::sql("SELECT id FROM chancy.jobs")) there.insert(id);
    for (const chancy::uuid& id : acknowledged) EXPECT_TRUE(there.contains(id.to_string()));
    EXPECT_LE(there.size(), acknowledged.size() + static_cast<std::size_t>(in_doubt));
}

TEST_F(async_fault, calls_wait_for_a_server_that_comes_back) {
    asio::io_context io;
    chancy::async_client many(io, "application_name=victim");
    int answers = 0;
    asio::co_spawn(io, many.list_workers(), [&](std::exception_ptr e, const auto&) { test::rethrow(e); });
    io.run();
    test::sql("ALTER DATABASE " + test::database() + " ALLOW_CONNECTIONS false", "postgres");
    test::sql("SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE application_name = 'victim'", "postgres");
    const chancy::new_job wanted{.func = "a"};
    for (int i = 0; i < 5; ++i)
        asio::co_spawn(io, many.push(wanted), [&](std::exception_ptr e, chancy::uuid) {
            test::rethrow(e);
            ++answers;
        });
    io.restart();
    io.run_for(200ms);
    EXPECT_EQ(answers, 0);
    test::sql("ALTER DATABASE " + test::database() + " ALLOW_CONNECTIONS true", "postgres");
    io.run();
    EXPECT_EQ(answers, 5);
}

TEST_F(async_fault, calls_give_up_in_the_end) {
    asio::io_context io;
    chancy::async_client many(io, "application_name=victim", {.retry = {.total = 200ms}});
    asio::co_spawn(io, many.list_workers(), [&](std::exception_ptr e, const auto&) { test::rethrow(e); });
    io.run();
    test::sql("ALTER DATABASE " + test::database() + " ALLOW_CONNECTIONS false", "postgres");
    test::sql("SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE application_name = 'victim'", "postgres");
    std::optional<chancy::error> problem;
    const chancy::new_job wanted{.func = "a"};
    asio::co_spawn(io, many.push(wanted), [&](std::exception_ptr e, chancy::uuid) { problem = test::error_of(e); });
    io.restart();
    io.run();
    test::sql("ALTER DATABASE " + test::database() + " ALLOW_CONNECTIONS true", "postgres");
    ASSERT_TRUE(problem);
    EXPECT_TRUE(problem->connection_lost());
    EXPECT_FALSE(problem->in_doubt());
}
