// Points in time as PostgreSQL keeps them: microseconds, UTC.
//
//     db.push({.func = "report", .scheduled_at = chancy::now() + std::chrono::hours(1)});
//
// PostgreSQL's infinity and -infinity are timestamp::max() and timestamp::min().
// Threads: plain values and functions.
#pragma once

#include <chrono>
#include <string>

namespace chancy {

using timestamp = std::chrono::sys_time<std::chrono::microseconds>;

[[nodiscard]] inline timestamp now() {
    return std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now());
}

// "2026-01-31T12:00:00.000000Z": exact, and read by PostgreSQL whatever its DateStyle and TimeZone.
[[nodiscard]] std::string to_string(timestamp when);

}  // namespace chancy
