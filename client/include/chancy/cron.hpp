// Schedules: jobs that are pushed again and again, at the ticks of a cron expression.
//
//     db.schedule_cron({.key = "nightly", .expression = "30 2 * * *", .job = {.func = "tidy.up"}, .time_zone = "Europe/Berlin"});
//     for (const auto& run : db.next_runs("0 9 LW * *")) std::cout << run.local_time << '\n';
//
// Ticks are pushed by maintain(), which every chancy::worker and the server's background worker call; nobody pushes one twice.
// Threads: plain values.
#pragma once

#include <chancy/push.hpp>
#include <chancy/sql_job.hpp>

#include <chrono>
#include <optional>
#include <string>

namespace chancy {

struct new_cron {
    std::string key;         // at most 1024 bytes
    std::string expression;  // minute hour day-of-month month day-of-week [second], or @daily and the like
    new_job job{};           // without scheduled_at; its unique_key is the schedule's unless it has one, or overlap is set
    // Instead of job: a SQL job, as the role that schedules it; without scheduled_at and every. Of job its unique_key, unique_for,
    // concurrency_key and meta count, too.
    std::optional<new_sql_job> sql{};
    std::string time_zone = "UTC";
    std::string missed = "once";                             // what nobody ran in time: skip | once | all up to N (with overlap)
    std::chrono::milliseconds grace = std::chrono::minutes(1);  // a tick is in time so long; 1 s to 1 day
    std::string skipped_times = "as_cron";                   // times that do not come: as_cron | after | skip
    std::string repeated_times = "as_cron";                  // times that come twice: as_cron | first | last | both
    bool overlap = false;                                    // each tick makes a job of its own, whatever became of the one before
    bool paused = false;
};

struct cron_row {
    std::string key, expression, time_zone;
    json job;  // as push takes it; of a SQL job with function, args, timeout
    std::string missed;
    std::chrono::milliseconds grace{};
    std::string skipped_times, repeated_times;
    bool overlap = false, paused = false;
    std::optional<timestamp> last_run, next_run;  // next_run: absent while it is paused
    bool for_python = false;                      // Chancy's Python plugin runs it too
};

struct cron_tick {
    std::string key;
    timestamp tick;
    uuid id;
    bool created = false;  // false: the job's key was taken, the id is the job's that has it
};

struct next_run {
    timestamp tick;
    std::string local_time;  // what the clock of the zone shows: 2030-01-31 09:00:00
};

// Keys are the column names, timestamps ISO 8601 in UTC, absent values null, grace in seconds.
void to_json(json& out, const cron_row& in);
void to_json(json& out, const cron_tick& in);
void to_json(json& out, const next_run& in);

}  // namespace chancy
