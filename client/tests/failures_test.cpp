// What a worker logs of attempts that fail.
#include "support.hpp"

using chancy::job_context;
using chancy::job_state;
using namespace std::chrono_literals;

namespace {

class failures : public test::db_test {
protected:
    // A worker whose log of failed attempts is kept.
    chancy::worker_options options() {
        return {.concurrency = 2, .poll_interval = 1h, .log = [this](chancy::log_level level, const std::string& text) {
                    const std::lock_guard lock(m_mutex);
                    if (level == chancy::log_level::info && text.find(" failed in attempt ") != std::string::npos) m_told.push_back(text);
                }};
    }
    std::vector<std::string> told() {
        const std::lock_guard lock(m_mutex);
        return m_told;
    }

private:
    std::mutex m_mutex;
    std::vector<std::string> m_told;
};

}  // namespace

TEST_F(failures, are_logged) {
    chancy::worker w(options());
    w.on("broken", [](job_context&) { throw std::runtime_error("no such host\nand more"); });
    w.on("later", [](job_context&) { throw chancy::retry_at(chancy::now() + 1h, "not yet"); });
    w.on("python", [](job_context&) { throw chancy::discard("Traceback (most recent call last):\n  File x\nValueError: " + std::string(400, 'x') + "\n"); });
    w.on("fine", [](job_context&) {});
    const test::running on(w);
    const auto run = [&](const char* func, job_state state) {
        const auto id = db.push({.func = func, .max_attempts = 2});
        EXPECT_TRUE(test::eventually([&] { return db.get_job(id)->state == state || db.get_job(id)->attempts > 1; })) << func;
        return "default: job " + id.to_string() + " (" + func + ") failed in attempt 1 of 2, ";
    };
    run("fine", job_state::succeeded);
    EXPECT_TRUE(told().empty());
    const std::string broken = run("broken", job_state::retrying);
    EXPECT_EQ(told().at(0), broken + "to be retried: no such host");
    const std::string python = run("python", job_state::failed);
    ASSERT_FALSE(told().empty());
    EXPECT_EQ(told().back(), python + "for good: ValueError: " + std::string(288, 'x') + "…");
    const std::string later = run("later", job_state::retrying);
    EXPECT_TRUE(told().back().starts_with(later + "next at 20")) << told().back();
    EXPECT_TRUE(told().back().ends_with(": not yet")) << told().back();
}

TEST_F(failures, have_a_line_that_says_what_went_wrong) {
    for (const auto& [text, line] : std::vector<std::pair<std::string, std::string>>{
             {"", ""}, {"no such host", "no such host"}, {"22P02: no number\nfunction f(), line 3\n", "22P02: no number"}, {"\n", ""},
             {"Traceback (most recent call last):\n  File x\nValueError: no @\n\n", "ValueError: no @"},
             {"exit status 1\nreading a\nno @ in b\n", "no @ in b"}, {"exit status 1\n", "exit status 1"}, {"killed by signal 9\nalmost done", "almost done"}})
        EXPECT_EQ(chancy::error_line(text), line);
}

TEST_F(failures, are_no_flood) {
    chancy::worker w(options());
    w.on("broken", [](job_context&) { throw std::runtime_error("no"); });
    const test::running on(w);
    db.push_many(std::vector<chancy::new_job>(2000, {.func = "broken"}));
    ASSERT_TRUE(test::eventually([&] { return db.list_jobs({.state = job_state::failed, .up_to = 2000}).size() == 2000; }));
    EXPECT_GE(told().size(), 10u);
    EXPECT_LT(told().size(), 1000u);
}
