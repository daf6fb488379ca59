// What a worker's log says of attempts that failed: a line for each, as long as they are few.
#pragma once

#include <chancy/job.hpp>
#include <chancy/update.hpp>

#include <chrono>
#include <mutex>
#include <optional>
#include <string>

namespace chancy::detail {

// Any thread. Ten lines at once, and then one a second: in a flood the next line that is told counts those that were not. So a func
// that always fails fills no disk, and what is told stays worth reading; the jobs have their errors in any case.
class failure_log {
public:
    using clock = std::chrono::steady_clock;
    // Nothing: it is not to be told.
    [[nodiscard]] std::optional<std::string> line(const job& of, const update& how, clock::time_point now = clock::now());

private:
    static constexpr double at_once = 10, a_second = 1;

    std::mutex m_mutex;
    double m_left = at_once;
    clock::time_point m_last{};
    std::size_t m_untold = 0;
};

}  // namespace chancy::detail
