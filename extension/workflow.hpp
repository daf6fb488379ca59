// Workflows: jobs that wait for other jobs.
//
// workflow.cpp: the calls. graph.cpp: their input. steps.cpp: the rows. settle.cpp, advance.cpp: what follows from the end of a step.
#pragma once

#include "change.hpp"

namespace chancy {

enum class failure_policy : uint8 { fail, go_on, compensate };
enum class run_when : uint8 { succeeded, finished };

const char *name(failure_policy p);
const char *name(run_when w);

// A step as pushed.
struct new_step {
    bytes name;
    new_job job;
    new_job *undo;           // null without
    run_when when;
    std::span<bytes> after;  // names of dependencies
    int32 *dependencies;     // per name: the index in the batch, or -1: a step that is there already
    int element;             // in the input
};

// Steps in an order in which dependencies come first.
struct graph {
    std::span<new_step> steps;
};

// Reads and checks steps: names once, no cycles. outside: dependencies may name steps that are not in the batch.
graph read_graph(Jsonb *steps, bool outside);

// A call that waits for its moment, or for the workflows' locks.
enum class workflow_kind : uint8 { push, add, cancel, retry };

struct workflow_change {
    workflow_kind kind;
    int call;  // which call of the transaction, from 0
    pg_uuid_t id;
    bytes name;             // push
    failure_policy policy;  // push
    graph steps;            // push, add
    bool applied;
};

// Applies changes (change.hpp) and calls of workflows together: locks the workflows, in id order, writes them and their
// steps, then applies the changes and what the workflows do with jobs. Decides each one's verdict.
void apply_workflows(table &jobs, std::span<workflow_change> workflows, std::span<change> changes, const policy &how);

// meta with what marks a step's job: the names of its workflow, as Python marks it, and of its step.
Jsonb *mark_step(Jsonb *meta, const pg_uuid_t &workflow, bytes step);
// Is this the meta of a step's job? Whatever it says, it only makes us look: workflow_steps tells.
bool marks_step(Jsonb *meta);
// meta without it: a further run of the job is no step.
Jsonb *without_mark(Jsonb *meta);
// given, with what marks the step in before.
Jsonb *keep_mark(Jsonb *before, Jsonb *given);

// What follows from changes of jobs: pushes the successors of steps that ended. Never waits: what is busy is noted in
// workflow_todo.
void advance(table &jobs, std::span<change> changes);
void advance(table &jobs, std::span<const pg_uuid_t> ended);

// Sees to a whole workflow.
void look_at_workflow(table &jobs, const pg_uuid_t &workflow);

// Sees to what is noted: how many, and how many are still busy.
struct advanced {
    int done, busy;
};
advanced advance_noted(table &jobs, int up_to, bool polls);

// Does this step's job belong to a workflow that is still under way?
bool is_step_under_way(const pg_uuid_t &job);

}  // namespace chancy
