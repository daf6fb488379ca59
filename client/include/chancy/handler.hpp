// What a handler gets, and what it may throw.
//
//     w.on("page.fetch", [](chancy::job_context& job) {
//         for (auto& url : job.kwargs().at("urls")) {
//             job.check_cancelled();                          // leaves, if the job was cancelled or the worker stops
//             if (busy(url)) throw chancy::snooze(5min);      // later, no attempt used
//             if (gone(url)) throw chancy::discard("gone");   // failed for good
//         }
//     });
//
// Threads: a job_context belongs to the handler's thread; its stop_token may be handed on.
#pragma once

#include <chancy/job.hpp>
#include <chancy/progress.hpp>
#include <chancy/workflow.hpp>

#include <chrono>
#include <functional>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <vector>

namespace chancy {

// Run the job again at this time; no attempt is used. A span is counted by the server's clock, here and in retry_at.
struct snooze {
    explicit snooze(timestamp at) : when(at) {}
    explicit snooze(std::chrono::milliseconds span) : when(now() + span), in(span) {}
    timestamp when;
    std::optional<std::chrono::milliseconds> in{};
};

// The job has failed for good, whatever attempts remain.
struct discard {
    explicit discard(std::string text) : reason(std::move(text)) {}
    std::string reason;
};

// The attempt has failed; if attempts remain, the next one is at this time.
struct retry_at {
    retry_at(timestamp at, std::string text) : when(at), reason(std::move(text)) {}
    retry_at(std::chrono::milliseconds span, std::string text) : when(now() + span), in(span), reason(std::move(text)) {}
    timestamp when;
    std::optional<std::chrono::milliseconds> in{};
    std::string reason;
};

// Thrown by check_cancelled(). A handler that was asked to stop and then throws, whatever it throws, has not
// failed: its job is released (or was cancelled, and is failed already).
struct cancelled {};

namespace detail {
// Where a handler's reports go, and its questions.
class reports {
public:
    virtual ~reports() = default;
    virtual void report(progress told) = 0;
    virtual std::optional<json> checkpoint() = 0;
    virtual std::vector<step_result> step_results() = 0;
};
}  // namespace detail

class job_context {
public:
    using deadline_type = std::optional<std::chrono::steady_clock::time_point>;
    job_context(const chancy::job& of, std::stop_token stop, deadline_type deadline = {}, detail::reports* to = nullptr)
        : m_job(of), m_stop(std::move(stop)), m_deadline(deadline), m_reports(to) {}

    [[nodiscard]] const chancy::job& job() const noexcept { return m_job; }
    [[nodiscard]] const json& kwargs() const noexcept { return m_job.kwargs; }
    // One of the kwargs, as T; std::invalid_argument names it if it is missing or of another type: the attempt fails.
    template <class T>
    [[nodiscard]] T get(const std::string& name) const {
        const auto found = m_job.kwargs.find(name);
        if (found == m_job.kwargs.end()) throw std::invalid_argument("kwargs." + name + " is missing");
        return convert<T>(name, *found);
    }
    // The same; otherwise if it is missing or null.
    template <class T>
    [[nodiscard]] T get(const std::string& name, T otherwise) const {
        const auto found = m_job.kwargs.find(name);
        return found == m_job.kwargs.end() || found->is_null() ? std::move(otherwise) : convert<T>(name, *found);
    }

    // From 0, as in the job's errors.
    [[nodiscard]] int attempt() const noexcept { return m_job.attempts; }
    // No other one follows if this one fails.
    [[nodiscard]] bool last_attempt() const noexcept { return m_job.attempts + 1 >= m_job.max_attempts; }
    // When the time limit in the job's limits is over: the handler is asked to stop then, and the attempt has failed if it does.
    [[nodiscard]] deadline_type deadline() const noexcept { return m_deadline; }

    // Asked to stop when the job is cancelled, at its deadline, when the grace of a stopping worker ends, and when the
    // worker has been cut off from the server for so long that others may soon run the job.
    [[nodiscard]] const std::stop_token& stop_token() const noexcept { return m_stop; }
    void check_cancelled() const {
        if (m_stop.stop_requested()) throw cancelled{};
    }

    // How far the job is: seen by get_progress, chancy job show, wait_for_job. Written now and then, the last one told.
    void progress(double percent, std::string message = {}) const {
        report({.percent = percent, .message = std::move(message), .checkpoint = {}});
    }
    // What this or a later attempt needs to go on from here. Written soon, and in any case before the attempt's result.
    void save_checkpoint(json state) const { report({.percent = {}, .message = {}, .checkpoint = std::optional<json>(std::in_place, std::move(state))}); }
    // Both, or only a part of it.
    void report(chancy::progress told) const {
        if (m_reports) m_reports->report(std::move(told));
    }
    // The last one saved, by this attempt or an earlier one. The first call asks the server, and waits
    // as long as that is away.
    [[nodiscard]] std::optional<json> checkpoint() const { return m_reports ? m_reports->checkpoint() : std::nullopt; }

    // How the steps ended that this job's step of a workflow waited for, and what they returned, in the order of its after. Each call
    // asks the server, and waits as long as that is away. Of a job of no workflow: none.
    [[nodiscard]] std::vector<step_result> step_results() const { return m_reports ? m_reports->step_results() : std::vector<step_result>{}; }

private:
    template <class T>
    static T convert(const std::string& name, const json& value) {
        try {
            return value.get<T>();
        } catch (const json::exception&) {
            throw std::invalid_argument("kwargs." + name + " is of another type: " + value.type_name());
        }
    }

    const chancy::job& m_job;
    std::stop_token m_stop;
    deadline_type m_deadline;
    detail::reports* m_reports;
};

using handler = std::function<std::optional<json>(job_context&)>;

}  // namespace chancy
