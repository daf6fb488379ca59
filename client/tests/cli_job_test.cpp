// chancy job: what many jobs at once need, and what people read.
#include "served.hpp"

namespace {

test::ran chancy_run(const std::string& arguments) { return test::shell(std::string(CHANCY_PROGRAM) + " " + arguments + " < /dev/null"); }

class cli_job : public test::db_test {
protected:
    int count(const std::string& condition) { return std::stoi(test::sql("SELECT count(*) FROM chancy.jobs WHERE " + condition).at(0)); }
};

}  // namespace

TEST_F(cli_job, retry_and_cancel_take_a_filter) {
    (void)db.declare_queue({.name = "q"});
    for (int i = 0; i < 3; ++i) (void)db.push({.func = i < 2 ? "mail.send" : "other", .queue = "q"});
    (void)db.push({.func = "mail.send", .queue = "elsewhere"});
    test::fail_all("q", "no");

    // Nothing without a filter, nor unasked.
    EXPECT_EQ(chancy_run("job retry").code, 2);
    const auto unasked = chancy_run("job retry --queue q");
    EXPECT_EQ(unasked.code, 2);
    EXPECT_NE(unasked.err.find("--yes"), std::string::npos);
    EXPECT_EQ(chancy_run("job retry --queue q --func mail.send --dry-run").out, "2 jobs would be retried\n");
    EXPECT_EQ(count("state = 'failed'"), 3);
    EXPECT_EQ(chancy_run("job retry --queue q --func mail.send --yes --json").out, "{\"done\":2,\"tried\":2}\n");
    EXPECT_EQ(count("state = 'pending' AND queue = 'q'"), 2);
    EXPECT_EQ(chancy_run("job retry --queue none --yes").code, 3);
    EXPECT_EQ(chancy_run("job cancel --queue q --state retrying --yes").code, 3);
    EXPECT_EQ(chancy_run("job cancel --queue q -y").out, "2 of 2 jobs cancelled\n");
    EXPECT_EQ(count("state = 'failed' AND queue = 'q'"), 3);
    EXPECT_EQ(count("state = 'pending' AND queue = 'elsewhere'"), 1);
    EXPECT_EQ(chancy_run("job retry --queue q --state pending --yes").code, 2);
    EXPECT_EQ(chancy_run("job retry " + chancy::uuid().to_string() + " --queue q").code, 2);
}

TEST_F(cli_job, a_changed_payload_runs_in_place_or_as_a_copy) {
    const auto id = db.push({.func = "mail.send", .kwargs = {{"to", "nobody"}}, .unique_key = "k"});
    EXPECT_EQ(chancy_run("job copy " + id.to_string()).code, 3);
    test::fail_all("default", "no");
    const auto copied = chancy_run("job copy " + id.to_string() + " --kwargs '{\"to\": \"a@b.c\"}' --priority 3");
    ASSERT_EQ(copied.code, 0) << copied.err;
    const auto copy = db.get_job(*chancy::uuid::parse(copied.out.substr(0, copied.out.find('\n'))));
    EXPECT_EQ(copy->kwargs.at("to"), "a@b.c");
    EXPECT_EQ(copy->priority, 3);
    EXPECT_EQ(copy->meta.at("copy_of"), id.to_string());
    EXPECT_EQ(db.get_job(id)->kwargs.at("to"), "nobody");
    EXPECT_EQ(chancy_run("job copy " + id.to_string()).code, 3);  // its key is the copy's now
    db.cancel_job(copy->id);

    EXPECT_EQ(chancy_run("job retry " + id.to_string() + " --kwargs '[]'").code, 1);
    EXPECT_EQ(chancy_run("job retry " + id.to_string() + " --kwargs '{\"to\": \"d@e.f\"}'").code, 0);
    EXPECT_EQ(db.get_job(id)->kwargs.at("to"), "d@e.f");
    EXPECT_EQ(db.get_job(id)->state, chancy::job_state::pending);
}

TEST_F(cli_job, errors_are_numbered_and_listed_in_a_line) {
    const auto id = db.push({.func = "f"});
    test::fail_all("default", "first\\nmore");
    EXPECT_TRUE(db.retry_job(id));
    test::fail_all("default", "Traceback (most recent call last):\\n  File \"x\"\\nValueError: " + std::string(100, 'y'));
    const std::string shown = chancy_run("job show " + id.to_string()).out;
    EXPECT_NE(shown.find("error 1 of 2, attempt 1, 20"), std::string::npos) << shown;
    EXPECT_NE(shown.find("error 2 of 2, attempt 1, 20"), std::string::npos) << shown;
    const std::string listed = chancy_run("job list --state failed").out;
    EXPECT_NE(listed.find("ValueError: " + std::string(47, 'y') + "…\n"), std::string::npos) << listed;
    const auto whole = chancy::json::parse(chancy_run("job list --state failed --json").out);
    EXPECT_EQ(whole.at("errors").size(), 2u);
    EXPECT_FALSE(whole.contains("error"));
}

TEST_F(cli_job, workflow_show_tells_whole_errors_and_the_way_on) {
    const auto id = db.push_workflow(chancy::workflow("w").step("a", {.func = "a"}).then("b", {.func = "b"}));
    test::fail_all("default", "first line\\nsecond line");
    const std::string shown = chancy_run("workflow show " + id.to_string()).out;
    EXPECT_EQ(shown.find("second line"), std::string::npos);
    EXPECT_NE(shown.find("--errors"), std::string::npos);
    EXPECT_NE(shown.find("chancy workflow retry"), std::string::npos);
    EXPECT_NE(shown.find("chancy job retry JOB --kwargs"), std::string::npos);
    EXPECT_NE(chancy_run("workflow show --errors " + id.to_string()).out.find("first line\nsecond line"), std::string::npos);
}
