// A worker whose database goes away and comes back.
#include "support.hpp"

#include <sys/mman.h>

#include <atomic>
#include <filesystem>
#include <future>

using chancy::job_context;
using chancy::job_state;
using test::eventually;
using namespace std::chrono_literals;

namespace {

class fault : public test::db_test {
protected:
    void SetUp() override {
        db_test::SetUp();
        m_options.log = [](chancy::log_level, const std::string&) {};
        m_options.conninfo = "application_name=victim";
        m_options.poll_interval = 200ms;
    }
    static int terminate() {
        return std::stoi(test::sql("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'victim'").at(0));
    }
    chancy::worker_options m_options;
};

}  // namespace

TEST_F(fault, terminated_backends_lose_no_job_and_no_result) {
    chancy::worker w(m_options);
    w.on("a", [](job_context&) { std::this_thread::sleep_for(1ms); });
    std::thread on([&] { w.run(); });
    constexpr int jobs = 3000;
    int pushed = 0, terminated = 0;
    while (pushed < jobs) {
        db.push_many(std::vector<chancy::new_job>(100, {.func = "a"}));
        pushed += 100;
        terminated += terminate();
        std::this_thread::sleep_for(20ms);
    }
    EXPECT_GT(terminated, 0);
    EXPECT_TRUE(eventually([&] { return test::sql("SELECT count(*) FROM chancy.jobs WHERE state = 'succeeded'").at(0) == std::to_string(jobs); }));
    w.stop();
    on.join();
}

TEST_F(fault, jobs_of_a_lost_reply_are_released) {
    m_options.worker_id = "fixed";
    m_options.heartbeat_interval = 24h;  // the slowest that it looks for them
    chancy::worker w(m_options);
    w.on("a", [](job_context&) {});
    std::thread on([&] { w.run(); });
    ASSERT_TRUE(eventually([&] { return db.list_workers().size() == 1; }));
    // As the server sees it after an exchange whose reply was lost: running, and the worker knows nothing. The backend commits late: when
    // the worker has connected again and looked.
    const auto id = db.push({.func = "a", .scheduled_at = chancy::now() + 1h});
    terminate();
    const std::string looked = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'victim' AND query LIKE '%running_jobs%' AND state = 'idle'";
    ASSERT_TRUE(eventually([&] { return test::sql(looked).at(0) != "0"; }));
    test::sql("UPDATE chancy.jobs SET state = 'running', taken_by = 'fixed', started_at = clock_timestamp(), scheduled_at = now()");
    EXPECT_TRUE(eventually([&] { return db.get_job(id)->state == job_state::succeeded; }));
    EXPECT_EQ(db.get_job(id)->attempts, 1);
    w.stop();
    on.join();
}

TEST_F(fault, results_wait_for_the_database) {
    chancy::worker w(m_options);
    std::promise<void> go, written;
    auto may_go = go.get_future().share();
    w.on("a", [&](job_context&) {
        may_go.wait();
        return chancy::json("kept");
    });
    std::thread on([&] { w.run(); });
    const auto id = db.push({.func = "a"});
    ASSERT_TRUE(eventually([&] { return db.get_job(id)->state == job_state::running; }));
    test::sql("ALTER DATABASE " + test::database() + " ALLOW_CONNECTIONS false", "postgres");
    test::sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '" + test::database() + "'", "postgres");
    go.set_value();
    std::this_thread::sleep_for(500ms);  // some tries in vain
    test::sql("ALTER DATABASE " + test::database() + " ALLOW_CONNECTIONS true", "postgres");
    EXPECT_TRUE(eventually([&] { return db.get_job(id)->state == job_state::succeeded; }));
    EXPECT_EQ(db.get_job(id)->result, "kept");
    w.stop();
    on.join();
}

TEST_F(fault, a_worker_cut_off_stops_its_handlers_before_it_expires) {
    m_options.heartbeat_interval = 300ms;
    m_options.heartbeat_timeout = 3s;
    chancy::worker w(m_options);
    std::atomic<int> runs = 0;
    std::promise<std::chrono::system_clock::time_point> stopped;
    w.on("a", [&](job_context& job) {
        if (++runs > 1) return;
        while (!job.stop_token().stop_requested()) std::this_thread::sleep_for(1ms);
        stopped.set_value(std::chrono::system_clock::now());
        job.check_cancelled();
    });
    std::thread on([&] { w.run(); });
    const auto id = db.push({.func = "a"});
    ASSERT_TRUE(eventually([&] { return db.get_job(id)->state == job_state::running; }));
    const auto expires = db.list_workers().at(0).expires_at;
    test::sql("ALTER DATABASE " + test::database() + " ALLOW_CONNECTIONS false", "postgres");
    test::sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '" + test::database() + "'", "postgres");
    auto when = stopped.get_future();
    const bool told = when.wait_for(60s) == std::future_status::ready;
    test::sql("ALTER DATABASE " + test::database() + " ALLOW_CONNECTIONS true", "postgres");
    ASSERT_TRUE(told);
    EXPECT_LT(when.get(), expires + 300ms);  // one more heartbeat may have come between looking and cutting
    EXPECT_TRUE(eventually([&] { return db.get_job(id)->state == job_state::succeeded; }));
    EXPECT_EQ(db.get_job(id)->attempts, 1);
    w.stop();
    on.join();
}

