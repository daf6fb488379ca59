// What all threads of a worker read, and none writes once it runs.
#pragma once

#include <chancy/worker.hpp>

#include "attempt.hpp"
#include "expiry.hpp"
#include "failures.hpp"

#include <atomic>

namespace chancy::detail {

class nursery;
class watchdog;

struct shared {
    worker_options options;
    handlers known;
    std::shared_ptr<heartbeat_term> term = std::make_shared<heartbeat_term>();
    std::shared_ptr<std::atomic<bool>> announced = std::make_shared<std::atomic<bool>>(false);  // the heartbeat is good, and its connection
    middlewares around;
    std::vector<std::string> tags;      // the worker's: the usual ones and its own
    std::shared_ptr<nursery> children;  // forks them; none if no queue may need one
    std::shared_ptr<watchdog> dog;      // of time limits on threads
    std::function<void(const std::string&)> give_up;  // the worker cannot go on: it stops, and run() says why
    std::shared_ptr<failure_log> failures = std::make_shared<failure_log>();
    void log(log_level level, const std::string& text) const { options.log(level, text); }
};

}  // namespace chancy::detail
