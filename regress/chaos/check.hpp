// The laws, checked against the history and the tables when all has come to rest.
#pragma once

#include "history.hpp"
#include "server.hpp"

#include <string>
#include <vector>

namespace chaos {

struct findings {
    std::vector<std::string> violations;
    std::size_t jobs = 0, succeeded = 0, failed = 0;
    std::size_t runs = 0, cut_short = 0;      // handlers begun; of those, without an end
    std::size_t overlapped = 0;               // begun anew while a worker that slept had them
    std::size_t recovered = 0;                // runs that were begun anew after their worker was gone
};

// Whether all jobs have ended.
[[nodiscard]] bool at_rest(const server& on);

[[nodiscard]] findings check(const server& on, const ledger& book, std::vector<handled> runs);

// Lines of a server's log that tell of a bug: a deadlock, a crash that nobody asked for.
[[nodiscard]] std::vector<std::string> bad_lines(const std::string& log, bool panic_allowed);

}  // namespace chaos
