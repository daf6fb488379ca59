// SQL jobs: functions and procedures of the database, run in the server, each as the role that pushed it.
//
//     db.declare_queue({.name = "sql"});
//     db.push_sql({.function = "refresh(text, int)", .args = {"totals", 3}, .timeout = 10min});
//     db.schedule_cron({.key = "nightly", .expression = "30 2 * * *", .sql = chancy::new_sql_job{.function = "refresh_totals()"}});
//
// What one does and its result are one transaction. Background workers of the server run them, where chancy is in
// shared_preload_libraries; run_sql_jobs does elsewhere. Threads: plain values.
#pragma once

#include <chancy/job.hpp>

#include <chrono>
#include <optional>
#include <string>

namespace chancy {

struct new_sql_job {
    std::string function;         // with the types of its arguments
    json args = json::array();    // in their order; trailing ones with a default may be left out
    std::string queue = "sql";    // it has to be declared
    int priority = 0;             // higher runs first
    int max_attempts = 1;         // from 1
    std::optional<timestamp> scheduled_at{};                  // absent: now
    std::chrono::milliseconds timeout = std::chrono::hours(1);  // of the call: 1 s to 1 day
    std::optional<std::chrono::milliseconds> every{};         // 1 s to 366 days: again, so long after each start, until it is cancelled
};

struct sql_job_row {
    uuid id;
    std::string role;      // that pushed it, and that it runs as
    std::string function;
    json args;
    std::string queue;
    job_state state = job_state::pending;
    timestamp scheduled_at;
    std::optional<timestamp> started_at, completed_at;  // of the last run
    std::chrono::milliseconds timeout{};
    std::optional<std::chrono::milliseconds> every;
    std::optional<json> result;
    std::optional<std::string> error;  // the last one
};

// Keys are the column names, timestamps ISO 8601 in UTC, absent values null, spans in seconds.
void to_json(json& out, const sql_job_row& in);

}  // namespace chancy
