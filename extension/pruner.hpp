// Pruner: see pruner.cpp; the walks: sweep.cpp; rules: rule.hpp.
#pragma once

#include "rule.hpp"
#include "jobs.hpp"

namespace chancy {

// A walk over finished jobs that deletes those that match.
struct pruning {
    table &jobs;
    const rule &r;
    TimestampTz now;
    int32 up_to;        // deletes at most so many
    int64 scan;         // looks at most at so many
    int32 deleted = 0;
    int64 looked = 0;
    bool cut = false;   // ended by scan where nobody has looked before

    bool full() const { return deleted >= up_to || looked >= scan; }
};

// What became of one job.
struct pruned {
    bool deleted;
    TimestampTz due;  // kept: from when it could match; for a live job the earliest that is possible
};

// Deletes the job in jobs.found if it is finished, matches, nobody holds it, and no unfinished workflow refers to it.
pruned prune_job(pruning &p, int64 newer_in_queue, int64 newer_in_func);

// The walk for a rule that does not count: from the oldest job to the youngest that can match. memory: what the walk before
// returned, for the same rule; data null to begin anew.
bytes sweep(pruning &p, bytes memory);

// The walk over all jobs, whatever their ids tell, from the oldest to the newest.
bytes walk_all(pruning &p, bytes memory);

// The walk for a rule that counts ("keep"): from the newest job to the oldest.
bytes count_down(pruning &p, bytes memory);

}  // namespace chancy
