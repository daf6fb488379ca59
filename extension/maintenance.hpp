// Maintenance: see maintenance.cpp; tasks: task.hpp.
#pragma once

#include "table.hpp"
#include "task.hpp"

namespace chancy {

// Since when the unlogged tables have not been emptied, as far as maintenance has seen: the first call
// after a crash starts the clock.
TimestampTz up_since();

struct ran {
    bool any;           // false: not due, or somebody else runs it
    const char *did;    // JSON
    const char *error;  // null when it went well
    bool news;          // another error than the run before had
};

// Runs the task if it is due and nobody else is running it. Its claim holds until the transaction ends.
ran run_if_due(table &runs, const task &t);

// When the next task is due; in the past when one is due now, DT_NOEND when none will be.
TimestampTz next_due();

template <jumpable Body>
auto with_runs(Body body) {
    return with_table("task_runs", true, body);
}

}  // namespace chancy
