// What runs around every job.
#include "support.hpp"

#include <mutex>

using chancy::attempt_end;
using chancy::job_context;
using chancy::job_state;
using test::eventually;
using namespace std::chrono_literals;

namespace {

// Writes down what it is told, under its name.
class recorder : public chancy::middleware {
public:
    explicit recorder(std::string name, std::vector<std::string>& told, std::mutex& mutex) : m_name(std::move(name)), m_told(told), m_mutex(mutex) {}
    void before(job_context& job) override {
        tell("before " + job.job().func);
        if (job.job().func == "refused by " + m_name) throw chancy::discard("not today");
    }
    void on_error(job_context& job, const attempt_end& end) override {
        tell("error " + job.job().func + ": " + *end.result.error);
        if (job.job().func == "fails") throw std::runtime_error("the reporter is broken too");
    }
    void after(job_context& job, const attempt_end& end) override {
        EXPECT_GE(end.took, 0us);
        tell("after " + job.job().func + ": " + std::string(to_string(end.result.how)));
    }

private:
    void tell(const std::string& what) {
        const std::lock_guard lock(m_mutex);
        m_told.push_back(m_name + ' ' + what);
    }
    std::string m_name;
    std::vector<std::string>& m_told;
    std::mutex& m_mutex;
};

class middleware : public test::db_test {};

}  // namespace

TEST_F(middleware, is_called_around_jobs_on_threads_and_in_children) {
    for (const auto where : {chancy::executor::threads, chancy::executor::processes}) {
        std::mutex mutex;
        std::vector<std::string> told;
        std::vector<std::string> complaints;
        chancy::worker w({.concurrency = 1, .run_on = where, .poll_interval = 1h, .log = [&](chancy::log_level level, const std::string& text) {
                              const std::lock_guard lock(mutex);
                              if (level == chancy::log_level::error) complaints.push_back(text);
                          }});
        w.use(std::make_shared<recorder>("A", told, mutex)).use(std::make_shared<recorder>("B", told, mutex));
        w.on("fine", [](job_context&) { return 1; });
        w.on("fails", [](job_context&) { throw std::runtime_error("broken"); });
        w.on("snoozes", [](job_context&) { throw chancy::snooze(1h); });
        w.on("refused by A", [](job_context&) { std::abort(); });
        std::thread on([&] { w.run(); });
        const auto run = [&](const char* func) {
            told.clear();
            const auto id = db.push({.func = func});
            EXPECT_TRUE(eventually([&] {
                const auto j = db.get_job(id);
                return j->finished() || j->scheduled_at > chancy::now() + 1min;
            }));
            const std::lock_guard lock(mutex);
            return told;
        };
        using list = std::vector<std::string>;
        EXPECT_EQ(run("fine"), (list{"A before fine", "B before fine", "B after fine: succeeded", "A after fine: succeeded"}));
        EXPECT_EQ(run("fails"), (list{"A before fails", "B before fails", "B error fails: broken", "A error fails: broken", "B after fails: failed", "A after fails: failed"}));
        EXPECT_EQ(run("snoozes"), (list{"A before snoozes", "B before snoozes", "B after snoozes: snoozed", "A after snoozes: snoozed"}));
        EXPECT_EQ(run("refused by A"), (list{"A before refused by A", "A error refused by A: not today", "A after refused by A: discarded"}));
        w.stop();
        on.join();
        EXPECT_EQ(complaints, (list(2, "default: middleware, on_error: the reporter is broken too")));
    }
}
