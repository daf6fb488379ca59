// Handlers of batches: what each job of one gets, and that everything else holds for them as for handlers of one job.
#include "support.hpp"

#include <atomic>
#include <csignal>
#include <future>
#include <mutex>

using chancy::batch_options;
using chancy::job_state;
using test::eventually;
using test::running;
using namespace std::chrono_literals;

namespace {

class batch : public test::db_test {
protected:
    static chancy::worker_options options(chancy::executor where = chancy::executor::threads) {
        return {.concurrency = 1, .run_on = where, .poll_interval = 1h, .log = [](chancy::log_level, const std::string&) {}};
    }
    std::vector<chancy::uuid> push(int count, chancy::new_job like = {.func = "b"}) {
        std::vector<chancy::new_job> jobs;
        for (int n = 0; n < count; ++n) {
            like.kwargs = {{"n", n}};
            jobs.push_back(like);
        }
        std::vector<chancy::uuid> ids;
        for (const auto& p : db.push_many(jobs)) ids.push_back(p.id);
        return ids;
    }
    std::string last_error(const chancy::uuid& id) {
        const auto job = db.get_job(id);
        return job->errors.empty() ? "" : job->errors.back().at("traceback").get<std::string>();
    }
};

int number(const chancy::batch_job& job) { return job.get<int>("n"); }

void answer_all_ways(chancy::batch& jobs) {
    for (chancy::batch_job& job : jobs) switch (number(job)) {
            case 0: job.succeed(chancy::json{{"of", jobs.size()}}); break;
            case 1: job.succeed(); break;
            case 2: job.fail("broken"); break;
            case 3: job.end(chancy::discard("hopeless")); break;
            case 4: job.end(chancy::snooze(1h)); break;
            case 5: job.end(chancy::retry_at(1h, "later")); break;
            case 6: job.run([&] { return chancy::json(number(job)); }); break;
            case 7: job.run([] { throw std::runtime_error("thrown for this one"); }); break;
            case 8: job.fail("first"), job.succeed(2); break;
            default: break;  // no answer
        }
}

}  // namespace

TEST_F(batch, each_job_has_an_answer_of_its_own) {
    for (const auto where : {chancy::executor::threads, chancy::executor::processes}) {
        const auto ids = push(10, {.func = "b", .max_attempts = 2});
        chancy::worker w(options(where));
        w.on_batch("b", {.up_to = 10}, answer_all_ways);
        const running on(w);
        ASSERT_TRUE(reaches(ids[9], job_state::retrying));
        const auto jobs = db.get_jobs(ids);
        EXPECT_EQ(jobs[0].result, (chancy::json{{"of", 10}}));
        EXPECT_TRUE(jobs[1].state == job_state::succeeded && !jobs[1].result);
        EXPECT_EQ(last_error(ids[2]), "broken");
        EXPECT_EQ(jobs[2].state, job_state::retrying);
        EXPECT_EQ(jobs[3].state, job_state::failed);
        EXPECT_EQ(last_error(ids[3]), "hopeless");
        EXPECT_TRUE(jobs[4].state == job_state::pending && jobs[4].attempts == 0 && jobs[4].scheduled_at > chancy::now() + 30min);
        EXPECT_TRUE(jobs[5].state == job_state::retrying && jobs[5].scheduled_at > chancy::now() + 30min);
        EXPECT_EQ(jobs[6].result, 6);
        EXPECT_EQ(last_error(ids[7]), "thrown for this one");
        EXPECT_EQ(jobs[8].result, 2);
        EXPECT_EQ(last_error(ids[9]), "the batch handler did not answer for this job");
    }
}

TEST_F(batch, what_is_thrown_is_thrown_for_all) {
    for (const auto where : {chancy::executor::threads, chancy::executor::processes}) {
        const auto ids = push(3);
        chancy::worker w(options(where));
        w.on_batch("b", {}, [](chancy::batch& jobs) {
            jobs[0].succeed();
            throw std::runtime_error("rolled back");
        });
        const running on(w);
        for (const auto& id : ids) {
            EXPECT_TRUE(reaches(id, job_state::failed));
            EXPECT_EQ(last_error(id), "rolled back");
        }
    }
}

