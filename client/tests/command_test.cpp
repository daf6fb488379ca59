#include "support.hpp"

#include <csignal>
#include <filesystem>
#include <fstream>

#include <sys/wait.h>
#include <unistd.h>

using namespace std::chrono_literals;

namespace {

// One run of a command, and what became of it.
struct outcome {
    std::string how;  // succeeded, failed, discarded, cancelled
    std::string error;
    std::optional<chancy::json> result;
};

outcome run(const std::string& shell, chancy::job job = {}, std::stop_token stop = {}, std::chrono::milliseconds patience = 200ms) {
    job.func = "f";
    job.kwargs = job.kwargs.is_null() ? chancy::json::object() : job.kwargs;
    chancy::job_context::deadline_type deadline;
    for (const auto& limit : job.limits)
        if (limit.at("t") == "time") deadline = std::chrono::steady_clock::now() + std::chrono::seconds(limit.at("v").get<int>());
    chancy::job_context context(job, stop, deadline);
    try {
        return {"succeeded", "", chancy::command(shell, patience)(context)};
    } catch (const chancy::discard& d) {
        return {"discarded", d.reason, {}};
    } catch (const chancy::cancelled&) {
        return {"cancelled", "", {}};
    } catch (const std::exception& e) {
        return {"failed", e.what(), {}};
    }
}

// Or a zombie that waits for whoever adopted it.
bool is_gone(pid_t process) {
    std::ifstream stat("/proc/" + std::to_string(process) + "/stat");
    std::string pid, name, state;
    return !(stat >> pid >> name >> state) || state == "Z";
}

}  // namespace

TEST(command, exit_status_is_the_outcome) {
    EXPECT_EQ(run("true").how, "succeeded");
    EXPECT_EQ(run("exit 75").how, "failed");
    const auto bad = run("echo out; echo err >&2; exit 3");
    EXPECT_EQ(bad.how, "discarded");
    EXPECT_NE(bad.error.find("exit status 3"), std::string::npos);
    EXPECT_NE(bad.error.find("out\n"), std::string::npos);
    EXPECT_NE(bad.error.find("err\n"), std::string::npos);
    EXPECT_EQ(run("no-such-program").how, "discarded");
    const auto killed = run("kill -9 $$");
    EXPECT_EQ(killed.how, "discarded");
    EXPECT_NE(killed.error.find("signal 9"), std::string::npos);
    EXPECT_NE(run("kill $$").error.find("signal 15"), std::string::npos);  // no signal is blocked in it
}

TEST(command, gets_the_job_and_gives_a_result) {
    chancy::job job;
    job.kwargs = {{"big", std::string(1'000'000, 'x')}};
    EXPECT_EQ(run("cat", job).result->at("kwargs"), job.kwargs);
    EXPECT_EQ(run("echo 42").result, 42);
    EXPECT_FALSE(run("echo no json").result);
    EXPECT_FALSE(run("true").result);
    EXPECT_FALSE(run("printf '\"'; head -c 1100000 /dev/zero | tr '\\0' x; printf '\"'").result);  // longer than 1 MiB
    EXPECT_EQ(run("exit 0", job).how, "succeeded");  // it need not read
    EXPECT_EQ(run("exec 0<&-; sleep 0.1", job).how, "succeeded");
}

TEST(command, only_the_end_of_long_output_is_kept) {
    const auto bad = run("yes line | head -c 1000000; echo THE END; exit 1");
    EXPECT_LT(bad.error.size(), 10'000u);
    EXPECT_NE(bad.error.find("THE END"), std::string::npos);
}

TEST(command, a_stop_ends_the_whole_process_group) {
    const std::string pids = std::filesystem::temp_directory_path() / ("chancy_command_" + std::to_string(::getpid()));
    // Deaf to SIGTERM, with a child in the background; or with a deaf child, which it does not wait for.
    for (const std::string& shell : {"trap '' TERM; sleep 1000 & echo $! > " + pids + "; while :; do sleep 1000; done",
                                     "(trap '' TERM; exec sh -c 'echo $$ > " + pids + "; exec sleep 1000') & sleep 1000"}) {
        std::stop_source stop;
        std::thread later([&] {
            EXPECT_TRUE(test::eventually([&] { return std::filesystem::exists(pids) && std::filesystem::file_size(pids) > 0; }));
            stop.request_stop();
        });
        EXPECT_EQ(run(shell, {}, stop.get_token()).how, "cancelled");
        later.join();
        pid_t background = 0;
        std::ifstream(pids) >> background;
        std::filesystem::remove(pids);
        ASSERT_GT(background, 0);
        EXPECT_TRUE(test::eventually([&] { return is_gone(background); }));
    }
}

TEST(command, ends_with_a_worker_that_is_killed) {
    const std::string pids = std::filesystem::temp_directory_path() / ("chancy_command_" + std::to_string(::getpid()));
    const pid_t worker = ::fork();
    if (worker == 0) {
        (void)run("echo $$ > " + pids + "; while :; do sleep 0.1; done");
        ::_exit(0);
    }
    pid_t shell = 0;
    EXPECT_TRUE(test::eventually([&] { return static_cast<bool>(std::ifstream(pids) >> shell); }));
    ::kill(worker, SIGKILL);
    ::waitpid(worker, nullptr, 0);
    std::filesystem::remove(pids);
    ASSERT_GT(shell, 0);
    const bool gone = test::eventually([&] { return is_gone(shell); });
    EXPECT_TRUE(gone);
    if (!gone) ::kill(shell, SIGKILL);
}

TEST(command, a_stop_leaves_time_to_clean_up) {
    const std::string file = std::filesystem::temp_directory_path() / ("chancy_command_end_" + std::to_string(::getpid()));
    std::stop_source stop;
    std::thread later([&] {
        EXPECT_TRUE(test::eventually([&] { return std::filesystem::exists(file); }));
        stop.request_stop();
    });
    EXPECT_EQ(run("trap 'rm " + file + "; exit 1' TERM; touch " + file + "; while :; do sleep 0.1; done", {}, stop.get_token(), 1h).how, "cancelled");
    later.join();
    EXPECT_FALSE(std::filesystem::remove(file));
}

TEST(command, a_time_limit_fails_the_attempt) {
    chancy::job job;
    job.limits = {{{"t", "time"}, {"v", 1}}};
    const auto slow = run("sleep 1000", job);
    EXPECT_EQ(slow.how, "failed");
    EXPECT_NE(slow.error.find("time limit"), std::string::npos);
    EXPECT_EQ(run("true", job).how, "succeeded");
}

TEST(command, a_memory_limit_holds) {
    chancy::job job;
    job.limits = {{{"t", "memory"}, {"v", 100'000'000}}};
    EXPECT_EQ(run("head -c 1000000 /dev/zero | tail -c 1", job).how, "succeeded");
    EXPECT_EQ(run("head -c 200000000 /dev/zero | tail -c 200000000 >/dev/null || exit 3", job).how, "discarded");
}

TEST(command, leaks_no_descriptor) {
    const auto count = [] { return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}); };
    (void)run("true");
    const auto before = count();
    for (int i = 0; i < 5; ++i) (void)run("exit 1");
    EXPECT_EQ(count(), before);
    // and gets none of ours: as many as any shell started here has, without the one for progress
    EXPECT_EQ(std::to_string(run("exec 3>&-; ls /proc/self/fd | wc -l").result->get<int>()) + "\n", test::shell("exec 3>&-; ls /proc/self/fd | wc -l").out);
}
