// One attempt at a job: the job, its stop, and how it ends.
#pragma once

#include <chancy/handler.hpp>
#include <chancy/update.hpp>

#include <chrono>
#include <map>
#include <stop_token>
#include <string>
#include <thread>

namespace chancy::detail {

using clock = std::chrono::steady_clock;
using handlers = std::map<std::string, handler, std::less<>>;

struct attempt {
    chancy::job job;
    clock::time_point fetched_at;
    std::stop_source stop{};
    // Guarded by the flow's mutex. The result counts no more: the job was cancelled, or is released already.
    bool dropped = false;
    std::thread::id runner{};
};

struct ended {
    update what;
    std::size_t bytes = 0;  // of its result and error
};

// Runs the handler, and tells its outcome; never throws.
[[nodiscard]] ended run_handler(const handlers& known, const attempt& of);

// Of a job that has not been started, or has been asked to stop.
[[nodiscard]] update release(const job& what);

}  // namespace chancy::detail
