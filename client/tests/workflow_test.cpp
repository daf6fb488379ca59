#include "support.hpp"

#include <map>

using namespace std::chrono_literals;

namespace {

class workflow : public test::db_test {
protected:
    void TearDown() override { test::sql("TRUNCATE chancy.workflows, chancy.workflow_steps, chancy.workflow_todo"); }

    // Runs what is due, with the func as result.
    void work(const std::string& failing = "") {
        std::vector<chancy::update> updates;
        for (const chancy::job& j : db.fetch_jobs("default", "w", 100)) {
            chancy::update u{.id = j.id, .started_at = *j.started_at, .how = j.func == failing ? chancy::outcome::failed : chancy::outcome::succeeded};
            u.result = j.func;
            updates.push_back(u);
        }
        db.apply_updates("w", updates);
    }
    std::map<std::string, std::string> states(const chancy::uuid& id) {
        std::map<std::string, std::string> out;
        for (const auto& s : db.get_workflow_steps(id)) out[s.step] = s.state;
        return out;
    }
    using map = std::map<std::string, std::string>;
};

}  // namespace

TEST_F(workflow, builds_pushes_and_shows) {
    chancy::workflow w("report");
    w.step("fetch", {.func = "fetch"}).step("left", {.func = "part"}, {"fetch"}).step("right", {.func = "part"}, {"fetch"})
        .step("sum", {.func = "sum"}, {"left", "right"}).then("mail", {.func = "mail"});
    const auto id = db.push_workflow(w);
    work();
    EXPECT_EQ(states(id), (map{{"fetch", "succeeded"}, {"left", "pending"}, {"right", "pending"}, {"sum", "waiting"}, {"mail", "waiting"}}));
    work();
    const auto jobs = db.fetch_jobs("default", "w");
    ASSERT_EQ(jobs.size(), 1u);
    const auto results = db.step_results(jobs[0].id);
    ASSERT_EQ(results.size(), 2u);
    EXPECT_EQ(results[0].step, "left");
    EXPECT_EQ(results[1].result, chancy::json("part"));
    EXPECT_EQ(db.get_workflow(id)->status, "running");
    EXPECT_EQ(db.get_workflow_steps(id).at(3).after, (std::vector<std::string>{"left", "right"}));
    EXPECT_NE(db.workflow_dot(id)->find("\"sum\" -> \"mail\""), std::string::npos);
    EXPECT_NE(db.workflow_mermaid(id)->find("flowchart"), std::string::npos);
    EXPECT_FALSE(db.get_workflow({}));
    EXPECT_FALSE(db.workflow_dot({}));
    EXPECT_EQ(db.list_workflows("running").size(), 1u);
    EXPECT_TRUE(db.cancel_workflow(id));
    EXPECT_FALSE(db.cancel_workflow(id));
    EXPECT_EQ(db.get_workflow(id)->status, "cancelled");
}

TEST_F(workflow, goes_on_when_its_failed_step_runs_again_with_other_kwargs) {
    const auto id = db.push_workflow(chancy::workflow("w").step("a", {.func = "a"}).then("b", {.func = "b"}));
    work("a");
    EXPECT_EQ(db.get_workflow(id)->status, "failed");
    const auto job = *db.get_workflow_steps(id).at(0).job_id;
    EXPECT_TRUE(db.retry_job(job, chancy::json{{"n", 2}}));
    EXPECT_EQ(db.get_job(job)->kwargs, (chancy::json{{"n", 2}}));
    EXPECT_EQ(db.get_workflow(id)->status, "running");
    work(), work();
    EXPECT_EQ(db.get_workflow(id)->status, "completed");
}

