// Calls whose answers are futures; and what every form without blocking shares: the pipeline.
#include "support.hpp"

#include <chancy/future.hpp>

#include <atomic>
#include <future>

using namespace std::chrono_literals;

namespace {

class future : public test::db_test {};

// Statements of our own by the same road.
struct raw : chancy::future_client {
    using chancy::future_client::future_client;
    std::future<std::string> ask(const char* sql, chancy::detail::repeat again = chancy::detail::repeat::never) {
        return make(chancy::detail::call<std::string>{{"ask", sql, {}, again}, [](const chancy::detail::result& rows) {
                                                          return rows.rows() > 0 ? rows.text(0, 0) : std::string();
                                                      }});
    }
};

template <class T>
chancy::error problem_of(std::future<T>&& of) {
    try {
        of.get();
    } catch (const chancy::error& e) {
        return e;
    }
    ADD_FAILURE() << "no error";
    return {"", {}};
}

std::string count() { return test::sql("SELECT count(*) FROM chancy.jobs").at(0); }

}  // namespace

TEST_F(future, many_calls_are_in_flight_and_answered_in_order) {
    chancy::future_client many;
    std::vector<std::future<chancy::uuid>> ids;
    for (int i = 0; i < 500; ++i) ids.push_back(many.push({.func = "a", .kwargs = {{"i", i}}}));
    chancy::uuid last{};
    for (int i = 0; i < 500; ++i) {
        const chancy::uuid id = ids[static_cast<std::size_t>(i)].get();
        EXPECT_LT(last, id);  // made one after the other
        last = id;
    }
    EXPECT_EQ(many.get_job(last).get()->kwargs.at("i"), 499);
    EXPECT_EQ(count(), "500");
}

TEST_F(future, every_kind_of_answer) {
    chancy::future_client many;
    EXPECT_EQ(many.declare_queue({.name = "q", .concurrency = 3}).get().concurrency, 3);
    EXPECT_TRUE(many.pause_queue("q").get());
    EXPECT_FALSE(many.pause_queue("none").get());
    many.flush().get();
    const std::vector<chancy::new_job> two{{.func = "a"}, {.func = "b"}};
    const auto pushed = many.push_many(two).get();
    const auto jobs = many.fetch_jobs("default", "me", 2).get();
    ASSERT_EQ(jobs.size(), 2u);
    EXPECT_EQ(jobs[0].id, pushed[0].id);
    const chancy::update ends{.id = jobs[0].id, .started_at = *jobs[0].started_at};
    EXPECT_EQ(many.apply_updates("me", {&ends, 1}).get().at(0).state, "succeeded");
    EXPECT_FALSE(many.get_job(chancy::uuid()).get());
}

TEST_F(future, an_error_of_one_is_nothing_to_its_neighbours) {
    chancy::future_client many;
    std::vector<std::future<chancy::uuid>> ids;
    for (int i = 0; i < 100; ++i) ids.push_back(many.push({.func = "a", .max_attempts = i % 10 == 5 ? 0 : 1}));
    for (int i = 0; i < 100; ++i) {
        auto& id = ids[static_cast<std::size_t>(i)];
        if (i % 10 != 5) EXPECT_NO_THROW((void)id.get());
        else {
            const chancy::error e = problem_of(std::move(id));
            EXPECT_EQ(e.sqlstate(), "22023");
            EXPECT_EQ(e.function(), "push");
            EXPECT_FALSE(e.in_doubt());
        }
    }
    EXPECT_EQ(count(), "90");
    // Refused before it is sent.
    EXPECT_EQ(problem_of(many.fetch_jobs(std::string("a\0b", 3), "me")).sqlstate(), "22021");
    EXPECT_TRUE(many.list_workers().get().empty());
}

TEST_F(future, an_error_of_the_commit_is_the_calls) {
    test::sql("CREATE TABLE IF NOT EXISTS parents (id int PRIMARY KEY); "
              "CREATE TABLE IF NOT EXISTS children (id int REFERENCES parents DEFERRABLE INITIALLY DEFERRED)");
    raw many;
    auto before = many.ask("SELECT 'before'");
    auto bad = many.ask("INSERT INTO children VALUES (1) RETURNING 'inserted'");
    auto after = many.ask("SELECT 'after'");
    EXPECT_EQ(before.get(), "before");
    EXPECT_EQ(problem_of(std::move(bad)).sqlstate(), "23503");
    EXPECT_EQ(after.get(), "after");
    test::sql("DROP TABLE children, parents");
}