TEST_F(batch, takes_up_to_so_many_of_its_func_in_order_and_no_others) {
    std::mutex mutex;
    std::vector<std::vector<int>> calls;
    std::atomic<int> others = 0;
    chancy::worker w(options());
    w.on_batch("b", {.up_to = 7}, [&](chancy::batch& jobs) {
        const std::lock_guard lock(mutex);
        auto& mine = calls.emplace_back();
        for (auto& job : jobs) {
            EXPECT_EQ(job.job().func, "b");
            mine.push_back(number(job));
            job.succeed();
        }
    });
    w.on("other", [&](chancy::job_context&) { ++others; });
    push(50);
    push(10, {.func = "other"});
    push(50);
    const running on(w);
    ASSERT_TRUE(eventually([] { return test::sql("SELECT count(*) FROM chancy.jobs WHERE state = 'succeeded'").at(0) == "110"; }));
    std::vector<int> all;
    std::size_t largest = 0;
    for (const auto& c : calls) {
        largest = std::max(largest, c.size());
        all.insert(all.end(), c.begin(), c.end());
    }
    EXPECT_EQ(largest, 7u);
    EXPECT_LE(calls.size(), 50u);  // many at once, mostly
    EXPECT_EQ(others, 10);
    ASSERT_EQ(all.size(), 100u);
    for (std::size_t i = 0; i < all.size(); ++i) EXPECT_EQ(all[i], static_cast<int>(i % 50)) << i;
}

TEST_F(batch, waits_for_others_while_there_are_fewer) {
    std::mutex mutex;
    std::vector<std::size_t> sizes;
    chancy::worker w(options());
    w.on_batch("b", {.up_to = 3, .wait = 10s}, [&](chancy::batch& jobs) {
        const std::lock_guard lock(mutex);
        sizes.push_back(jobs.size());
        for (auto& job : jobs) job.succeed();
    });
    w.on("single", [](chancy::job_context&) {});
    const running on(w);
    std::vector<chancy::uuid> ids = push(1);
    ASSERT_TRUE(reaches(ids[0], job_state::running));
    // What is no batch does not wait for it, nor does a batch that gets full.
    EXPECT_TRUE(reaches(db.push({.func = "single"}), job_state::succeeded));
    EXPECT_EQ(db.get_job(ids[0])->state, job_state::running);
    ids.push_back(push(1)[0]);
    EXPECT_TRUE(reaches(ids[1], job_state::running));
    EXPECT_TRUE(sizes.empty());
    ids.push_back(push(1)[0]);
    for (const auto& id : ids) EXPECT_TRUE(reaches(id, job_state::succeeded));
    EXPECT_EQ(sizes, (std::vector<std::size_t>{3}));
}

TEST_F(batch, begins_with_what_there_is_when_the_wait_is_over) {
    std::atomic<std::size_t> size = 0;
    chancy::worker w(options());
    w.on_batch("b", {.up_to = 3, .wait = 20ms}, [&](chancy::batch& jobs) {
        size = jobs.size();
        for (auto& job : jobs) job.succeed();
    });
    const running on(w);
    EXPECT_TRUE(reaches(push(1)[0], job_state::succeeded));
    EXPECT_EQ(size, 1u);
}

TEST_F(batch, a_stop_gives_back_what_waits_for_company) {
    chancy::worker w(options());
    w.on_batch("b", {.up_to = 3, .wait = 10s}, [](chancy::batch&) {});
    running on(w);
    const auto id = push(1)[0];
    ASSERT_TRUE(reaches(id, job_state::running));
    on.stop();
    const auto job = db.get_job(id);
    EXPECT_TRUE(job->state == job_state::pending && job->attempts == 0);
}

