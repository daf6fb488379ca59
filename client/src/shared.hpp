// What all threads of a worker read, and none writes.
#pragma once

#include <chancy/worker.hpp>

#include "attempt.hpp"

namespace chancy::detail {

struct shared {
    worker_options options;
    handlers known;
    void log(log_level level, const std::string& text) const { options.log(level, text); }
};

}  // namespace chancy::detail
