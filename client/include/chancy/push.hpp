// What to push, and what became of it.
//
//     chancy::uuid id = db.push({.func = "mail.send", .kwargs = {{"to", "a@b.c"}}, .unique_key = "mail:a@b.c"});
//     for (auto& [id, created] : db.push_many(jobs)) …     // in the order of jobs
//
// A unique_key is taken while a job of it is live (pending, running, retrying), and until unique_for is over. What a push of a
// taken key does is on_conflict:
//   keep     nothing: the job's id comes back
//   replace  a waiting job takes the new content; one that runs is followed by the new one
//   reject   error 23505
//   rerun    a waiting job stays, and runs after this push's commit; one that runs is followed by the new one
// Threads: plain values.
#pragma once

#include <chancy/job.hpp>

#include <chrono>
#include <optional>
#include <string>

namespace chancy {

// The defaults are Chancy's. Longest queue 255 bytes, func and unique_key 1024.
struct new_job {
    std::string func;
    json kwargs = json::object();
    std::string queue = "default";
    int priority = 0;                         // higher runs first
    int max_attempts = 1;                     // from 1
    std::optional<timestamp> scheduled_at{};  // absent: now
    std::optional<std::string> unique_key{};
    json limits = json::array();              // array of {"t": "time" | "memory", "v": seconds or bytes}
    json meta = json::object();
    std::string on_conflict = "keep";         // keep | replace | reject | rerun
    std::optional<std::chrono::milliseconds> unique_for{};  // so long after it is due the key is taken, even if the job has ended: 1 s to 10 years
    std::optional<std::string> concurrency_key{};  // whose share of the queue it takes: queue::max_running_per_key
};

// What copy_job changes; absent: as it was.
struct job_changes {
    std::optional<json> kwargs{};
    std::optional<std::string> queue{};
    std::optional<int> priority{}, max_attempts{};
};

struct pushed {
    uuid id;
    // false: the key was taken, the id is the job's that has it. Absent while the transaction has yet to commit it.
    std::optional<bool> created;
};

// What a commit made of an id that push_at_commit, or a push in a transaction block, had reserved.
struct settled {
    uuid reserved;
    std::optional<uuid> id;       // the job's: the reserved one, or the live job's; absent: the push was withdrawn
    std::optional<bool> created;  // false: a duplicate
};

}  // namespace chancy