TEST_F(fault, what_is_deaf_in_a_worker_cut_off_ends_before_it_expires) {
    m_options.run_on = chancy::executor::processes;
    m_options.concurrency = 2;
    m_options.heartbeat_interval = 300ms;
    m_options.heartbeat_timeout = 6s;
    // The last signs of life: the handler's in memory that children share, the command's in the time of a file.
    struct life {
        std::atomic<std::chrono::system_clock::rep> last;
        std::atomic<bool> ran;
    };
    auto* handler = new (::mmap(nullptr, sizeof(life), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) life{};
    const std::string file = std::filesystem::temp_directory_path() / ("chancy_deaf_" + std::to_string(::getpid()));
    const auto lives = [&] {
        const auto command = std::chrono::file_clock::to_sys(std::filesystem::last_write_time(file));
        return std::array{std::chrono::system_clock::time_point(std::chrono::system_clock::duration(handler->last)),
                          std::chrono::time_point_cast<std::chrono::system_clock::duration>(command)};
    };
    chancy::worker w(m_options);
    w.on("handler", [handler](job_context&) {
        if (handler->ran.exchange(true)) return;
        for (;; std::this_thread::sleep_for(1ms)) handler->last = std::chrono::system_clock::now().time_since_epoch().count();
    });
    w.on("command", chancy::command("[ ! -e " + file + " ] || exit 0; trap '' TERM; while :; do echo >" + file + "; sleep 0.01; done"));
    const test::running on(w);
    const auto first = db.push({.func = "handler"}), second = db.push({.func = "command"});
    ASSERT_TRUE(eventually([&] { return handler->ran && std::filesystem::exists(file); }));
    const auto expires = db.list_workers().at(0).expires_at;
    test::sql("ALTER DATABASE " + test::database() + " ALLOW_CONNECTIONS false", "postgres");
    test::sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '" + test::database() + "'", "postgres");
    std::this_thread::sleep_until(expires + 500ms);
    for (const auto& last : lives()) EXPECT_LT(last, expires + 300ms);  // one more heartbeat may have come between looking and cutting
    test::sql("ALTER DATABASE " + test::database() + " ALLOW_CONNECTIONS true", "postgres");
    for (const auto& id : {first, second}) EXPECT_TRUE(reaches(id, job_state::succeeded));
    std::filesystem::remove(file);
    ::munmap(handler, sizeof(life));
}

TEST_F(fault, a_worker_waits_for_a_database_that_is_not_there_yet) {
    m_options.conninfo = "dbname=" + test::database() + "_later";
    chancy::worker w(m_options);
    w.on("a", [](job_context&) {});
    std::thread on([&] { w.run(); });
    std::this_thread::sleep_for(100ms);
    test::sql("CREATE DATABASE " + test::database() + "_later", "postgres");
    test::sql("CREATE EXTENSION chancy", test::database() + "_later");
    {
        chancy::client later(m_options.conninfo);
        const auto id = later.push({.func = "a"});
        EXPECT_TRUE(eventually([&] { return later.get_job(id)->state == job_state::succeeded; }));
    }
    w.stop();
    on.join();
    test::sql("DROP DATABASE " + test::database() + "_later WITH (FORCE)", "postgres");
}

TEST_F(fault, what_was_pushed_while_nobody_listened_is_found) {
    m_options.poll_interval = 1h;
    chancy::worker w(m_options);
    w.on("a", [](job_context&) {});
    const test::running on(w);
    ASSERT_TRUE(reaches(db.push({.func = "a"}), job_state::succeeded));
    test::sql("ALTER DATABASE " + test::database() + " ALLOW_CONNECTIONS false", "postgres");
    // The connection that fetches stays.
    const std::string listener = "FROM pg_stat_activity WHERE application_name = 'victim' AND query NOT LIKE '%exchange%'";
    EXPECT_EQ(test::sql("SELECT pg_terminate_backend(pid, 60000) " + listener, "postgres"), std::vector<std::string>{"t"});
    const auto id = db.push({.func = "a"});
    std::this_thread::sleep_for(200ms);
    EXPECT_EQ(db.get_job(id)->state, job_state::pending);
    test::sql("ALTER DATABASE " + test::database() + " ALLOW_CONNECTIONS true", "postgres");
    EXPECT_TRUE(reaches(id, job_state::succeeded));
}

TEST_F(fault, stop_ends_a_worker_without_a_database) {
    m_options.conninfo = "host=/nonexistent";
    chancy::worker w(m_options);
    std::thread on([&] { w.run(); });
    std::this_thread::sleep_for(50ms);
    w.stop();
    on.join();
}

TEST_F(fault, a_worker_is_ready_while_it_is_announced_and_goes_on) {
    std::atomic<bool> goes_on = false, runs = false;
    chancy::worker w(m_options);
    w.on("a", [&](job_context&) {
        runs = true;
        while (!goes_on) std::this_thread::sleep_for(1ms);
    });
    EXPECT_FALSE(w.ready());
    std::thread on([&] { w.run(); });
    EXPECT_TRUE(eventually([&] { return w.ready(); }));
    EXPECT_EQ(db.list_workers().size(), 1u);
    test::sql("ALTER DATABASE " + test::database() + " ALLOW_CONNECTIONS false", "postgres");
    test::sql("SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE application_name = 'victim'", "postgres");
    EXPECT_TRUE(eventually([&] { return !w.ready(); }));
    test::sql("ALTER DATABASE " + test::database() + " ALLOW_CONNECTIONS true", "postgres");
    EXPECT_TRUE(eventually([&] { return w.ready(); }));
    (void)db.push({.func = "a"});
    EXPECT_TRUE(eventually([&] { return runs.load(); }));
    w.stop();
    EXPECT_FALSE(w.ready());  // it drains
    goes_on = true;
    on.join();
    EXPECT_FALSE(w.ready());
}
