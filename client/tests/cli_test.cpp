// The command line, as a whole program.
#include "support.hpp"

#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

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
                              "worker --exec f= ", "worker --concurrency -1 --exec f=true", "prune", "prune --rule '{'", "recover --grace soon", "events --count 0"}) {
        const auto r = chancy_run(wrong);
        EXPECT_EQ(r.code, 2) << wrong;
        EXPECT_EQ(r.err.rfind("chancy: ", 0), 0u) << wrong << ": " << r.err;
        EXPECT_EQ(std::count(r.err.begin(), r.err.end(), '\n'), 1) << r.err;
    }
    EXPECT_EQ(test::sql("SELECT count(*) FROM chancy.jobs").at(0), "0");
    EXPECT_EQ(chancy_run("jbo list").err, "chancy: there is no command \"jbo\" (see --help)\n");
    EXPECT_EQ(chancy_run("queue show mail --json").err, "chancy: there is no command \"queue show\" (see --help)\n");
    EXPECT_EQ(chancy_run("queue").err, "chancy: A subcommand is required (see --help)\n");
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
    for (const char* command : {"", "push", "worker", "worker list", "queue", "queue list", "queue declare", "queue stats", "queue pause", "queue resume",
                                "queue delete", "job", "job show", "job list", "job cancel", "job retry", "job wait", "maintain", "recover",
                                "prune", "reprioritize", "task", "task list", "task set", "task reset", "events", "metrics", "metrics list", "metrics record"}) {
        const auto r = chancy_run(std::string(command) + " --help");
        EXPECT_EQ(r.code, 0) << command;
        EXPECT_NE(r.out.find("Usage"), std::string::npos) << command;
    }
}