TEST_F(workflow, retries_adds_and_undoes) {
    const auto failed = db.push_workflow(chancy::workflow("w").step("a", {.func = "a"}).then("b", {.func = "b"}));
    work("a");
    EXPECT_EQ(db.get_workflow(failed)->status, "failed");
    EXPECT_TRUE(db.retry_workflow(failed));
    db.add_steps(failed, chancy::workflow("more").step("c", {.func = "c"}, {"b"}));
    work(), work(), work();
    EXPECT_EQ(db.get_workflow(failed)->status, "completed");
    EXPECT_EQ(db.get_workflow(failed)->steps, (chancy::json{{"succeeded", 3}}));

    const auto saga = db.push_workflow(chancy::workflow("saga", chancy::on_failure::compensate)
                                           .step("a", {.func = "a"}).undo({.func = "undo"}).then("b", {.func = "b"}));
    work(), work("b");
    EXPECT_EQ(states(saga), (map{{"a", "succeeded"}, {"b", "failed"}, {"undo:a", "pending"}}));
    work();
    EXPECT_EQ(db.get_workflow(saga)->status, "compensated");
}

TEST_F(workflow, group_pushes_a_job_when_all_have_ended) {
    const std::vector<chancy::new_job> jobs = {{.func = "a"}, {.func = "b"}};
    const auto id = db.push_group("g", jobs, {.func = "done"});
    work("a");
    EXPECT_EQ(states(id), (map{{"1", "failed"}, {"2", "succeeded"}, {"then", "pending"}}));
}

TEST_F(workflow, refuses_a_cycle_with_its_path) {
    const auto cycle = chancy::workflow("w").step("a", {.func = "a"}, {"b"}).then("b", {.func = "b"});
    try {
        db.push_workflow(cycle);
        FAIL();
    } catch (const chancy::error& e) {
        EXPECT_EQ(e.sqlstate(), "22023");
        EXPECT_STREQ(e.what(), "steps[0].after is a cycle: a, which waits for b, which waits for a");
    }
}

