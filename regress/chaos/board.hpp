// What all processes of a run share while they live: a page of memory in a file.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

namespace chaos {

constexpr int most_workers = 64;

struct board {
    std::atomic<std::int64_t> running[most_workers];  // handlers in each worker
    std::atomic<std::int64_t> ended[most_workers];    // handlers that came to their end
    std::atomic<std::int64_t> clock_shift;            // seconds by which the workers' wall clock is wrong
    std::atomic<std::int64_t> clock_looks;            // how often it was asked, wrong as it is

    [[nodiscard]] std::int64_t finished() const {
        std::int64_t sum = 0;
        for (const auto& n : ended) sum += n;
        return sum;
    }
    [[nodiscard]] std::int64_t in_flight() const {
        std::int64_t sum = 0;
        for (const auto& r : running) sum += r;
        return sum;
    }
};

// Made by the first who asks; never unmapped.
board& open_board(const std::string& path);

}  // namespace chaos