TEST_F(cli, metrics) {
    const std::string id = lines(chancy_run("push a.b --queue mail --concurrency-key tenant:1 --json").out).at(0).at("id");
    EXPECT_NE(chancy_run("job show " + id).out.find("tenant:1"), std::string::npos);
    const auto stats = chancy_run("queue stats");
    EXPECT_NE(stats.out.find("undeclared"), std::string::npos) << stats.out;
    EXPECT_EQ(lines(chancy_run("queue stats --json").out).back().at("pending"), 1);
    EXPECT_EQ(chancy_run("metrics record shop:orders 2.5").code, 0);
    EXPECT_EQ(chancy_run("metrics record shop:orders").code, 0);
    EXPECT_EQ(chancy_run("maintain").code, 0);
    EXPECT_EQ(lines(chancy_run("metrics list shop: --resolution 1day --since 2d --json").out).at(0).at("value"), 3.5);
    const auto pushed = chancy_run("metrics list queue:mail:pushed --resolution 1hour").out;
    EXPECT_NE(pushed.find("queue:mail:pushed"), std::string::npos) << pushed;
    EXPECT_EQ(chancy_run("metrics list --resolution 2h").code, 2);
    EXPECT_EQ(chancy_run("metrics record x --type meter").code, 2);
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
    const auto limited = chancy_run("queue declare mail --max-running 9 --max-running-per-key 2 --rate-limit 10 --rate-limit-window 60 --rate-limit-burst 3 --upsert");
    EXPECT_NE(limited.out.find("9, 2 a key"), std::string::npos) << limited.out;
    EXPECT_NE(limited.out.find("10 in 60 s, 3 at once"), std::string::npos) << limited.out;
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
    chancy::json whole = *db.get_job(j.id);
    whole["progress"] = nullptr;
    EXPECT_EQ(lines(chancy_run("job show --json " + id).out).at(0), whole);
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
    const std::string live = db.push({.func = "f"}).to_string(), done = db.push({.func = "f"}).to_string();
    db.cancel_job(*chancy::uuid::parse(done));
    EXPECT_EQ(chancy_run("job wait --timeout 10ms " + live + " " + done).code, 5);
    EXPECT_EQ(chancy_run("job wait --timeout 10ms " + live + " " + none).code, 3);
    EXPECT_EQ(chancy_run("job wait --progress " + live + " " + done).code, 2);
    db.cancel_job(*chancy::uuid::parse(live));
    EXPECT_EQ(lines(chancy_run("job wait --json " + live + " " + done).out).size(), 2u);
    EXPECT_EQ(chancy_run("job wait " + live + " " + done).code, 4);
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

TEST_F(cli, maintenance) {
    test::sql("DELETE FROM chancy.task_runs WHERE name <> 'up'");
    const auto runs = lines(chancy_run("maintain --json").out);
    EXPECT_TRUE(std::ranges::any_of(runs, [](const auto& run) { return run.at("task") == "recovery" && run.at("did").at("recovered") == 0; }));
    EXPECT_EQ(chancy_run("maintain").code, 0);

    db.heartbeat("dead", {}, {"default"}, 1s);
    const auto j = claim({.func = "a"}, "dead");
    EXPECT_TRUE(test::eventually([] { return test::sql("SELECT 1 FROM chancy.workers WHERE expires_at < clock_timestamp()").size() == 1; }));
    EXPECT_EQ(chancy_run("recover --grace 2m").out, "1 recovered, 0 failed\n");
    EXPECT_EQ(lines(chancy_run("recover --json").out).at(0), (chancy::json{{"recovered", 0}, {"failed", 0}}));
    EXPECT_EQ(db.get_job(j.id)->state, chancy::job_state::pending);

    for (int i = 0; i < 3; ++i) db.cancel_job(db.push({.func = "a"}));
    EXPECT_EQ(chancy_run(R"(prune --rule '{"age": "1 day"}')").out, "0 deleted\n");
    EXPECT_EQ(lines(chancy_run(R"(prune --rule '{"state": "failed"}' --limit 1 --json)").out).at(0).at("deleted"), 1);
    EXPECT_EQ(chancy_run(R"(prune --rule '{"state": "failed"}')").out, "2 deleted\n");
    EXPECT_TRUE(db.get_job(j.id));
    EXPECT_EQ(chancy_run(R"(prune --rule '{"colour": "red"}')").code, 1);

    test::sql("UPDATE chancy.jobs SET scheduled_at = now() - interval '1 hour', created_at = now() - interval '1 hour', id = '00000000-0000-4000-8000-000000000000'");
    EXPECT_EQ(chancy_run(R"(reprioritize --ceiling 9 --rule '{"queue": "other"}')").out, "0 raised\n");
    EXPECT_EQ(chancy_run("reprioritize --ceiling 9 --by 4").out, "1 raised\n");
    EXPECT_EQ(lines(chancy_run("reprioritize --ceiling 9 --by 4 --every 5m --json").out).at(0).at("raised"), 0);

    EXPECT_EQ(chancy_run(R"(task set pruner --every 2m --settings '{"rule": {"age": "30 days"}}')").code, 0);
    EXPECT_EQ(chancy_run("task set pruner --disable").code, 0);
    const auto tasks = lines(chancy_run("task list --json").out);
    const auto pruner = std::ranges::find_if(tasks, [](const auto& t) { return t.at("name") == "pruner"; });
    ASSERT_NE(pruner, tasks.end());
    EXPECT_EQ(pruner->at("every"), 120);
    EXPECT_EQ(pruner->at("enabled"), false);
    EXPECT_EQ(pruner->at("settings").at("rule").at("age"), "30 days");
    EXPECT_NE(chancy_run("task list").out.find("pruner    "), std::string::npos);
    EXPECT_EQ(chancy_run("task reset pruner").code, 0);
    EXPECT_EQ(chancy_run("task reset pruner").code, 3);
    EXPECT_EQ(chancy_run("task set tidy").code, 1);
}

TEST_F(cli, push_takes_a_stream) {
    const std::string file = std::filesystem::temp_directory_path() / (test::database() + ".jsonl");
    {
        std::ofstream out(file);
        for (int i = 0; i < 2500; ++i) out << chancy::json{{"kwargs", {{"n", i}}}} << "\n";
        out << "\n" << R"({"func": "other", "queue": "q", "priority": 3, "max_attempts": 2, "unique_key": "k", "meta": {"m": 1}, )"
            << R"("scheduled_at": "2031-02-03T04:05:06Z", "limits": [{"t": "time", "v": 9}]})" << "\r\n"
            << R"({"func": "other", "unique_key": "k", "queue": null})";  // the last line without its end
    }
    const auto done = chancy_run("push each --queue many --file " + file);
    EXPECT_EQ(done.out, "2502 jobs pushed, 1 of them had a key that was taken\n") << done.err;
    EXPECT_EQ(test::sql("SELECT count(DISTINCT kwargs) FROM chancy.jobs WHERE func = 'each' AND queue = 'many'").at(0), "2500");
    const auto j = db.get_live_job("k");
    EXPECT_EQ(j->queue, "q");
    EXPECT_EQ(j->priority, 3);
    EXPECT_EQ(j->max_attempts, 2);
    EXPECT_EQ(j->meta, (chancy::json{{"m", 1}}));
    EXPECT_EQ(j->limits, (chancy::json{{{"t", "time"}, {"v", 9}}}));
    EXPECT_EQ(chancy::to_string(j->scheduled_at), "2031-02-03T04:05:06.000000Z");

    const auto piped = test::shell("seq 3 | sed 's/.*/{\"kwargs\": {\"n\": &}}/' | " + chancy_program + " push piped --file - --json");
    ASSERT_EQ(lines(piped.out).size(), 3u) << piped.err;
    EXPECT_EQ(db.get_job(*chancy::uuid::parse(lines(piped.out)[2].at("id").get<std::string>()))->kwargs.at("n"), 3);

    for (const char* bad : {"nonsense", "[1]", R"({"kwargs": {}})", R"({"func": 1})", R"({"func": "f", "priority": 1e10})",
                            R"({"func": "f", "colour": "red"})", R"({"func": "f", "scheduled_at": "soon"})"}) {
        std::ofstream(file) << R"({"func": "before"})" << "\n" << bad << "\n" << R"({"func": "after"})" << "\n";
        const auto r = chancy_run("push --file " + file);
        EXPECT_EQ(r.code, 1) << bad;
        EXPECT_NE(r.err.find("line 2: "), std::string::npos) << r.err;
        EXPECT_NE(r.err.find("pushed before it: 1"), std::string::npos) << r.err;
    }
    EXPECT_EQ(test::sql("SELECT count(*) FROM chancy.jobs WHERE func = 'before'").at(0), "7");
    EXPECT_EQ(test::sql("SELECT count(*) FROM chancy.jobs WHERE func = 'after'").at(0), "0");
    std::ofstream(file) << R"({"func": "f", "max_attempts": 0})";
    EXPECT_NE(chancy_run("push --file " + file).err.find("lines 1 to 1: jobs[0].max_attempts"), std::string::npos);
    EXPECT_EQ(chancy_run("push --file /nonexistent").code, 1);
    EXPECT_EQ(chancy_run("push --file /dev/null").out, "0 jobs pushed\n");
    std::filesystem::remove(file);
}

TEST_F(cli, a_stream_is_pushed_when_it_pauses) {
    test::ran done;
    std::thread stream([&] { done = test::shell("{ echo '{\"func\": \"first\"}'; while ! test -e " + test::database() +
                                                ".go; do sleep 0.1; done; echo '{\"func\": \"second\"}'; } | timeout 120 " + chancy_program + " push --file -"); });
    EXPECT_TRUE(test::eventually([&] { return db.list_jobs({.func = "first"}).size() == 1; }));
    std::ofstream(test::database() + ".go").close();
    stream.join();
    std::filesystem::remove(test::database() + ".go");
    EXPECT_EQ(done.out, "2 jobs pushed\n") << done.err;
}

TEST_F(cli, events_come_as_they_happen) {
    for (const bool json : {true, false}) {
        test::ran r;
        std::atomic<bool> ended = false;
        std::thread reader([&] {
            r = test::shell("timeout 120 " + chancy_program + " events --type queue.paused --count 2" + (json ? " --json" : ""));
            ended = true;
        });
        EXPECT_TRUE(test::eventually([&] { return db.resume_queue("default") && db.pause_queue("default") && ended; }, 130s));
        reader.join();
        EXPECT_EQ(r.code, 0) << r.err;
        if (json) EXPECT_EQ(lines(r.out), (std::vector<chancy::json>(2, {{"t", "queue.paused"}, {"q", "default"}})));
        else EXPECT_NE(r.out.find(" queue.paused q=default\n"), std::string::npos) << r.out;
    }
}

TEST_F(cli, jobs_of_a_killed_worker_are_run_by_another) {
    test::sql("INSERT INTO chancy.tasks (name, every) VALUES ('recovery', '1 s')");
    const auto start = [](const std::string& arguments) {
        const pid_t worker = ::fork();
        if (worker == 0) {
            ::execl("/bin/sh", "sh", "-c", ("exec " + chancy_program + " worker --log-level error " + arguments).c_str(), nullptr);
            ::_exit(127);
        }
        return worker;
    };
    const auto end = [](pid_t worker, int signal) {
        ::kill(worker, signal);
        EXPECT_EQ(::waitpid(worker, nullptr, 0), worker);
    };
    // Its command ends when the worker is gone, and would succeed: only nobody writes that.
    const pid_t victim = start("--heartbeat-timeout 2s --exec 'a=while kill -0 $PPID 2>/dev/null; do sleep 0.1; done; echo 1'");
    std::vector<chancy::uuid> ids;
    for (int i = 0; i < 2; ++i) ids.push_back(db.push({.func = "a"}));
    EXPECT_TRUE(test::eventually([&] { return db.get_job(ids[0])->state == chancy::job_state::running; }));
    end(victim, SIGKILL);
    const pid_t survivor = start("--exec 'a=echo 2'");
    for (const auto& id : ids) {
        EXPECT_TRUE(test::eventually([&] { return db.get_job(id)->state == chancy::job_state::succeeded; }));
        EXPECT_EQ(db.get_job(id)->attempts, 1);
        EXPECT_EQ(db.get_job(id)->result, 2);
    }
    end(survivor, SIGTERM);
    test::sql("DELETE FROM chancy.tasks");
}

TEST_F(cli, push_says_what_to_do_about_a_key_that_is_taken) {
    EXPECT_EQ(chancy_run("push a --unique-key k --unique-for 1h").code, 0);
    EXPECT_EQ(chancy_run("push b --unique-key k --on-conflict replace").code, 0);
    EXPECT_EQ(db.get_live_job("k")->func, "b");
    const auto taken = chancy_run("push c --unique-key k --on-conflict reject");
    EXPECT_EQ(taken.code, 1);
    EXPECT_NE(taken.err.find("unique_key is taken: \"k\""), std::string::npos) << taken.err;
    EXPECT_EQ(chancy_run("push c --on-conflict sometimes --unique-key k").code, 2);
    EXPECT_EQ(chancy_run("push c --unique-for 1h").code, 1);
}
