#include "support.hpp"

using namespace std::chrono_literals;

namespace {

class cron : public test::db_test {
protected:
    void SetUp() override {
        db_test::SetUp();
        test::sql("TRUNCATE chancy.cron");
    }
    void TearDown() override { test::sql("TRUNCATE chancy.cron"); }
};

test::ran chancy_run(const std::string& arguments) { return test::shell(std::string(CHANCY_PROGRAM) + " " + arguments); }

}  // namespace

TEST_F(cron, schedules_shows_pauses_and_ends) {
    const auto next = db.schedule_cron({.key = "nightly", .expression = "30 2 * * *", .job = {.func = "tidy.up", .kwargs = {{"n", 1}}},
                                        .time_zone = "Europe/Berlin", .missed = "skip", .grace = 90s});
    ASSERT_TRUE(next);
    EXPECT_GT(*next, chancy::now());
    const auto rows = db.list_cron();
    ASSERT_EQ(rows.size(), 1u);
    EXPECT_EQ(rows[0].key, "nightly");
    EXPECT_EQ(rows[0].time_zone, "Europe/Berlin");
    EXPECT_EQ(rows[0].missed, "skip");
    EXPECT_EQ(rows[0].grace, 90s);
    EXPECT_EQ(rows[0].job.at("func"), "tidy.up");
    EXPECT_EQ(rows[0].next_run, next);
    EXPECT_FALSE(rows[0].paused || rows[0].overlap || rows[0].for_python || rows[0].last_run);
    EXPECT_TRUE(db.pause_cron("nightly"));
    EXPECT_FALSE(db.list_cron().at(0).next_run);
    const auto id = db.push_cron("nightly");
    ASSERT_TRUE(id);
    EXPECT_EQ(db.get_job(*id)->kwargs, (chancy::json{{"n", 1}}));
    EXPECT_TRUE(db.resume_cron("nightly"));
    EXPECT_TRUE(db.unschedule_cron("nightly"));
    EXPECT_FALSE(db.unschedule_cron("nightly") || db.pause_cron("nightly") || db.resume_cron("nightly") || db.push_cron("nightly"));
}

TEST_F(cron, pushes_what_is_due) {
    EXPECT_TRUE(db.schedule_cron({.key = "k", .expression = "@hourly", .job = {.func = "a"}}));
    EXPECT_TRUE(db.run_cron().empty());
    test::sql("UPDATE chancy.cron SET next_run = date_trunc('hour', now())");
    const auto ticks = db.run_cron();
    ASSERT_EQ(ticks.size(), 1u);
    EXPECT_EQ(ticks[0].key, "k");
    EXPECT_TRUE(ticks[0].created);
    EXPECT_EQ(db.get_job(ticks[0].id)->scheduled_at, ticks[0].tick);
    EXPECT_EQ(db.get_live_job("k")->id, ticks[0].id);
    EXPECT_TRUE(db.run_cron().empty());
}

TEST_F(cron, tells_what_an_expression_means) {
    const auto at = chancy::now();
    const auto runs = db.next_runs("0 9 * * *", "Asia/Kolkata", 3, at);
    ASSERT_EQ(runs.size(), 3u);
    EXPECT_EQ(runs[0].local_time.substr(11), "09:00:00");
    EXPECT_EQ(runs[1].tick - runs[0].tick, 24h);
    EXPECT_GT(runs[0].tick, at);
    try {
        (void)db.next_runs("0 9 * * MOX");
        FAIL();
    } catch (const chancy::error& e) {
        EXPECT_EQ(e.sqlstate(), "22023");
        EXPECT_NE(std::string(e.what()).find("day of week \"MOX\""), std::string::npos) << e.what();
    }
}

TEST_F(cron, has_a_command) {
    EXPECT_EQ(chancy_run("cron schedule k '* * * * *' a.b --kwargs '{\"n\": 1}' --missed 'all up to 3' --overlap").code, 0);
    const auto listed = chancy_run("cron list --json");
    EXPECT_EQ(chancy::json::parse(listed.out).at("missed"), "all up to 3") << listed.err;
    EXPECT_NE(chancy_run("cron list").out.find("a.b"), std::string::npos);
    const auto full = chancy_run("cron schedule l '0 2 * * *' a.c --queue slow --priority 3 --max-attempts 4 --unique-key mine --unique-for 1h --concurrency-key c "
                                 "--limit time=30s --meta '{\"a\": 1}' --time-zone Europe/Berlin --skipped-times after --repeated-times last --missed once --grace 90s --paused");
    EXPECT_EQ(full.out, "paused\n") << full.err;
    EXPECT_EQ(chancy_run("cron schedule m '0 2 * * *' a.d --on-conflict rerun").code, 0);
    const auto rows = db.list_cron();
    ASSERT_EQ(rows.size(), 3u);
    EXPECT_TRUE(rows[0].overlap && !rows[0].paused);
    EXPECT_EQ(rows[0].job.at("kwargs"), (chancy::json{{"n", 1}}));
    const chancy::cron_row& l = rows[1];
    EXPECT_TRUE(l.paused && !l.overlap && l.missed == "once" && l.grace == 90s);
    EXPECT_EQ(l.time_zone + ' ' + l.skipped_times + ' ' + l.repeated_times, "Europe/Berlin after last");
    const auto job = db.get_job(db.push_cron("l").value()).value();
    EXPECT_TRUE(job.queue == "slow" && job.priority == 3 && job.max_attempts == 4 && job.unique_key == "mine" && job.concurrency_key == "c");
    EXPECT_EQ(job.unique_until.value() - job.scheduled_at, 1h);
    EXPECT_EQ(job.limits, (chancy::json{{{"t", "time"}, {"v", 30}}}));
    EXPECT_EQ(job.meta, (chancy::json{{"a", 1}}));
    EXPECT_EQ(rows[2].job.at("on_conflict"), "rerun");
    EXPECT_EQ(chancy_run("cron unschedule l").code, 0);
    EXPECT_EQ(chancy_run("cron unschedule m").code, 0);
    EXPECT_EQ(chancy_run("cron next '0 0 1 1 *' -n 2 --after 2030-01-01T00:00:00Z").out,
              "time (UTC)           UTC\n2031-01-01 00:00:00  2031-01-01T00:00:00.000000Z\n2032-01-01 00:00:00  2032-01-01T00:00:00.000000Z\n");
    EXPECT_EQ(chancy_run("cron push k").out.size(), 37u);
    EXPECT_EQ(chancy_run("cron pause k").code, 0);
    EXPECT_EQ(chancy_run("cron run").code, 3);
    EXPECT_EQ(chancy_run("cron resume k").code, 0);
    EXPECT_EQ(chancy_run("cron unschedule k").code, 0);
    EXPECT_EQ(chancy_run("cron unschedule k").code, 3);
    const auto wrong = chancy_run("cron schedule k '* 24 * * *' a.b");
    EXPECT_EQ(wrong.code, 1);
    EXPECT_NE(wrong.err.find("hour \"24\" is out of range"), std::string::npos) << wrong.err;
    EXPECT_EQ(chancy_run("cron").code, 2);
}
