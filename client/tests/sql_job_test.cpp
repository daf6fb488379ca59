#include "support.hpp"

using chancy::job_state;
using namespace std::chrono_literals;

namespace {

class sql_job : public test::db_test {
protected:
    void SetUp() override {
        db_test::SetUp();
        test::sql("TRUNCATE chancy.cron, chancy.sql_jobs, chancy.sql_schedules");
        test::sql("CREATE OR REPLACE FUNCTION add(a int, b int DEFAULT 1) RETURNS int LANGUAGE sql AS 'SELECT a + b'");
        db.declare_queue({.name = "sql"});
    }
    void TearDown() override { test::sql("TRUNCATE chancy.cron, chancy.sql_jobs, chancy.sql_schedules"); }
};

test::ran chancy_run(const std::string& arguments) { return test::shell(std::string(CHANCY_PROGRAM) + " " + arguments); }

}  // namespace

TEST_F(sql_job, is_pushed_run_and_listed) {
    const auto first = db.push_sql({.function = "add(int, int)", .args = {1, 2}, .priority = 3, .max_attempts = 2, .timeout = 90s});
    const auto again = db.push_sql({.function = "add(int, int)", .args = {5}, .every = 1h});
    const auto later = db.push_sql({.function = "add(int, int)", .args = {7}, .scheduled_at = chancy::now() + 1h});
    db.run_sql_jobs();
    const auto rows = db.list_sql_jobs();
    ASSERT_EQ(rows.size(), 3u);
    EXPECT_EQ(rows[2].id, first);
    EXPECT_EQ(rows[2].role, test::sql("SELECT current_user").at(0));
    EXPECT_EQ(rows[2].function, "public.add(integer,integer)");
    EXPECT_EQ(rows[2].args, (chancy::json{1, 2}));
    EXPECT_EQ(rows[2].queue, "sql");
    EXPECT_EQ(rows[2].state, job_state::succeeded);
    EXPECT_EQ(rows[2].result, 3);
    EXPECT_EQ(rows[2].timeout, 90s);
    EXPECT_TRUE(rows[2].started_at && rows[2].completed_at);
    EXPECT_FALSE(rows[2].error || rows[2].every);
    EXPECT_EQ(rows[1].id, again);
    EXPECT_EQ(rows[1].state, job_state::pending);
    EXPECT_EQ(rows[1].scheduled_at, *rows[1].started_at + 1h);
    EXPECT_EQ(rows[1].every, 1h);
    EXPECT_EQ(rows[0].id, later);
    EXPECT_FALSE(rows[0].started_at || rows[0].result);
    EXPECT_EQ(db.list_sql_jobs(later, 1).at(0).id, again);
    EXPECT_EQ(db.get_job(first)->priority, 3);
    EXPECT_EQ(db.get_job(first)->max_attempts, 2);
    EXPECT_TRUE(db.cancel_job(again));
    EXPECT_EQ(chancy::json(rows[1]).at("every"), 3600);
}

TEST_F(sql_job, goes_with_its_transaction_and_runs_outside_of_one) {
    {
        chancy::transaction tx(db);
        (void)tx.push_sql({.function = "add(int, int)", .args = {1}});
        try {
            tx.run_sql_jobs();
            FAIL();
        } catch (const chancy::error& e) {
            EXPECT_EQ(e.sqlstate(), "2D000");
        }
    }
    EXPECT_TRUE(db.list_sql_jobs().empty());
}

TEST_F(sql_job, is_refused) {
    const auto refused = [&](const chancy::new_sql_job& job) -> std::string {
        try {
            (void)db.push_sql(job);
        } catch (const chancy::error& e) {
            return e.sqlstate();
        }
        return "not refused";
    };
    EXPECT_EQ(refused({.function = "add(int)"}), "42883");
    EXPECT_EQ(refused({.function = "add(int, int)"}), "22023");
    EXPECT_EQ(refused({.function = "add(int, int)", .args = {{"a", 1}}}), "22023");
    EXPECT_EQ(refused({.function = "add(int, int)", .args = {1}, .timeout = 0s}), "22023");
    EXPECT_EQ(refused({.function = "add(int, int)", .args = {1}, .every = 100ms}), "22023");
    EXPECT_EQ(refused({.function = "add(int, int)", .args = {1}, .queue = ""}), "22023");
    EXPECT_TRUE(db.list_sql_jobs().empty());
}

