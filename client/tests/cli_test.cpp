// The command line, as a whole program.
#include "support.hpp"

#include <csignal>
#include <filesystem>
#include <fstream>

#include <unistd.h>

using namespace std::chrono_literals;

namespace {

const std::string chancy_program = CHANCY_PROGRAM;

test::ran chancy_run(const std::string& arguments) { return test::shell(chancy_program + " " + arguments); }

// Each line of the output as JSON.
std::vector<chancy::json> lines(const std::string& out) {
    std::vector<chancy::json> all;
    std::istringstream in(out);
    for (std::string line; std::getline(in, line);) all.push_back(chancy::json::parse(line));
    return all;
}

std::string first_word(const std::string& text) { return text.substr(0, text.find_first_of(" \n")); }

class cli : public test::db_test {};

}  // namespace

TEST_F(cli, push_prints_the_id) {
    const auto plain = chancy_run("push mail.send");
    ASSERT_EQ(plain.code, 0) << plain.err;
    const auto id = chancy::uuid::parse(first_word(plain.out));
    ASSERT_TRUE(id) << plain.out;
    EXPECT_EQ(db.get_job(*id)->func, "mail.send");

    const auto all = chancy_run(R"(push f --kwargs '{"a": [1, "Ж"]}' --queue q --priority -4 --max-attempts 3 --unique-key k )"
                                R"(--meta '{"m": 1}' --limit time=1m30s --limit memory=512M --at 2031-02-03T04:05:06.5+02:00 --json)");
    ASSERT_EQ(all.code, 0) << all.err;
    const auto answer = lines(all.out).at(0);
    EXPECT_EQ(answer.at("created"), true);
    const auto j = db.get_job(*chancy::uuid::parse(answer.at("id").get<std::string>()));
    EXPECT_EQ(j->kwargs, (chancy::json{{"a", {1, "Ж"}}}));
    EXPECT_EQ(j->queue, "q");
    EXPECT_EQ(j->priority, -4);
    EXPECT_EQ(j->max_attempts, 3);
    EXPECT_EQ(j->unique_key, "k");
    EXPECT_EQ(j->meta, (chancy::json{{"m", 1}}));
    EXPECT_EQ(j->limits, (chancy::json{{{"t", "time"}, {"v", 90}}, {{"t", "memory"}, {"v", 512 << 20}}}));
    EXPECT_EQ(chancy::to_string(j->scheduled_at), "2031-02-03T02:05:06.500000Z");

    const auto again = chancy_run("push other --unique-key k");
    EXPECT_EQ(first_word(again.out), j->id.to_string());
    EXPECT_FALSE(again.err.empty());

    const auto later = chancy_run("push f --in 2h");
    EXPECT_GT(db.get_job(*chancy::uuid::parse(first_word(later.out)))->scheduled_at, chancy::now() + 1h);
}

TEST_F(cli, wrong_usage_is_code_2) {
    for (const char* wrong : {"", "push", "frobnicate", "push f --kwargs '{'", "push f --in soon", "push f --in 1m --at 2031-01-01",
                              "push f --at 2031-02-30", "push f --limit time", "push f --limit space=1", "push f --priority high",
                              "job show nonsense", "job list --state sleeping", "job", "queue", "worker", "worker --exec nothing",
                              "worker --exec f= ", "worker --concurrency -1 --exec f=true"}) {
        const auto r = chancy_run(wrong);
        EXPECT_EQ(r.code, 2) << wrong;
        EXPECT_EQ(r.err.rfind("chancy: ", 0), 0u) << wrong << ": " << r.err;
        EXPECT_EQ(std::count(r.err.begin(), r.err.end(), '\n'), 1) << r.err;
    }
    EXPECT_EQ(test::sql("SELECT count(*) FROM chancy.jobs").at(0), "0");
}

TEST_F(cli, errors_are_one_line_and_code_1) {
    const auto one_line = [](const test::ran& r, const std::string& part) {
        EXPECT_EQ(r.code, 1) << r.out;
        EXPECT_EQ(r.err.rfind("chancy: ", 0), 0u) << r.err;
        EXPECT_EQ(std::count(r.err.begin(), r.err.end(), '\n'), 1) << r.err;
        EXPECT_NE(r.err.find(part), std::string::npos) << r.err;
    };
    one_line(chancy_run("push f --max-attempts 0"), "max_attempts");
    one_line(chancy_run("-d host=/nonexistent push f"), "/nonexistent");
    one_line(chancy_run("-d dbname=" + test::database() + "_bare push f"), "CREATE EXTENSION chancy");
    const std::string role = test::database() + "_nobody";
    test::sql("CREATE ROLE " + role);
    one_line(chancy_run("-d \"options='-c role=" + role + "'\" job list"), "grant");
    test::sql("DROP ROLE " + role);
}

TEST_F(cli, help_and_version) {
    EXPECT_EQ(chancy_run("--version").out.rfind("chancy ", 0), 0u);
    for (const char* command : {"", "push", "worker", "worker list", "queue", "queue list", "queue declare", "queue pause", "queue resume",
                                "queue delete", "job", "job show", "job list", "job cancel", "job retry", "job wait"}) {
        const auto r = chancy_run(std::string(command) + " --help");
        EXPECT_EQ(r.code, 0) << command;
        EXPECT_NE(r.out.find("Usage"), std::string::npos) << command;
    }
}

