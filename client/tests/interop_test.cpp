// Python Chancy beside us; what its own statements do is in regress/.
#include "support.hpp"

#include <algorithm>

#include <unistd.h>

using chancy::job_state;
using test::eventually;
using namespace std::chrono_literals;

namespace {

const std::string chancy_program = CHANCY_PROGRAM;
const std::string role = "chancy test \"role\" " + std::to_string(::getpid());

std::string quoted(const std::string& name) {
    std::string out = "\"";
    for (const char c : name) out += c == '"' ? "\"\"" : std::string(1, c);
    return out + '"';
}

class interop : public test::db_test {
protected:
    void SetUp() override {
        db_test::SetUp();
        test::sql("CREATE ROLE " + quoted(role));
    }
    void TearDown() override {
        db.disable_python_interop();
        test::sql("DROP OWNED BY " + quoted(role));
        test::sql("DROP ROLE " + quoted(role));
    }
};

// An installation in the layout of Chancy 0.25, with a job in every state: twelve jobs, six of them finished.
class adopt : public test::db_test {
protected:
    void SetUp() override {
        db_test::SetUp();
        drop();
        const auto made = test::shell("psql -Xqv ON_ERROR_STOP=1 -v schema=public -v prefix=chancy_ -f " UPSTREAM_SQL);
        ASSERT_EQ(made.code, 0) << made.err;
    }
    void TearDown() override { drop(); }
    static void drop() {
        test::sql("DELETE FROM chancy.adoptions; DELETE FROM chancy.workflows; DELETE FROM chancy.cron; DELETE FROM chancy.metrics;"
                  "DELETE FROM chancy.jobs; DELETE FROM chancy.queues; DELETE FROM chancy.queue_rate_limits; DELETE FROM chancy.workers");
        for (const std::string& name : test::sql("SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE tablename LIKE 'chancy\\_%' AND schemaname = 'public'"))
            test::sql("DROP TABLE " + name + " CASCADE");
    }
};

}  // namespace

TEST_F(interop, is_switched_on_and_off) {
    EXPECT_FALSE(db.interop_status().enabled);
    db.enable_python_interop();
    EXPECT_EQ(chancy::json(db.interop_status()), (chancy::json{{"enabled", true}, {"roles", chancy::json::array()}}));
    db.enable_python_interop(role);
    EXPECT_EQ(db.interop_status().roles, std::vector<std::string>{quoted(role)});
    db.disable_python_interop();
    EXPECT_FALSE(db.interop_status().enabled);
    try {
        db.enable_python_interop("nobody of that name");
        ADD_FAILURE() << "took a role that there is not";
    } catch (const chancy::error& e) {
        EXPECT_EQ(e.sqlstate(), "42704");
        EXPECT_EQ(e.function(), "enable_python_interop");
    }
}

TEST_F(interop, a_push_of_python_wakes_our_worker) {
    db.enable_python_interop();
    db.declare_queue({.name = "default"});
    chancy::worker w({.poll_interval = 1h, .log = [](chancy::log_level, const std::string&) {}});
    w.on("py.job", [](chancy::job_context&) {});
    std::thread on([&] { w.run(); });
    const auto first = db.push({.func = "py.job"});  // the worker listens from here on
    EXPECT_TRUE(eventually([&] { return db.get_job(first)->state == job_state::succeeded; }));
    test::sql("INSERT INTO chancy.jobs (id, queue, func) VALUES (gen_random_uuid(), 'default', 'py.job')");
    EXPECT_TRUE(eventually([] { return test::sql("SELECT 1 FROM chancy.jobs WHERE state = 'succeeded'").size() == 2; }));
    w.stop();
    on.join();
}

TEST_F(interop, the_commands) {
    const auto run = [](const std::string& arguments) { return test::shell(chancy_program + " interop " + arguments); };
    EXPECT_EQ(run("status").out, "disabled\n");
    EXPECT_EQ(run("enable").out, "enabled\n");
    EXPECT_EQ(run("enable --role '" + role + "'").out, "enabled, roles: " + quoted(role) + "\n");
    EXPECT_EQ(chancy::json::parse(run("status --json").out), (chancy::json{{"enabled", true}, {"roles", {quoted(role)}}}));
    EXPECT_EQ(run("disable").out, "disabled\n");
    const auto unknown = run("enable --role nobody");
    EXPECT_EQ(unknown.code, 1);
    EXPECT_EQ(unknown.err, "chancy: role \"nobody\" does not exist\n");
    EXPECT_EQ(run("").code, 2);
}

TEST_F(adopt, takes_over_and_gives_back) {
    const auto moved = db.adopt("public");
    const auto jobs = std::ranges::find(moved, "jobs", &chancy::adopted::what);
    ASSERT_NE(jobs, moved.end());
    EXPECT_EQ(jobs->copied, 7);  // a finished one among them: a step of a workflow that runs
    EXPECT_EQ(chancy::json(db.adopt_history("public", "chancy_", 4)), (chancy::json{{"copied", 3}, {"done", false}, {"so_far", 4}, {"history", 6}}));
    EXPECT_TRUE(db.adopt_history("public", "chancy_", 4).done);
    EXPECT_EQ(db.list_jobs().size(), 12u);
    EXPECT_EQ(db.get_live_job("z")->func, "app.urgent");
    EXPECT_EQ(db.give_back("public").size(), 8u);
    EXPECT_EQ(db.list_jobs().size(), 0u);
    EXPECT_EQ(test::sql("SELECT count(*) FROM public.chancy_jobs").at(0), "12");
    try {
        db.adopt("public", "other_");
        ADD_FAILURE() << "adopted what is not there";
    } catch (const chancy::error& e) {
        EXPECT_EQ(e.sqlstate(), "42P01");
        EXPECT_EQ(e.function(), "adopt");
    }
}

TEST_F(adopt, the_command) {
    const auto run = [](const std::string& arguments) { return test::shell(chancy_program + " adopt " + arguments); };
    {
        const test::holder pusher("INSERT INTO public.chancy_jobs (id, queue, func) VALUES (gen_random_uuid(), 'default', 'app.f')");
        const auto busy = run("--wait 0");
        EXPECT_EQ(busy.code, 1);
        EXPECT_NE(busy.err.find("could not obtain lock on relation \"public.chancy_jobs\""), std::string::npos) << busy.err;
    }
    const auto done = run("--batch 4");
    EXPECT_EQ(done.code, 0) << done.err;
    EXPECT_NE(done.out.find("history: 4 of 6 finished jobs\nhistory: 6 of 6 finished jobs\n"), std::string::npos) << done.out;
    const auto again = run("--json");
    EXPECT_EQ(again.err, "chancy: adopted already; its history goes on\n");
    EXPECT_EQ(chancy::json::parse(again.out).at("done"), true);
    EXPECT_EQ(test::sql("SELECT count(*) FROM chancy.jobs").at(0), "12");
    EXPECT_EQ(run("--back").code, 0);
    EXPECT_EQ(test::sql("SELECT count(*) FROM public.chancy_jobs").at(0), "12");
    EXPECT_EQ(run("--back").code, 1);
}

// Broken off in the middle of its history, it goes on where it was.
TEST_F(adopt, the_command_goes_on) {
    db.adopt("public");
    db.adopt_history("public", "chancy_", 1);
    EXPECT_EQ(test::shell(chancy_program + " adopt --batch 1").code, 0);
    EXPECT_EQ(test::sql("SELECT count(DISTINCT id) FROM chancy.jobs").at(0), "12");
}