TEST_F(sql_job, is_scheduled) {
    ASSERT_TRUE(db.schedule_cron({.key = "sum", .expression = "@hourly", .sql = chancy::new_sql_job{.function = "add(int, int)", .args = {20, 3}, .timeout = 1500ms}}));
    EXPECT_EQ(db.list_cron().at(0).job.at("function"), "public.add(integer,integer)");
    const auto id = db.push_cron("sum");
    db.run_sql_jobs();
    const auto rows = db.list_sql_jobs();
    ASSERT_EQ(rows.size(), 1u);
    EXPECT_EQ(rows[0].id, *id);
    EXPECT_EQ(rows[0].result, 23);
    EXPECT_EQ(rows[0].timeout, 1500ms);
    try {
        db.schedule_cron({.key = "sum", .expression = "@hourly", .sql = chancy::new_sql_job{.function = "add(int, int)", .args = {1}, .every = 1h}});
        FAIL();
    } catch (const chancy::error& e) {
        EXPECT_STREQ(e.what(), "job.every is not a known key");
    }
}

TEST_F(sql_job, has_a_command) {
    const auto pushed = chancy_run("sql push 'add(int, int)' --args '[1, 2]' --timeout 1m --priority 5");
    EXPECT_EQ(pushed.out.size(), 37u) << pushed.err;
    EXPECT_EQ(chancy_run("sql push 'add(int, int)' --args '[2000000000, 2000000000]' --in 0s").code, 0);
    EXPECT_EQ(chancy_run(R"(cron schedule daily @daily 'add(int, int)' --sql --args '[4]' --timeout 2m --unique-key k --unique-for 1h --concurrency-key c --meta '{"a": 1}')").code, 0);
    const auto made = db.list_cron().at(0).job;
    EXPECT_EQ(made.at("unique_key"), "k");
    EXPECT_EQ(made.at("concurrency_key"), "c");
    EXPECT_EQ(made.at("meta"), (chancy::json{{"a", 1}}));
    EXPECT_EQ(made.at("unique_for"), "3600.000 s");
    EXPECT_NE(chancy_run("cron list").out.find("public.add(integer,integer)  sql"), std::string::npos);
    EXPECT_EQ(chancy_run("cron push daily").code, 0);
    const auto job = db.get_live_job("k").value();
    EXPECT_EQ(job.concurrency_key, "c");
    EXPECT_EQ(job.meta, (chancy::json{{"a", 1}}));
    EXPECT_EQ(job.unique_until.value() - job.scheduled_at, 1h);
    EXPECT_EQ(chancy_run("sql run").code, 0);
    const auto listed = chancy_run("sql list").out;
    EXPECT_NE(listed.find("22003: integer out of range"), std::string::npos) << listed;
    EXPECT_EQ(chancy::json::parse(chancy_run("sql list --json --limit 1").out).at("result"), 5);
    EXPECT_EQ(chancy_run(R"(cron schedule nightly @daily 'add(int, int)' --sql --args '[4]' --timeout 2m --queue night --priority 5 --max-attempts 3)").code, 0);
    const auto other = db.get_job(db.push_cron("nightly").value()).value();
    EXPECT_TRUE(other.queue == "night" && other.priority == 5 && other.max_attempts == 3 && other.unique_key == "nightly");
    EXPECT_EQ(test::sql("SELECT DISTINCT timeout FROM chancy.sql_schedules"), std::vector<std::string>{"00:02:00"});
    EXPECT_EQ(chancy_run("job wait " + pushed.out.substr(0, 36)).code, 0);
    const auto wrong = chancy_run("sql push 'add(int)'");
    EXPECT_EQ(wrong.code, 1);
    EXPECT_NE(wrong.err.find("function \"add(int)\" does not exist"), std::string::npos) << wrong.err;
    EXPECT_EQ(chancy_run("sql push 'add(int, int)' --args 1,2").code, 2);
    EXPECT_EQ(chancy_run("sql list --after x").code, 2);
    EXPECT_EQ(chancy_run("sql").code, 2);
    EXPECT_EQ(chancy_run("cron schedule k @daily f --args '[]'").code, 2);
    EXPECT_EQ(chancy_run("cron schedule k @daily f --sql --kwargs '{}'").code, 2);
}
