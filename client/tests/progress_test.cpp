// What handlers report of their jobs: on its way to the server, and for those who wait.
#include "support.hpp"

#include <atomic>
#include <future>
#include <numeric>

using chancy::job_context;
using chancy::job_state;
using test::eventually;
using test::running;
using namespace std::chrono_literals;

namespace {

class progress : public test::db_test {
protected:
    static chancy::worker_options options(chancy::executor where = chancy::executor::threads) {
        return {.concurrency = 2, .run_on = where, .poll_interval = 1h, .log = [](chancy::log_level, const std::string&) {}};
    }
};

}  // namespace

TEST_F(progress, calls) {
    const auto job = claim({.func = "f"});
    EXPECT_FALSE(db.get_progress(job.id));
    EXPECT_FALSE(db.get_checkpoint("tester", job.id));
    std::vector<chancy::progress_report> reports{{job.id, *job.started_at, {.percent = 12.5, .message = "a \"b\"", .checkpoint = {{{"n", 1}}}}},
                                                 {job.id, *job.started_at - 1s, {.percent = 99}}};
    const auto told = db.report_progress("tester", reports);
    ASSERT_EQ(told.size(), 2u);
    EXPECT_TRUE(*told[0].ok);
    EXPECT_FALSE(*told[1].ok);
    EXPECT_EQ(told[1].reason, "stale");
    const auto found = db.get_progress(job.id);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->percent, 12.5);
    EXPECT_EQ(found->message, "a \"b\"");
    EXPECT_EQ(found->checkpoint, (chancy::json{{"n", 1}}));
    EXPECT_EQ(found->started_at, *job.started_at);
    EXPECT_EQ(db.get_checkpoint("tester", job.id), (chancy::json{{"n", 1}}));
    EXPECT_FALSE(db.get_checkpoint("other", job.id));
}

TEST_F(progress, a_checkpoint_is_kept_over_attempts_and_written_before_the_result) {
    for (const auto where : {chancy::executor::threads, chancy::executor::processes}) {
        chancy::worker w(options(where));
        w.on("counts", [](job_context& job) {
            const auto before = job.checkpoint();
            const int n = before ? before->get<int>() : 0;
            if (job.checkpoint() != before) throw std::runtime_error("asked twice, told twice");
            job.progress(n * 10, "at " + std::to_string(n));
            job.save_checkpoint(n + 1);
            if (job.checkpoint() != n + 1) throw std::runtime_error("its own checkpoint is unknown");
            if (n == 0) throw chancy::snooze(0s);
            if (!job.last_attempt()) throw chancy::retry_at(0s, "again");
            return chancy::json(n);
        });
        const running on(w);
        const auto id = db.push({.func = "counts", .max_attempts = 5});
        EXPECT_TRUE(reaches(id, job_state::succeeded));
        EXPECT_EQ(db.get_job(id)->result, 5);
        const auto told = db.get_progress(id);
        EXPECT_EQ(told->percent, 50);
        EXPECT_EQ(told->message, "at 5");
        EXPECT_EQ(told->checkpoint, 6);
    }
}

TEST_F(progress, a_command_tells_it_on_descriptor_3_and_finds_its_checkpoint_in_the_job) {
    for (const auto where : {chancy::executor::threads, chancy::executor::processes}) {
        chancy::worker w(options(where));
        w.on("counts", chancy::command(R"(read -r job; case $job in
            *'"checkpoint":{"line":7}'*) printf '{"percent": 100}' >&3; echo '"went on"' ;;
            *checkpoint*) exit 1 ;;
            *) printf '{"percent": 40, "mess' >&3; sleep 0.05; echo 'age": "half"}' >&3; echo '{"checkpoint": {"line": 7}}' >&3; exit 75 ;;
        esac)"));
        w.on("babbles", chancy::command("echo 50 >&3; echo '{\"per\": 1}' >&3; echo '{\"message\": \"kept\"}' >&3; head -c 3000000 /dev/zero >&3; exit 1"));
        const running on(w);
        const auto id = db.push({.func = "counts", .max_attempts = 2, .meta = {{"retry_settings", {{"backoff", 0}, {"backoff_jitter", {0, 0}}}}}});
        const auto bad = db.push({.func = "babbles"});
        EXPECT_TRUE(reaches(id, job_state::succeeded));
        EXPECT_EQ(db.get_job(id)->result, "went on");
        EXPECT_EQ(db.get_progress(id)->percent, 100);
        EXPECT_EQ(db.get_progress(id)->checkpoint, (chancy::json{{"line", 7}}));
        EXPECT_TRUE(reaches(bad, job_state::failed));
        EXPECT_EQ(db.get_progress(bad)->message, "kept");
        const std::string error = db.get_job(bad)->errors.at(0).at("traceback");
        EXPECT_NE(error.find("progress: \"per\" is not known: percent, message and checkpoint are\n"), std::string::npos) << error;
        EXPECT_NE(error.find("progress: a line is longer than 1 MiB\n"), std::string::npos) << error;
    }
}

TEST_F(progress, is_seen_while_the_job_runs) {
    chancy::worker w(options());
    std::promise<void> go;
    w.on("slow", [&, may_go = go.get_future().share()](job_context& job) {
        job.progress(1e9, "nearly \xff");
        may_go.wait();
    });
    const running on(w);
    const auto id = db.push({.func = "slow"});
    EXPECT_TRUE(eventually([&] { return db.get_progress(id).has_value(); }));
    EXPECT_EQ(db.get_job(id)->state, job_state::running);
    EXPECT_EQ(db.get_progress(id)->percent, 100);
    EXPECT_EQ(db.get_progress(id)->message, "nearly \xEF\xBF\xBD");
    const auto shown = test::shell(CHANCY_PROGRAM " job show " + id.to_string());
    EXPECT_NE(shown.out.find("progress      100 %, nearly"), std::string::npos) << shown.out << shown.err;
    EXPECT_EQ(chancy::json::parse(test::shell(CHANCY_PROGRAM " --json job show " + id.to_string()).out).at("progress").at("percent"), 100);
    go.set_value();
    EXPECT_TRUE(reaches(id, job_state::succeeded));
}

