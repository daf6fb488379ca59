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

#include <chrono>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>

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

class job_context {
public:
    job_context(const chancy::job& of, std::stop_token stop) : m_job(of), m_stop(std::move(stop)) {}

    [[nodiscard]] const chancy::job& job() const noexcept { return m_job; }
    [[nodiscard]] const json& kwargs() const noexcept { return m_job.kwargs; }
    // Asked to stop when the job is cancelled, when the grace of a stopping worker ends, and when the worker has
    // been cut off from the server for so long that others may soon run the job.
    [[nodiscard]] const std::stop_token& stop_token() const noexcept { return m_stop; }
    void check_cancelled() const {
        if (m_stop.stop_requested()) throw cancelled{};
    }

private:
    const chancy::job& m_job;
    std::stop_token m_stop;
};

using handler = std::function<std::optional<json>(job_context&)>;

}  // namespace chancy
