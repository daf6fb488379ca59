// What advance.cpp, which moves one step or one workflow on, and settle.cpp, which finds out which, share.
#pragma once

#include "steps.hpp"

namespace chancy {

enum class fate : uint8 { open, busy, succeeded, failed };
enum class step_turn : uint8 { waits, pushed, skipped, busy };

// One call's work.
struct turn {
    workflow_tables &t;
    lookup by_key;  // of jobs; opened when a step has a key
    int32 noted;    // the step that stands in workflow_todo already; 0: the whole workflow; -1: nothing
    bool busy;      // what is noted is still to be done
    bytes queue;    // of a job that ended: its workers are woken to see to what is noted
    bytes told;     // the queue that the last event was for
};

enum todo_column : int { todo_workflow = 1, todo_step, todo_poll };

// Leaves it in workflow_todo; step 0: the whole workflow. poll: nobody will tell when the step's job ends.
void note(turn &n, const pg_uuid_t &workflow, int32 step, bool poll);

fate fate_of_job(turn &n, const pg_uuid_t &id, bool hold);
// hold: a step that has not ended is locked, so that it does not before we commit.
fate fate_of(turn &n, int32 id, bool hold);

// The step, locked by us in steps.held, has no dependency that it waits for: it finds another one, or it is its turn.
step_turn advance_step(turn &n, step_row s);
// The workflow, locked by us, waits for no step: it finds another one, or it has ended.
void advance_workflow(turn &n, workflow_row &w, int32 ended);

// Does a failed step end the workflow's running on?
inline bool stops(const workflow_row &w) { return w.status == workflow_status::running && w.policy != failure_policy::go_on; }
// A step has failed, and the policy says that the workflow does not go on. Locked by us.
void fail(turn &n, workflow_row &w);

}  // namespace chancy
