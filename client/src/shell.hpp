// A shell command as a child process: its input, its outputs, how it is stopped, and how it ended.
#pragma once

#include <chancy/trace.hpp>

#include "attempt.hpp"
#include "descriptor.hpp"

#include <chrono>
#include <functional>
#include <optional>
#include <string>

namespace chancy::detail {

struct shell_run {
    std::string command, input;
    std::optional<std::int64_t> memory;  // bytes, RLIMIT_AS
    std::optional<trace_context> trace{};  // TRACEPARENT and TRACESTATE
    clock::time_point deadline = clock::time_point::max();
    std::chrono::milliseconds patience;  // between SIGTERM and SIGKILL
    int bell;                            // an eventfd: when it is rung, must_stop is asked
    std::function<bool()> must_stop;
    // What has come on descriptor 3 and was not taken out yet; the end of both outputs, to add to; nothing more comes.
    std::function<void(std::string& come, std::string& tail, bool at_end)> on_reports{};
};

struct shell_end {
    int status = 0;
    std::string output;  // standard output; the begin of it, unless it is whole: at most 16 MiB
    bool whole = false;
    std::string tail;    // the last 8 KiB of both outputs
    bool stopped = false, timed_out = false;
};

// Runs it to its end. Throws if no shell could be started.
[[nodiscard]] shell_end run_shell(const shell_run& what);

// Nothing for 0; what a handler throws, for any other status.
void throw_what_status_says(const shell_end& end);

}  // namespace chancy::detail