TEST_F(batch, counts_as_one_of_the_concurrency) {
    std::atomic<int> now = 0, most = 0;
    auto o = options();
    o.concurrency = 2;
    chancy::worker w(o);
    w.on_batch("b", {.up_to = 5}, [&](chancy::batch& jobs) {
        most = std::max(most.load(), ++now);
        std::this_thread::sleep_for(2ms);
        --now;
        for (auto& job : jobs) job.succeed();
    });
    push(200);
    const running on(w);
    EXPECT_TRUE(eventually([] { return test::sql("SELECT count(*) FROM chancy.jobs WHERE state = 'succeeded'").at(0) == "200"; }));
    EXPECT_EQ(most, 2);
}

TEST_F(batch, cancel_asks_that_job_alone_to_stop) {
    const auto ids = push(3);
    std::promise<std::vector<bool>> asked;
    chancy::worker w(options());
    w.on_batch("b", {}, [&](chancy::batch& jobs) {
        while (!jobs[1].stop_token().stop_requested()) std::this_thread::sleep_for(1ms);
        jobs.check_cancelled();  // not all of them are
        asked.set_value({jobs[0].stop_token().stop_requested(), jobs[2].stop_token().stop_requested()});
        for (auto& job : jobs) job.succeed(1);
    });
    const running on(w);
    ASSERT_TRUE(reaches(ids[0], job_state::running));
    EXPECT_TRUE(db.cancel_job(ids[1]));
    EXPECT_EQ(asked.get_future().get(), (std::vector<bool>{false, false}));
    EXPECT_TRUE(reaches(ids[0], job_state::succeeded) && reaches(ids[2], job_state::succeeded));
    EXPECT_EQ(db.get_job(ids[1])->state, job_state::failed);
    EXPECT_FALSE(db.get_job(ids[1])->result);
}

TEST_F(batch, a_handler_that_leaves_for_one_gives_the_others_back) {
    const auto ids = push(2);
    std::atomic<int> calls = 0;
    chancy::worker w(options());
    w.on_batch("b", {}, [&](chancy::batch& jobs) {
        if (++calls == 1)
            for (;;) {
                for (auto& job : jobs) job.check_cancelled();
                std::this_thread::sleep_for(1ms);
            }
        for (auto& job : jobs) job.succeed();
    });
    const running on(w);
    ASSERT_TRUE(reaches(ids[0], job_state::running));
    EXPECT_TRUE(db.cancel_job(ids[1]));
    EXPECT_TRUE(reaches(ids[0], job_state::succeeded));
    const auto job = db.get_job(ids[0]);
    EXPECT_TRUE(job->attempts == 1 && job->errors.empty());
    EXPECT_EQ(db.get_job(ids[1])->state, job_state::failed);
}

TEST_F(batch, the_end_of_the_grace_asks_all_of_it_to_stop) {
    for (const auto where : {chancy::executor::threads, chancy::executor::processes}) {
        const auto ids = push(3);
        auto o = options(where);
        o.grace = 10ms;
        chancy::worker w(o);
        w.on_batch("b", {}, [&](chancy::batch& jobs) {
            for (;;) {
                jobs.check_cancelled();
                std::this_thread::sleep_for(1ms);
            }
        });
        running on(w);
        ASSERT_TRUE(reaches(ids[0], job_state::running));
        on.stop();
        for (const auto& id : ids) {
            const auto job = db.get_job(id);
            EXPECT_TRUE(job->state == job_state::pending && job->attempts == 0);
            db.cancel_job(id);
        }
    }
}

TEST_F(batch, a_time_limit_is_that_jobs_failure) {
    for (const auto where : {chancy::executor::threads, chancy::executor::processes}) {
        auto jobs = std::vector<chancy::new_job>{{.func = "b"}, {.func = "b"}};
        jobs[1].limits = {{{"t", "time"}, {"v", 1}}};
        const auto first = db.push_many(jobs);
        std::atomic<int> calls = 0;
        chancy::worker w(options(where));
        w.on_batch("b", {}, [&](chancy::batch& those) {
            if (those.size() == 1) return those[0].succeed();
            for (;;) {
                for (auto& job : those) job.check_cancelled();
                std::this_thread::sleep_for(1ms);
            }
        });
        const running on(w);
        EXPECT_TRUE(reaches(first[1].id, job_state::failed));
        EXPECT_EQ(last_error(first[1].id), "time limit of 1 s exceeded");
        EXPECT_TRUE(reaches(first[0].id, job_state::succeeded));
        EXPECT_EQ(db.get_job(first[0].id)->attempts, 1);
    }
}

