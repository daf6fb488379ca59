// One attempt at a job: the job, its stop, and how it ends. A call of a handler is for one attempt, or for those of a batch.
#pragma once

#include <chancy/batch.hpp>
#include <chancy/middleware.hpp>
#include <chancy/update.hpp>

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace chancy::detail {

using clock = std::chrono::steady_clock;

struct known_handler {
    handler one{};         // or
    batch_handler many{};
    std::size_t up_to = 1;
    std::chrono::milliseconds wait{0};
};
using handlers = std::map<std::string, known_handler, std::less<>>;

struct attempt {
    chancy::job job;
    clock::time_point fetched_at;
    std::chrono::milliseconds gathers{0};         // so long it may wait here for others of its batch
    std::stop_source stop{};
    std::optional<clock::time_point> deadline{};  // from its start on
    std::atomic<bool> timed_out = false;          // asked to stop because of it
    // Guarded by the flow's mutex. The result counts no more: the job was cancelled, or is released already.
    bool dropped = false;
    std::optional<std::optional<json>> checkpoint{};  // as far as it was asked for or saved
    std::thread::id runner{};
    reports* to = nullptr;  // while it runs
};

// An attempt as the server names it: the job's id and started_at.
using attempt_name = std::pair<uuid, timestamp>;

using attempts = std::span<attempt* const>;

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

// The handler of these attempts' func, called through within, and how each of them ends. Without a handler they have failed.
using call_within = std::function<void(const std::function<void()>&)>;
[[nodiscard]] std::vector<ended> run_handler(const handlers& known, attempts of, const call_within& within);

// Of a job that has not been started, or has been asked to stop.
[[nodiscard]] update release(const job& what);

// The middleware around a run: run is given the attempts that none of them ends before.
using middlewares = std::vector<std::shared_ptr<middleware>>;
[[nodiscard]] std::vector<ended> run_within(const middlewares& around, attempts of, const std::function<std::vector<ended>(attempts)>& run,
                                            const std::function<void(const std::string&)>& complain);

}  // namespace chancy::detail
