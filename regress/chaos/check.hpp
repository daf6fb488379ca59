// The laws, checked against the history and the tables when all has come to rest.
#pragma once

#include "history.hpp"
#include "server.hpp"

#include <cstdint>
#include <map>
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

// A job as its row tells it.
struct row {
    std::string state, worker, run, error;  // run: the name of the one whose result stands
    std::int64_t started_at = 0;
};

// The laws that history and rows are enough for.
[[nodiscard]] findings check_history(const ledger& book, std::vector<handled> runs, const std::map<chancy::uuid, row>& rows);
// All of them, on the server's tables.
[[nodiscard]] findings check(const server& on, const ledger& book, std::vector<handled> runs);

// Lines of a server's log that tell of a bug: a deadlock, a crash that nobody asked for.
[[nodiscard]] std::vector<std::string> bad_lines(const std::string& log, bool panic_allowed);

}  // namespace chaos
