// One attempt at a job: the job, its stop, and how it ends.
#pragma once

#include <chancy/handler.hpp>
#include <chancy/middleware.hpp>
#include <chancy/update.hpp>

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

namespace chancy::detail {

using clock = std::chrono::steady_clock;
using handlers = std::map<std::string, handler, std::less<>>;

struct attempt {
    chancy::job job;
    clock::time_point fetched_at;
    std::stop_source stop{};
    std::optional<clock::time_point> deadline{};  // from its start on
    std::atomic<bool> timed_out = false;          // asked to stop because of it
    // Guarded by the flow's mutex. The result counts no more: the job was cancelled, or is released already.
    bool dropped = false;
    std::optional<std::optional<json>> checkpoint{};  // as far as it was asked for or saved
    std::thread::id runner{};
};

struct ended {
    update what;
    std::size_t bytes = 0;  // of its result and error
};

// The smallest of the job's limits of this kind: "time", in seconds, or "memory", in bytes.
[[nodiscard]] std::optional<std::int64_t> limit_of(const job& of, const char* kind);
[[nodiscard]] std::string time_limit_exceeded(const job& of);
// Text that any PostgreSQL in UTF-8 takes: no NUL, no broken UTF-8, and not endless (the end tells most).
[[nodiscard]] std::string storable(std::string text);

// Runs something that may throw what a handler may throw, and tells the outcome; never throws.
[[nodiscard]] ended conclude(const attempt& of, const std::function<std::optional<json>()>& body);

// The job's handler, called; without one that is a failure.
[[nodiscard]] std::optional<json> call_handler(const handlers& known, const attempt& of, reports* to);
[[nodiscard]] ended run_handler(const handlers& known, const attempt& of, reports* to);

// Of a job that has not been started, or has been asked to stop.
[[nodiscard]] update release(const job& what);

// The middleware around a run: run is called unless one of them ends the attempt before.
using middlewares = std::vector<std::shared_ptr<middleware>>;
[[nodiscard]] ended run_within(const middlewares& around, const attempt& of, reports* to, const std::function<ended()>& run,
                               const std::function<void(const std::string&)>& complain);

}  // namespace chancy::detail