TEST_F(cli, queues) {
    const auto made = chancy_run("queue declare mail --concurrency 4 --tag 'a.*' --tag b --rate-limit 10 --rate-limit-window 60 --json");
    ASSERT_EQ(made.code, 0) << made.err;
    EXPECT_EQ(lines(made.out).at(0).at("concurrency"), 4);
    EXPECT_EQ(lines(made.out).at(0).at("tags"), (chancy::json{"a.*", "b"}));
    const auto human = chancy_run("queue list").out;
    EXPECT_NE(human.find("mail"), std::string::npos) << human;
    EXPECT_NE(human.find("10 in 60 s"), std::string::npos) << human;
    EXPECT_EQ(lines(chancy_run("--json queue declare mail --concurrency 5").out).at(0).at("concurrency"), 4);
    EXPECT_EQ(lines(chancy_run("--json queue declare mail --concurrency 5 --upsert").out).at(0).at("concurrency"), 5);
    EXPECT_EQ(chancy_run("queue pause mail --for 1h").code, 0);
    const auto all = lines(chancy_run("queue list --json").out);
    ASSERT_EQ(all.size(), 2u);
    EXPECT_EQ(all[1].at("state"), "paused");
    EXPECT_FALSE(all[1].at("resume_at").is_null());
    EXPECT_EQ(chancy_run("queue resume mail").code, 0);
    EXPECT_EQ(chancy_run("queue delete mail").code, 0);
    for (const char* gone : {"queue delete mail", "queue pause mail", "queue resume mail"}) EXPECT_EQ(chancy_run(gone).code, 3) << gone;
    claim({.func = "a"});
    EXPECT_EQ(chancy_run("queue delete default").code, 1);
}

TEST_F(cli, jobs) {
    const auto j = claim({.func = "f.g", .kwargs = {{"x", 1}}, .unique_key = "key"});
    const std::string id = j.id.to_string(), none = chancy::uuid().to_string();
    EXPECT_EQ(lines(chancy_run("job show --json " + id).out).at(0), chancy::json(*db.get_job(j.id)));
    const auto human = chancy_run("job show " + id).out;
    for (const char* part : {"f.g", "running", "{\"x\":1}", "key", "tester"}) EXPECT_NE(human.find(part), std::string::npos) << part;
    EXPECT_EQ(chancy_run("job show " + none).code, 3);

    db.push({.func = "other", .queue = "q"});
    EXPECT_EQ(lines(chancy_run("job list --json").out).size(), 2u);
    EXPECT_EQ(lines(chancy_run("job list --json --state running").out).at(0).at("id"), id);
    EXPECT_EQ(lines(chancy_run("job list --json --queue q --func other").out).size(), 1u);
    EXPECT_EQ(lines(chancy_run("job list --json --limit 1").out).at(0).at("func"), "other");
    EXPECT_NE(chancy_run("job list").out.find(id), std::string::npos);

    EXPECT_EQ(chancy_run("job wait --timeout 10ms " + id).code, 5);
    EXPECT_EQ(chancy_run("job retry " + id).code, 3);
    EXPECT_EQ(chancy_run("job cancel " + id).code, 0);
    EXPECT_EQ(chancy_run("job cancel " + id + " " + none).code, 3);
    EXPECT_EQ(chancy_run("job wait " + id).code, 4);
    EXPECT_EQ(chancy_run("job retry " + id).code, 0);
    EXPECT_EQ(db.get_job(j.id)->state, chancy::job_state::pending);
    EXPECT_EQ(chancy_run("job wait " + none).code, 3);
}

TEST_F(cli, a_worker_runs_commands_until_it_is_told_to_stop) {
    const std::string log = std::filesystem::temp_directory_path() / (test::database() + ".worker");
    const pid_t worker = ::fork();
    ASSERT_GE(worker, 0);
    if (worker == 0) {
        ::execl("/bin/sh", "sh", "-c",
                ("exec " + chancy_program + " worker --queue default --queue more --concurrency 2 --id tested --exec 'ok=echo 7' "
                 "--exec 'again=exit 75' --exec 'bad=echo why; exit 1' --exec 'slow=echo started; exec sleep 1000' --grace 0 >" + log + " 2>&1").c_str(),
                nullptr);
        ::_exit(127);
    }
    ASSERT_TRUE(test::eventually([&] { return lines(chancy_run("worker list --json").out).size() == 1; }));
    EXPECT_EQ(lines(chancy_run("worker list --json").out).at(0).at("worker_id"), "tested");
    EXPECT_NE(chancy_run("worker list").out.find("default, more"), std::string::npos);

    const auto push = [](const std::string& arguments) { return first_word(chancy_run("push " + arguments).out); };
    const auto good = chancy_run("job wait --json " + push("ok --queue more"));
    EXPECT_EQ(good.code, 0);
    EXPECT_EQ(lines(good.out).at(0).at("result"), 7);
    const auto bad = chancy_run("job wait --json " + push("bad --max-attempts 5"));
    EXPECT_EQ(bad.code, 4);
    EXPECT_EQ(lines(bad.out).at(0).at("attempts"), 1);
    EXPECT_NE(bad.out.find("why"), std::string::npos);
    const auto again = chancy::uuid::parse(push("again --max-attempts 2"));
    EXPECT_TRUE(test::eventually([&] { return db.get_job(*again)->state == chancy::job_state::retrying; }));
    const auto slow = chancy::uuid::parse(push("slow"));
    EXPECT_TRUE(test::eventually([&] { return db.get_job(*slow)->state == chancy::job_state::running; }));

    ::kill(worker, SIGTERM);
    int status = 0;
    ASSERT_EQ(::waitpid(worker, &status, 0), worker);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
    EXPECT_EQ(db.get_job(*slow)->state, chancy::job_state::pending);
    EXPECT_TRUE(db.list_workers().empty());
    std::filesystem::remove(log);
}
