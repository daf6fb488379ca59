// The rows of workflows and of their steps.
#pragma once

#include "workflow.hpp"

namespace chancy {

// Column numbers as sql/tables.sql and sql/workflow.sql create them.
enum workflows_column : int {
    workflows_id = 1, workflows_name, workflows_state, workflows_created_at, workflows_updated_at, workflows_on_failure,
    workflows_status, workflows_waits_for, workflows_waits_at, workflows_doomed, workflows_finished_at
};
enum steps_column : int {
    steps_id = 1, steps_workflow_id, steps_step_id, steps_job_data, steps_dependencies, steps_job_id, steps_created_at,
    steps_updated_at, steps_run_when, steps_undo, steps_dependency_ids, steps_waits_for, steps_waits_at, steps_doomed,
    steps_skipped, steps_undoes
};

enum class workflow_status : uint8 { none, running, completed, failed, cancelled, compensating, compensated };

inline bool is_under_way(workflow_status s) { return s == workflow_status::running || s == workflow_status::compensating; }

struct workflow_row {
    pg_uuid_t id;
    bytes name;
    bool pending;  // in Python's eyes
    failure_policy policy;
    workflow_status status;
    int32 waits_for, waits_at;  // 0: none
    bool doomed;
    ItemPointerData tid;
};

struct step_row {
    int32 id;
    pg_uuid_t workflow, job;
    bool has_job, adopted, doomed, skipped;
    run_when when;
    int32 waits_for, waits_at, undoes;  // 0: none; waits_at -1: all dependencies have ended
    ItemPointerData tid;
};

workflow_row read_workflow(TupleTableSlot *slot);
step_row read_step(TupleTableSlot *slot);

// The tables, open, with a look-up for each index that is used.
struct workflow_tables {
    table &jobs, steps, workflows;
    lookup job_by_id, step_by_id, step_by_job, step_by_watch, workflow_by_id;
    TupleTableSlot *walked;  // what a walk over a workflow's steps is at
    TimestampTz now;
};

workflow_tables open_workflows(table &jobs);
void close_workflows(workflow_tables &t);

template <jumpable Body>
auto with_workflows(table &jobs, Body body) {
    workflow_tables t = open_workflows(jobs);
    if constexpr (std::is_void_v<decltype(body(t))>) {
        body(t);
        close_workflows(t);
    } else {
        auto result = body(t);
        static_assert(std::is_trivially_destructible_v<decltype(result)>);
        close_workflows(t);
        return result;
    }
}

// The newest version that is committed or our own; false when there is none.
bool find_workflow(workflow_tables &t, const pg_uuid_t &id, workflow_row *row);
bool find_step(workflow_tables &t, int32 id, step_row *row);  // also in t.steps.found
int32 find_step_named(workflow_tables &t, const pg_uuid_t &workflow, bytes name);  // 0: none

// Growing lists in the current memory.
struct step_list {
    step_row *items;
    int count, capacity;
    void add(const step_row &s);
};

step_list steps_of_job(workflow_tables &t, const pg_uuid_t &job);
step_list steps_waiting_for(workflow_tables &t, int32 step);
step_list steps_of_workflow(workflow_tables &t, const pg_uuid_t &workflow);  // by id

// Tries to lock the newest version, and reads it: TM_Ok, TM_WouldBlock, TM_Deleted.
TM_Result try_workflow(workflow_tables &t, workflow_row *row, LockTupleMode mode);
TM_Result try_step(workflow_tables &t, step_row *row);  // the version is in t.steps.held

// Writes the row that is locked by us: what the struct has beyond the row's identity.
void write_workflow(workflow_tables &t, workflow_row &row);
void write_step(workflow_tables &t, HeapTuple locked, step_row &row);

void insert_workflow(workflow_tables &t, const workflow_change &w);

struct step_input {
    pg_uuid_t workflow;
    bytes name;
    Jsonb *job, *undo;  // packed; undo null without
    run_when when;
    std::span<bytes> after;
    std::span<int32> after_ids;
    int32 waits_for, undoes;
    const pg_uuid_t *job_id;  // null without
};
void insert_step(workflow_tables &t, int32 id, const step_input &s);

// The next count ids of steps; the first one.
int32 *take_step_ids(int count);

// The ids of the step's dependencies, from its row.
std::span<int32> dependency_ids(HeapTuple step, TupleDesc desc);

// Steps that were skipped or doomed by a failure wait anew, and the workflow runs. Locked by us (settle.cpp).
void reopen(workflow_tables &t, workflow_row &w);

// The step of this job, which was not pushed after all, runs another one, or none (settle.cpp).
void adopt_job(workflow_tables &t, const pg_uuid_t &reserved, const pg_uuid_t *job);

void tell_workflow(const char *type, const workflow_row &w);

}  // namespace chancy
