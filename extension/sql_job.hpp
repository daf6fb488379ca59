// SQL jobs. sql_job.cpp: push and cancel. sql_run.cpp: one job. sql_pool.cpp: background workers.
#pragma once

#include "value.hpp"

namespace chancy {

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
