// A shell command that takes a batch of jobs.
#include "support.hpp"

#include <filesystem>
#include <fstream>

using chancy::job_state;
using test::eventually;
using test::running;
using namespace std::chrono_literals;

namespace {

class command_batch : public test::db_test {
protected:
    void SetUp() override {
        db_test::SetUp();
        std::filesystem::remove(m_file);
    }
    void TearDown() override { std::filesystem::remove(m_file); }
    static chancy::worker_options options(chancy::executor where) {
        return {.concurrency = 1, .run_on = where, .poll_interval = 1h, .log = [](chancy::log_level, const std::string&) {}};
    }
    std::vector<chancy::uuid> push(int count, chancy::new_job like = {.func = "b"}) {
        std::vector<chancy::uuid> ids;
        for (int n = 0; n < count; ++n) {
            like.kwargs = {{"n", n}};
            ids.push_back(db.push(like));
        }
        return ids;
    }
    std::string error(const chancy::uuid& id) { return db.get_job(id)->errors.back().at("traceback"); }

    const std::string m_file = std::filesystem::temp_directory_path() / ("chancy_command_batch_" + std::to_string(::getpid()));
};

constexpr const char* answers = R"(echo "to people: {"; echo '{"id": "nobody"}'; while read -r job; do
    id=${job#*'"id":"'}; id=${id%%'"'*}
    case $job in
        *'"n":0'*) printf '{"id": "%s", "error": "zero"}\n' $id ;;
        *'"n":1'*) ;;
        *'"n":2'*) printf '{"id": "%s", "result": [2]}\n' $id ;;
        *'"n":3'*) printf '{"id": "%s", "discard": "three"}\n' $id ;;
    esac
done; exit $STATUS)";

}  // namespace

TEST_F(command_batch, a_line_of_its_output_answers_for_a_job) {
    for (const auto where : {chancy::executor::threads, chancy::executor::processes}) {
        const auto ids = push(4, {.func = "b", .max_attempts = 2});
        chancy::worker w(options(where));
        w.on_batch("b", {.up_to = 4}, chancy::command_batch(std::string("STATUS=0; ") + answers));
        const running on(w);
        ASSERT_TRUE(reaches(ids[3], job_state::failed));
        const auto jobs = db.get_jobs(ids);
        EXPECT_EQ(jobs[0].state, job_state::retrying);
        EXPECT_EQ(error(ids[0]), "zero");
        EXPECT_TRUE(jobs[1].state == job_state::succeeded && !jobs[1].result);
        EXPECT_EQ(jobs[2].result, chancy::json::array({2}));
        EXPECT_EQ(error(ids[3]), "three");
    }
}

TEST_F(command_batch, its_exit_status_is_every_jobs) {
    chancy::worker w(options(chancy::executor::threads));
    w.on_batch("b", {.up_to = 4}, chancy::command_batch(std::string("STATUS=75; ") + answers));
    const running on(w);
    const auto ids = push(4);
    for (const auto& id : ids) {
        ASSERT_TRUE(reaches(id, job_state::failed));
        EXPECT_EQ(error(id).substr(0, 15), "exit status 75\n");
    }
}

TEST_F(command_batch, answers_that_may_be_missing_are_no_success) {
    chancy::worker w(options(chancy::executor::threads));
    w.on_batch("b", {.up_to = 4}, chancy::command_batch("head -c 17000000 /dev/zero | tr '\\0' '\\n'"));
    const running on(w);
    const auto id = db.push({.func = "b"});
    ASSERT_TRUE(reaches(id, job_state::failed));
    EXPECT_EQ(error(id), "its output is longer than 16 MiB: answers may be missing");
}

TEST_F(command_batch, a_time_limit_ends_it_and_gives_the_others_back) {
    for (const auto where : {chancy::executor::threads, chancy::executor::processes}) {
        std::filesystem::remove(m_file);
        const auto id = db.push({.func = "b"});
        const auto limited = db.push({.func = "b", .limits = {{{"t", "time"}, {"v", 1}}}});
        chancy::worker w(options(where));
        w.on_batch("b", {.up_to = 2}, chancy::command_batch("[ ! -e " + m_file + " ] || exit 0; touch " + m_file + "; sleep 1000"));
        const running on(w);
        EXPECT_TRUE(reaches(limited, job_state::failed));
        EXPECT_EQ(error(limited), "time limit of 1 s exceeded");
        EXPECT_TRUE(reaches(id, job_state::succeeded));
        EXPECT_EQ(db.get_job(id)->attempts, 1);
    }
}

TEST_F(command_batch, the_least_memory_limit_holds) {
    chancy::worker w(options(chancy::executor::threads));
    w.on_batch("b", {.up_to = 2}, chancy::command_batch("head -c 200000000 /dev/zero | tail -c 200000000 >/dev/null || exit 3"));
    std::vector<chancy::new_job> jobs;
    for (const int limit : {100'000'000, 1'000'000'000}) jobs.push_back({.func = "b", .limits = {{{"t", "memory"}, {"v", limit}}}});
    const auto pushed = db.push_many(jobs);
    const running on(w);
    for (const auto& p : pushed) {
        ASSERT_TRUE(reaches(p.id, job_state::failed));
        EXPECT_EQ(error(p.id).substr(0, 14), "exit status 3\n");
    }
}

TEST_F(command_batch, a_cancel_of_one_job_does_not_end_the_others) {
    const auto ids = push(2);
    chancy::worker w(options(chancy::executor::threads));
    w.on_batch("b", {.up_to = 2}, chancy::command_batch("echo run >>" + m_file + ".runs; until [ -e " + m_file + " ]; do sleep 0.01; done"));
    const running on(w);
    ASSERT_TRUE(reaches(ids[1], job_state::running));
    EXPECT_TRUE(db.cancel_job(ids[0]));
    std::this_thread::sleep_for(200ms);  // time to do it wrong
    std::ofstream(m_file) << "go";
    EXPECT_TRUE(reaches(ids[1], job_state::succeeded));
    EXPECT_EQ(db.get_job(ids[1])->attempts, 1);
    EXPECT_EQ(db.get_job(ids[0])->state, job_state::failed);
    EXPECT_EQ(std::filesystem::file_size(m_file + ".runs"), 4u);  // it was not given back, and begun anew
    std::filesystem::remove(m_file + ".runs");
}

TEST_F(command_batch, has_an_option) {
    const auto ids = push(3);
    const std::string worker = std::string(CHANCY_PROGRAM) + " worker --exec-batch 'b=wc -l >>" + m_file + "' --batch-size 2 --concurrency 1";
    const auto run = test::shell("timeout --preserve-status -s TERM 60 sh -c '" CHANCY_PROGRAM " worker --batch-size 0 --exec-batch b=true'");
    EXPECT_NE(run.code, 0);
    EXPECT_NE(test::shell(std::string(CHANCY_PROGRAM) + " worker --exec-batch b").err.find("--exec-batch wants NAME=COMMAND"), std::string::npos);
    EXPECT_EQ(test::shell(worker + " & for id in " + ids[0].to_string() + ' ' + ids[1].to_string() + ' ' + ids[2].to_string() + "; do " CHANCY_PROGRAM
                          " job wait $id >&2; done; kill $!; wait $!").code, 0);
    for (const auto& id : ids) EXPECT_EQ(db.get_job(id)->state, job_state::succeeded);
    std::ifstream lines(m_file);
    int first = 0, second = 0;
    lines >> first >> second;
    EXPECT_EQ(first, 2);
    EXPECT_EQ(second, 1);
}
