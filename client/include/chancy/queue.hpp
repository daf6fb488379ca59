// Queues and workers as the database knows them: rows of chancy.queues and chancy.workers.
//
//     db.declare_queue({.name = "mail", .concurrency = 4});
//     db.pause_queue("mail");
//
// Threads: plain values.
#pragma once

#include <chancy/job.hpp>

#include <optional>
#include <string>
#include <vector>

namespace chancy {

struct queue {
    std::string name;
    std::string state = "active";         // active | paused
    std::optional<int> concurrency{};     // jobs at once in one worker
    std::vector<std::string> tags{".*"};  // regexes: the workers that take it
    std::string executor = "chancy.executors.process.ProcessExecutor";
    json executor_options = json::object();
    int polling_interval = 5;             // seconds
    std::optional<timestamp> created_at{};
    std::optional<int> rate_limit{};      // jobs in
    std::optional<int> rate_limit_window{};  // seconds
    std::optional<timestamp> resume_at{};
    bool eager_polling = false;
    std::optional<int> max_running{};          // at once, over all workers
    std::optional<int> max_running_per_key{};  // of one concurrency_key; keys take turns
    std::optional<int> rate_limit_burst{};     // starts at once (a token bucket); absent: fixed windows
};

struct worker_row {
    std::string worker_id;
    std::vector<std::string> tags;
    std::vector<std::string> queues;
    timestamp last_seen;
    timestamp expires_at;
};

void to_json(json& out, const queue& in);
void to_json(json& out, const worker_row& in);

}  // namespace chancy
