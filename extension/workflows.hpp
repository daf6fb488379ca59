// Maintenance of workflows: see workflows.cpp.
#pragma once

#include "workflow.hpp"

namespace chancy {

// Sees to up to up_to noted ends of steps; unseen: first notes ends that nobody noted, and what Python pushed.
advanced advance_workflows(table &jobs, int up_to, bool unseen);

// Deletes up to up_to workflows that finished before, not their jobs.
int prune_workflows(TimestampTz before, int32 up_to);

}  // namespace chancy
