// The jobs table: its columns, and how a job's row changes state.
#pragma once

#include "error.hpp"
#include "table.hpp"

namespace chancy {

// Column numbers as sql/tables.sql creates them.
enum jobs_column : int {
    jobs_id = 1,
    jobs_queue,
    jobs_func,
    jobs_kwargs,
    jobs_limits,
    jobs_meta,
    jobs_state,
    jobs_priority,
    jobs_attempts,
    jobs_max_attempts,
    jobs_taken_by,
    jobs_created_at,
    jobs_started_at,
    jobs_completed_at,
    jobs_scheduled_at,
    jobs_unique_key,
    jobs_errors,
    jobs_recoveries,
    jobs_result,
    jobs_concurrency_key,
    jobs_rerun,
    jobs_next_run,
    jobs_unique_until,
    jobs_raised_at,
    jobs_columns = jobs_raised_at,  // all of ours
};

enum class state : uint8 { pending, running, retrying, succeeded, failed };

const char *name(state s);
// Refuses what is no state.
state parse_state(bytes text, place where);

inline bool is_live(state s) { return s != state::succeeded && s != state::failed; }
inline bool is_waiting(state s) { return s == state::pending || s == state::retrying; }

// What the queue's logic needs of a row; the texts point into the slot.
struct job_row {
    pg_uuid_t id;
    bytes queue;
    state is;
    bytes key;  // data null without a key
    bytes concurrency_key;
    int32 priority;
    int32 attempts, max_attempts;
    bytes taken_by;
    TimestampTz started_at;  // 0 when it never ran
    TimestampTz scheduled_at;
    bool rerun;     // pushed with on_conflict rerun
    bool has_next;  // something is to run when this ends (next_run.cpp)
};

job_row read_job(TupleTableSlot *slot);

template <jumpable Body>
auto with_jobs(Body body) {
    return with_table("jobs", false, body);
}

lookup begin_id_lookup(table &jobs, Snapshot snapshot);

// The newest version of the job that is committed or our own, into slot; false when there is none.
bool find_job(table &jobs, lookup &by_id, const pg_uuid_t &id, TupleTableSlot *slot);

// This backend has written the job's row to tid.
void remember_place(const pg_uuid_t &id, ItemPointer tid);

// When a job with this id was made, by the clock of who made it; 0 for an id of another layout than Chancy's (push.cpp).
TimestampTz id_time(const pg_uuid_t &id);
// The least id that a job pushed at this time, or later, may have. Infinity is a time too.
pg_uuid_t first_id(TimestampTz time);

// errors with {"at": now, "attempt": attempt, "traceback": text} appended: attempt as Chancy counts, the first one since a push or retry is 0. Of a text over 64 KiB the first 16 and the last 48 are kept.
Datum append_error(Datum errors, int32 attempt, bytes text);

void set_state(table &jobs, state s);

}  // namespace chancy