TEST_F(batch, reports_and_checkpoints_are_each_jobs_own) {
    for (const auto where : {chancy::executor::threads, chancy::executor::processes}) {
        const auto ids = push(2, {.func = "b", .max_attempts = 2});
        chancy::worker w(options(where));
        w.on_batch("b", {}, [](chancy::batch& jobs) {
            for (auto& job : jobs) {
                if (job.attempt() == 0) {
                    job.progress(10.0 * (number(job) + 1), "job " + std::to_string(number(job)));
                    job.save_checkpoint(number(job));
                    job.end(chancy::retry_at(0s, "again"));
                } else {
                    job.succeed(job.checkpoint());
                }
            }
        });
        const running on(w);
        for (int n = 0; n < 2; ++n) {
            ASSERT_TRUE(reaches(ids[static_cast<std::size_t>(n)], job_state::succeeded));
            EXPECT_EQ(db.get_job(ids[static_cast<std::size_t>(n)])->result, n);
        }
        const auto told = db.get_progress(ids[1]);
        EXPECT_EQ(told->percent, 20);
        EXPECT_EQ(told->message, "job 1");
    }
}

TEST_F(batch, a_crash_of_its_child_fails_all_of_it_once) {
    const auto ids = push(3, {.func = "b", .max_attempts = 2, .meta = {{"retry_settings", {{"backoff", 0}, {"backoff_jitter", {0, 0}}}}}});
    chancy::worker w(options(chancy::executor::processes));
    w.on_batch("b", {}, [](chancy::batch& jobs) {
        if (jobs[0].attempt() == 0) std::raise(SIGKILL);
        for (auto& job : jobs) job.succeed();
    });
    const running on(w);
    for (const auto& id : ids) {
        ASSERT_TRUE(reaches(id, job_state::succeeded));
        EXPECT_EQ(db.get_job(id)->attempts, 2);
        EXPECT_EQ(last_error(id), "the child process was killed by signal 9 (Killed)");
    }
}

TEST_F(batch, middleware_sees_each_job) {
    struct seen : chancy::middleware {
        std::mutex mutex;
        std::vector<std::string> told;
        void before(chancy::job_context& job) override {
            if (job.get<int>("n") == 1) throw chancy::discard("refused");
        }
        void after(chancy::job_context& job, const chancy::attempt_end& end) override {
            const std::lock_guard lock(mutex);
            told.push_back(job.kwargs().at("n").dump() + ' ' + std::string(to_string(end.result.how)));
        }
    };
    const auto around = std::make_shared<seen>();
    const auto ids = push(3);
    std::atomic<std::size_t> size = 0;
    chancy::worker w(options());
    w.use(around);
    w.on_batch("b", {}, [&](chancy::batch& jobs) {
        size = jobs.size();
        for (auto& job : jobs) job.succeed(number(job));
    });
    running on(w);
    EXPECT_TRUE(reaches(ids[2], job_state::succeeded));
    on.stop();
    EXPECT_EQ(size, 2u);
    EXPECT_EQ(db.get_job(ids[2])->result, 2);
    EXPECT_EQ(last_error(ids[1]), "refused");
    EXPECT_EQ(around->told, (std::vector<std::string>{"0 succeeded", "1 discarded", "2 succeeded"}));
}

TEST_F(batch, options_out_of_range_are_refused) {
    chancy::worker w(options());
    for (const batch_options& bad : {batch_options{.up_to = 0}, {.up_to = 1001}, {.wait = -1ms}, {.wait = 11s}}) {
        try {
            w.on_batch("b", bad, [](chancy::batch&) {});
            ADD_FAILURE();
        } catch (const chancy::error& e) {
            EXPECT_EQ(e.sqlstate(), "22023");
        }
    }
}