TEST_F(workflow, a_step_reads_what_earlier_ones_returned) {
    for (const auto where : {chancy::executor::threads, chancy::executor::processes}) {
        chancy::worker w({.concurrency = 2, .run_on = where, .poll_interval = 1h, .log = [](chancy::log_level, const std::string&) {}});
        w.on("part", [](chancy::job_context& job) {
            if (!job.step_results().empty()) throw chancy::discard("it waited for nothing");
            if (job.get<int>("n") < 0) throw chancy::discard("less than nothing");
            return chancy::json(job.get<int>("n"));
        });
        w.on("sum", [](chancy::job_context& job) {
            chancy::json out = job.step_results();
            int sum = 0;
            for (const auto& r : job.step_results()) sum += r.result.value_or(0).get<int>();
            out.push_back(sum);
            return out;
        });
        w.on("shell", chancy::command("cat"));
        std::thread runs([&] { w.run(); });
        const auto id = db.push_workflow(chancy::workflow("w", chancy::on_failure::go_on)
            .step("left", {.func = "part", .kwargs = {{"n", 3}}}).step("right", {.func = "part", .kwargs = {{"n", 4}}}).step("bad", {.func = "part", .kwargs = {{"n", -1}}})
            .step("sum", {.func = "sum"}, {"right", "bad", "left"}).when_finished().then("shell", {.func = "shell"}));
        EXPECT_TRUE(test::eventually([&] { return states(id)["shell"] == "succeeded"; }));
        w.stop();
        runs.join();
        const auto steps = db.get_workflow_steps(id);
        EXPECT_EQ(steps.at(3).result, (chancy::json::parse(R"([{"step": "right", "state": "succeeded", "result": 4}, {"step": "bad", "state": "failed", "result": null},
            {"step": "left", "state": "succeeded", "result": 3}, 7])"))) << steps.at(3).error.value_or("");
        EXPECT_EQ(steps.at(4).result->at("step_results"), (chancy::json{{"sum", {{"state", "succeeded"}, {"result", *steps.at(3).result}}}}));
    }
}

TEST_F(workflow, has_a_command) {
    const auto chancy_run = [](const std::string& arguments, const std::string& input = "") {
        return test::shell("echo '" + input + "' | " + CHANCY_PROGRAM + " workflow " + arguments);
    };
    const auto pushed = chancy_run("push nightly - --on-failure continue", R"([{"step": "a", "func": "a"}, {"step": "b", "func": "b", "after": ["a"]}])");
    ASSERT_EQ(pushed.out.size(), 37u) << pushed.err;
    const std::string id = pushed.out.substr(0, 36);
    EXPECT_EQ(chancy_run("add " + id + " -", R"([{"step": "c", "func": "c", "after": ["b"]}])").code, 0);
    work();
    const auto b = db.get_workflow_steps(*chancy::uuid::parse(id)).at(1).job_id;
    EXPECT_EQ(chancy_run("results " + b->to_string()).out, "step  state      result\na     succeeded  \"a\"\n");
    EXPECT_EQ(chancy_run("results --json " + b->to_string()).out, "{\"result\":\"a\",\"state\":\"succeeded\",\"step\":\"a\"}\n");
    const auto shown = chancy_run("show " + id).out;
    EXPECT_EQ(shown.substr(0, 17), "nightly: running,");
    EXPECT_NE(shown.find("c     waiting    b"), std::string::npos) << shown;
    EXPECT_NE(chancy_run("list").out.find(id), std::string::npos);
    EXPECT_NE(chancy_run("dot " + id).out.find("\"b\" -> \"c\""), std::string::npos);
    EXPECT_NE(chancy_run("mermaid " + id).out.find("flowchart"), std::string::npos);
    EXPECT_EQ(chancy_run("cancel " + id).code, 0);
    EXPECT_EQ(chancy_run("cancel " + id).code, 3);
    EXPECT_EQ(chancy_run("retry " + id).code, 0);
    const auto cycle = chancy_run("push w -", R"([{"step": "a", "func": "a", "after": ["a"]}])");
    EXPECT_EQ(cycle.code, 1);
    EXPECT_NE(cycle.err.find("steps[0].after is a cycle"), std::string::npos) << cycle.err;
    EXPECT_EQ(chancy_run("push w -", "[{").code, 2);
    for (const std::string what : {"show ", "dot ", "mermaid "}) {
        const auto none = chancy_run(what + chancy::uuid().to_string());
        EXPECT_EQ(none.code, 3);
        EXPECT_EQ(none.err, "chancy: there is no such workflow\n");
    }
    EXPECT_EQ(chancy_run("add " + chancy::uuid().to_string() + " -", "[]").code, 1);
}

TEST_F(workflow, groups_and_pruning_have_commands) {
    const auto chancy_run = [](const std::string& arguments, const std::string& input = "") {
        return test::shell("echo '" + input + "' | " + CHANCY_PROGRAM + " " + arguments);
    };
    const auto pushed = chancy_run(R"(workflow group import - --then '{"func": "done"}')", "{\"func\": \"part\"}\n\n{\"func\": \"part\"}");
    ASSERT_EQ(pushed.out.size(), 37u) << pushed.err;
    const auto id = chancy::uuid::parse(pushed.out.substr(0, 36));
    EXPECT_EQ(db.get_workflow_steps(*id).size(), 3u);
    EXPECT_EQ(chancy_run("workflow group import - --then '[]'", "{\"func\": \"part\"}").code, 2);
    EXPECT_NE(chancy_run(R"(workflow group import - --then '{"func": "done"}')", "{\"func\": \"part\"}\n{").err.find("line 2: "), std::string::npos);
    EXPECT_EQ(chancy_run("workflow prune --age 0s").out, "0 deleted\n");  // it runs
    EXPECT_EQ(chancy_run("workflow cancel " + id->to_string()).code, 0);
    EXPECT_EQ(chancy_run("workflow prune --age 1h").out, "0 deleted\n");
    EXPECT_EQ(chancy_run("--json workflow prune --age 0s").out, "{\"deleted\":1}\n");
    EXPECT_FALSE(db.get_workflow(*id));
}
