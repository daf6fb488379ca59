// The same pushes and results, with the plain statements and in the order in which Chancy for Python sends them:
// what this extension is there to replace.
#pragma once

#include "plan.hpp"

#include <atomic>
#include <chrono>

namespace demo {

struct plain_outcome {
    int rounds = 0;
    long transactions = 0;
    long deadlocks = 0;
    double seconds = 0;
};

// Round after round, until a deadlock shows, or the time is up, or stop.
[[nodiscard]] plain_outcome run_plain(const std::vector<block>& plan, std::chrono::seconds at_most, const std::atomic<bool>& stop);

}  // namespace demo
