// chancy::job: one row of chancy.jobs.
//
//     if (std::optional<chancy::job> j = db.get_job(id); j && j->state == chancy::job_state::failed)
//         std::cout << j->errors.back().at("traceback");
//
// Threads: a plain value.
#pragma once

#include <chancy/time.hpp>
#include <chancy/uuid.hpp>

#include <nlohmann/json.hpp>

#include <optional>
#include <string>
#include <string_view>

namespace chancy {

using json = nlohmann::json;

enum class job_state { pending, running, retrying, succeeded, failed };

[[nodiscard]] std::string_view to_string(job_state state) noexcept;

struct job {
    uuid id;
    std::string queue;
    std::string func;
    json kwargs;                          // object
    json limits;                          // array of {"t": "time" | "memory", "v": seconds or bytes}
    json meta;                            // object
    job_state state = job_state::pending;
    int priority = 0;                     // higher runs first
    int attempts = 0;                     // finished runs
    int max_attempts = 1;
    std::optional<std::string> taken_by;  // a worker's id
    timestamp created_at;
    std::optional<timestamp> started_at;  // with taken_by: the name of this attempt (the fence)
    std::optional<timestamp> completed_at;
    timestamp scheduled_at;
    std::optional<std::string> unique_key;
    json errors;                          // array of {"at": time, "attempt": from 0 since pushed or retried, "traceback": text}
    int recoveries = 0;                   // how often its worker died under it
    std::optional<json> result;
    std::optional<std::string> concurrency_key;  // whose share of the queue it takes
    std::optional<json> next_run;           // what is to run when this has ended: a job as push takes it
    std::optional<timestamp> unique_until;  // until then unique_key is taken, even if the job has ended

    [[nodiscard]] bool finished() const noexcept {
        return state == job_state::succeeded || state == job_state::failed;
    }
};

// The line of an error's text that says what went wrong: the last one of a traceback and of what a command printed, else the first one.
[[nodiscard]] std::string_view error_line(std::string_view traceback) noexcept;

// Keys are the column names, timestamps ISO 8601 in UTC, absent values null.
void to_json(json& out, const job& in);

}  // namespace chancy
