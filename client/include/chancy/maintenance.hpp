// Maintenance: jobs of workers that died run again, old jobs are deleted, jobs that wait for long are raised.
//
//     for (const auto& run : db.maintain()) std::cout << run.task << ' ' << run.did << '\n';
//     db.set_task("pruner", {.settings = {{"rule", {{"age", "30 days"}}}}});
//     db.prune_jobs({{"age", "30 days"}});
//
// Somebody has to call maintain() every few seconds, anybody, anywhere: every chancy::worker does, and the server itself where chancy
// is in shared_preload_libraries. Threads: plain values.
#pragma once

#include <chancy/job.hpp>

#include <chrono>
#include <optional>
#include <string>

namespace chancy {

struct task_run {
    std::string task;  // recovery | pruner | …
    json did;          // what it did: an object
};

struct recovered_jobs {
    int recovered = 0;  // pending again
    int failed = 0;     // recovered too often
};

// A task of maintain(): as it is set, and as it ran last.
struct task {
    std::string name;
    bool enabled = true;
    std::chrono::milliseconds every{};
    json settings;
    std::optional<timestamp> last_run{}, next_due{};  // next_due absent: never
    std::optional<json> did{};
    std::optional<std::string> error{};  // the last one
    std::optional<timestamp> failed_at{};
    [[nodiscard]] bool failed() const { return failed_at && failed_at == last_run; }  // the last time
};

// What to set of a task; what is absent stays as it is.
struct task_change {
    std::optional<std::chrono::milliseconds> every{};
    std::optional<bool> enabled{};
    std::optional<json> settings{};  // as a whole
};

struct raise_options {
    int ceiling;                                     // no job is raised above
    int by = 1;
    std::chrono::milliseconds every = std::chrono::minutes(5);  // once per job
    std::optional<json> rule{};                      // {"age"|"queue"|"func"}, {"and"|"or"|"not"}
    int up_to = 10'000;
};

void to_json(json& out, const task& in);
void to_json(json& out, const task_run& in);
void to_json(json& out, const recovered_jobs& in);

}  // namespace chancy