TEST_F(future, serialization_failures_are_tried_again) {
    test::sql("CREATE SEQUENCE tries; CREATE FUNCTION stubborn() RETURNS text LANGUAGE plpgsql AS $$BEGIN "
              "IF nextval('tries') < 4 THEN RAISE SQLSTATE '40001'; END IF; RETURN 'at last'; END$$");
    raw many;
    auto first = many.ask("SELECT stubborn()");
    auto second = many.ask("SELECT 'not delayed'");
    EXPECT_EQ(second.get(), "not delayed");
    EXPECT_EQ(first.get(), "at last");
    EXPECT_EQ(test::sql("SELECT last_value FROM tries").at(0), "4");
    test::sql("DROP FUNCTION stubborn(); DROP SEQUENCE tries");
}

TEST_F(future, large_batches_and_large_answers_go_both_ways_at_once) {
    chancy::future_client many;
    const std::vector<chancy::new_job> batch(1000, {.func = "a", .kwargs = {{"text", std::string(2000, 'x')}}});
    std::vector<std::future<std::vector<chancy::pushed>>> pushes;
    std::vector<std::future<std::vector<chancy::job>>> lists;
    for (int i = 0; i < 8; ++i) {
        pushes.push_back(many.push_many(batch));
        lists.push_back(many.list_jobs({.up_to = 1000}));
    }
    for (auto& p : pushes) EXPECT_EQ(p.get().size(), 1000u);
    for (auto& l : lists) EXPECT_EQ(l.get().size(), 1000u);
}

TEST_F(future, a_call_waits_while_too_many_are_unanswered) {
    chancy::future_client many("", {}, 1);
    std::future<chancy::queue> first;
    std::thread later;
    {
        const test::holder lock("LOCK TABLE chancy.queues IN ACCESS EXCLUSIVE MODE");
        first = many.declare_queue({.name = "a"});
        later = std::thread([&] {
            auto second = many.push({.func = "a"});
            EXPECT_EQ(first.wait_for(0s), std::future_status::ready);
            EXPECT_NO_THROW((void)second.get());
        });
        std::this_thread::sleep_for(50ms);  // for the other thread to get ahead, if it may
    }
    later.join();
    EXPECT_EQ(first.get().name, "a");
}

TEST_F(future, a_future_thrown_away_leaves_the_call) {
    chancy::future_client many;
    for (int i = 0; i < 10; ++i) (void)many.push({.func = "a"});
    many.finish();
    EXPECT_EQ(count(), "10");
}

TEST_F(future, destroyed_with_calls_in_flight) {
    std::future<chancy::queue> declared;
    std::future<std::vector<chancy::queue>> listed;
    std::future<chancy::uuid> unsent;
    {
        const test::holder lock("LOCK TABLE chancy.queues IN ACCESS EXCLUSIVE MODE");
        chancy::future_client many("", {.max_in_flight = 2});
        declared = many.declare_queue({.name = "a"});
        listed = many.list_queues();
        unsent = many.push({.func = "a"});
        EXPECT_TRUE(test::eventually([] { return test::sql("SELECT count(*) FROM pg_locks WHERE NOT granted").at(0) != "0"; }));
    }
    const chancy::error sent = problem_of(std::move(declared));
    EXPECT_EQ(sent.sqlstate(), "57014");
    EXPECT_TRUE(sent.in_doubt());
    EXPECT_FALSE(problem_of(std::move(listed)).in_doubt());  // it only looks
    EXPECT_FALSE(problem_of(std::move(unsent)).in_doubt());
}

TEST_F(future, without_a_server_the_first_call_says_so) {
    chancy::future_client many("host=/nonexistent");
    const chancy::error e = problem_of(many.push({.func = "a"}));
    EXPECT_TRUE(e.connection_lost());
    EXPECT_FALSE(e.in_doubt());
    EXPECT_EQ(e.sqlstate(), "08001");
}

TEST_F(future, from_many_threads) {
    chancy::future_client many;
    std::vector<std::thread> threads;
    for (int t = 0; t < 8; ++t)
        threads.emplace_back([&] {
            for (int i = 0; i < 100; ++i) EXPECT_NO_THROW((void)many.push({.func = "a"}).get());
        });
    for (auto& t : threads) t.join();
    EXPECT_EQ(count(), "800");
}

TEST_F(future, a_silent_server_is_given_up) {
    chancy::future_client many("", {.retry = {.total = 0ms}, .timeout = 200ms});
    (void)many.list_workers().get();
    const test::holder lock("LOCK TABLE chancy.queues IN ACCESS EXCLUSIVE MODE");
    auto stuck = many.declare_queue({.name = "a"});
    auto behind = many.push({.func = "a"});
    const chancy::error e = problem_of(std::move(stuck));
    EXPECT_TRUE(e.connection_lost());
    EXPECT_TRUE(e.in_doubt());
    EXPECT_TRUE(problem_of(std::move(behind)).in_doubt());
    EXPECT_TRUE(many.list_workers().get().empty());  // on a new connection
}
