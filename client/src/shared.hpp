// What all threads of a worker read, and none writes.
#pragma once

#include <chancy/worker.hpp>

#include "attempt.hpp"
#include "expiry.hpp"

namespace chancy::detail {

struct shared {
    worker_options options;
    handlers known;
    std::shared_ptr<heartbeat_term> term = std::make_shared<heartbeat_term>();
    void log(log_level level, const std::string& text) const { options.log(level, text); }
};

}  // namespace chancy::detail
