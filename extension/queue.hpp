// Deleting queues: see queue.cpp.
#pragma once

#include "change.hpp"

namespace chancy {

struct deleted_queue {
    bytes name;
    bool purge_jobs;
    bool existed;      // told
    int call;          // which buffered call it is
    int64 last_tick;   // jobs that this transaction pushed after the call stay
};

// Deletes the queues, in name order, and their jobs. 55006 when one of the jobs runs or is held.
void delete_queues(std::span<deleted_queue> queues, const policy &how);

}  // namespace chancy
