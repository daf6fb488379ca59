// SQL jobs: see sql_job.cpp.
#pragma once

#include "value.hpp"

namespace chancy {

// Asks whoever runs this job in the server to stop, when the transaction commits. taken_by: of its row.
void stop_sql_job(bytes taken_by);

// Starts background workers for SQL jobs that are due in this database; returns when to look again, DT_NOEND for never.
TimestampTz start_sql_workers();

}  // namespace chancy
