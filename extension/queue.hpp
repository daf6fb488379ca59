// Deleting queues: see queue.cpp.
#pragma once

#include "change.hpp"

namespace chancy {

struct deleted_queue {
    bytes name;
    bool purge_jobs;
    bool existed;  // told
};

// Deletes the queues, which stand in name order, and their jobs. 55006 when one of the jobs runs or is held.
void delete_queues(std::span<deleted_queue> queues, const policy &how);

}  // namespace chancy