TEST_F(progress, those_who_wait_for_a_job_are_told) {
    chancy::worker w(options());
    std::atomic<int> seen = -1;
    w.on("steps", [&](job_context& job) {
        for (int n = 0; n < 3; ++n) {
            job.progress(n);
            EXPECT_TRUE(eventually([&] { return seen == n; }));
        }
    });
    const running on(w);
    chancy::listener ear;
    const auto id = db.push({.func = "steps"});
    const auto done = chancy::wait_for_job(db, ear, id, 1min, [&](const chancy::reported_progress& p) { seen = static_cast<int>(*p.percent); });
    EXPECT_EQ(done->state, job_state::succeeded);
    EXPECT_EQ(seen, 2);
    const auto waited = test::shell(CHANCY_PROGRAM " job wait --progress " + id.to_string());
    EXPECT_EQ(waited.err, "2 %\n");
}

TEST_F(progress, a_flood_of_reports_is_a_few_writes) {
    chancy::worker w(options());
    w.on("chatty", [](job_context& job) {
        for (int n = 0; n <= 100'000; ++n) job.progress(n / 1000.0);
    });
    const running on(w);
    const auto id = db.push({.func = "chatty"});
    EXPECT_TRUE(reaches(id, job_state::succeeded));
    EXPECT_EQ(db.get_progress(id)->percent, 100);
}

TEST_F(progress, a_checkpoint_that_cannot_be_stored_is_lost_alone) {
    chancy::worker w(options());
    w.on("bad", [](job_context& job) {
        job.save_checkpoint(std::string("a\0b", 3));  // jsonb has no \u0000
        job.progress(1);
    });
    w.on("good", [](job_context& job) { job.save_checkpoint("fine"); });
    std::vector<chancy::new_job> jobs(10, {.func = "good"});
    jobs[4].func = "bad";
    const auto ids = db.push_many(jobs);
    const running on(w);
    for (const auto& [id, created] : ids) EXPECT_TRUE(reaches(id, job_state::succeeded));
    EXPECT_EQ(test::sql("SELECT count(*) FROM chancy.progress p JOIN chancy.jobs j ON j.id = p.job_id WHERE p.checkpoint = '\"fine\"'").at(0), "9");
    EXPECT_FALSE(db.get_progress(ids[4].id));
}

TEST_F(progress, a_report_whose_row_is_held_waits_and_holds_up_nobody) {
    chancy::worker w(options());
    std::promise<void> go;
    w.on("tells", [&, may_go = go.get_future().share()](job_context& job) {
        job.save_checkpoint(1);
        may_go.wait();
        job.save_checkpoint(2);
    });
    w.on("free", [](job_context&) {});
    const running on(w);
    const auto held = db.push({.func = "tells"});
    EXPECT_TRUE(eventually([&] { return db.get_progress(held).has_value(); }));
    {
        const test::holder lock("SELECT FROM chancy.progress FOR UPDATE");
        go.set_value();
        for (int i = 0; i < 3; ++i) EXPECT_TRUE(reaches(db.push({.func = "free"}), job_state::succeeded));
    }
    EXPECT_TRUE(reaches(held, job_state::succeeded));
    EXPECT_EQ(db.get_progress(held)->checkpoint, 2);
}

TEST_F(progress, who_asks_while_the_server_does_not_answer_can_be_stopped) {
    test::sql("CREATE TABLE IF NOT EXISTS stopped (what text)");
    for (const auto where : {chancy::executor::threads, chancy::executor::processes}) {
        test::sql("TRUNCATE stopped");
        auto o = options(where);
        o.grace = 0s;
        o.heartbeat_timeout = 9s;  // a third of it the fetch waits for an answer, too
        chancy::worker w(o);
        w.on("asks", [](job_context& job) {
            try {
                (void)job.checkpoint();
            } catch (const chancy::cancelled&) {
                test::sql("INSERT INTO stopped VALUES ('asks')");
                throw;
            }
        });
        const auto id = db.push({.func = "asks"});
        std::optional<test::holder> lock(std::in_place, "LOCK chancy.progress IN ACCESS EXCLUSIVE MODE");
        {
            const running on(w);
            EXPECT_TRUE(eventually([&] { return test::sql("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'chancy.progress'::regclass").at(0) == "1"; }));
            w.stop();
            EXPECT_TRUE(eventually([&] { return test::sql("SELECT count(*) FROM stopped").at(0) == "1"; }));
            lock.reset();
        }
        EXPECT_EQ(db.get_job(id)->state, job_state::pending);
        db.cancel_job(id);
    }
}

TEST_F(progress, a_report_that_went_down_with_a_connection_is_written_again) {
    chancy::worker w(options());
    std::promise<void> go;
    w.on("tells", [may_go = go.get_future().share()](job_context& job) {
        job.save_checkpoint(1);
        may_go.wait();
    });
    std::optional<test::holder> lock(std::in_place, "LOCK chancy.progress IN ACCESS EXCLUSIVE MODE");
    const running on(w);
    const auto id = db.push({.func = "tells"});
    EXPECT_TRUE(eventually([] {
        return !test::sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%report_progress%' AND wait_event_type = 'Lock'").empty();
    }));
    lock.reset();
    EXPECT_TRUE(eventually([&] { return db.get_progress(id).has_value(); }));
    go.set_value();
    EXPECT_TRUE(reaches(id, job_state::succeeded));
}
