// A handler that takes several jobs of its func at once, and answers for each.
//
//     w.on_batch("mail.send", {.up_to = 100, .wait = 200ms}, [](chancy::batch& jobs) {
//         const auto replies = send(jobs);                                  // one request for all
//         for (std::size_t i = 0; i < jobs.size(); ++i)
//             if (replies[i].ok) jobs[i].succeed({{"number", replies[i].number}});
//             else jobs[i].fail(replies[i].text);                           // this job's failure alone
//         for (auto& job : jobs) job.run([&] { return store(job.kwargs()); });  // or: what it returns or throws
//     });
//
// A job that the handler does not answer for has failed, with an error that says so. If the handler throws, all of them have failed
// (or snoozed, …) as if each had thrown it, answered ones too: what the handler did may be undone.
// Threads: the batch belongs to the handler's thread; its jobs may be handed to other threads, one to each, until the handler returns.
#pragma once

#include <chancy/handler.hpp>

#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace chancy {

struct batch_options {
    int up_to = 100;                    // jobs at once: 1 to 1000
    std::chrono::milliseconds wait{0};  // so long the first one waits for others, while there are fewer: 0 to 10 s
};

class batch_job : public job_context {
public:
    using job_context::job_context;

    // The last answer counts.
    void succeed(std::optional<json> result = {}) { m_thrown = nullptr, m_answer = std::move(result); }
    void fail(std::string text) { end(std::runtime_error(std::move(text))); }
    // As if a handler of one job had thrown it: snooze, discard, retry_at, or any exception.
    template <class E>
    void end(E thrown) { m_thrown = std::make_exception_ptr(std::move(thrown)); }
    // As if it were the handler of this one job.
    template <class F>
    void run(F body) {
        try {
            if constexpr (std::is_void_v<std::invoke_result_t<F&>>) body(), succeed();
            else succeed(body());
        } catch (...) {
            m_thrown = std::current_exception();
        }
    }

    // What was answered: returned, or thrown.
    [[nodiscard]] std::optional<json> answer() const {
        if (m_thrown) std::rethrow_exception(m_thrown);
        if (!m_answer) throw std::runtime_error("the batch handler did not answer for this job");
        return *m_answer;
    }

private:
    std::exception_ptr m_thrown;
    std::optional<std::optional<json>> m_answer;
};

class batch {
public:
    explicit batch(std::vector<batch_job> jobs) : m_jobs(std::move(jobs)) {}

    // In the order in which they were fetched; at least one.
    [[nodiscard]] std::size_t size() const noexcept { return m_jobs.size(); }
    [[nodiscard]] batch_job& operator[](std::size_t i) { return m_jobs[i]; }
    [[nodiscard]] auto begin() noexcept { return m_jobs.begin(); }
    [[nodiscard]] auto end() noexcept { return m_jobs.end(); }

    // Leaves, if all of its jobs are to stop. (Each job's own stop_token and check_cancelled tell of that job.)
    void check_cancelled() const {
        for (const batch_job& job : m_jobs)
            if (!job.stop_token().stop_requested()) return;
        throw cancelled{};
    }

private:
    std::vector<batch_job> m_jobs;
};

using batch_handler = std::function<void(batch&)>;

}  // namespace chancy
