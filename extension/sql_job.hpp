// SQL jobs. sql_job.cpp: push and cancel. sql_schedule.cpp: by cron. sql_run.cpp: one job. sql_pool.cpp: background workers.
#pragma once

#include "change.hpp"

namespace chancy {

// What a job or a schedule calls, and as whom.
struct sql_call {
    Oid role;
    const char *function;  // qualified, with its argument types
    Jsonb *args;
    Interval *timeout, *every;  // every null: once
};

// Refuses what the current role may not call, or not so; where: what function and args are called.
void check_call(Oid function, Jsonb *args, place where);
// Refuses spans out of range, and gives their microseconds.
int64 check_timeout(const Interval *timeout, place where);
// Notes what the job of this id calls.
void record_call(const pg_uuid_t &id, const sql_call &call);

// Are a schedule's jobs SQL jobs? job: as schedule_cron takes it.
bool is_sql_schedule(Jsonb *job);
// Checks it, fills call, and gives the job as the schedule keeps it.
Jsonb *read_sql_schedule(Jsonb *job, place where, sql_call *call);
extern const more_fields sql_schedule_fields;
// Notes what the schedule of this key calls, whose row is locked; null: nothing any more.
void keep_call(bytes key, const sql_call *call);
// In palloc'd memory; false: nothing is noted.
bool find_call(bytes key, sql_call *call);

constexpr const char *sql_worker_prefix = "sql/";  // of the worker_id of whoever runs them

// An attempt at a SQL job.
struct claimed {
    bool any;
    pg_uuid_t id;
    TimestampTz started_at;
};

// The first transaction: claims a due SQL job of the queue.
claimed claim_sql_job(bytes queue);
// The second one: runs it and writes its result. False: somebody wants this session to stop.
bool run_sql_job(const claimed &c);
// After the commit: who we were before we became a job's role.
void come_back();

// Asks whoever runs this job in the server to stop, when the transaction commits. taken_by: of its row.
void stop_sql_job(bytes taken_by);

// Starts background workers for SQL jobs that are due in this database; returns when to look again, DT_NOEND for never.
TimestampTz start_sql_workers();

}  // namespace chancy
