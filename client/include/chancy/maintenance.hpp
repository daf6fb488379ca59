// Maintenance: jobs of workers that died run again, old jobs are deleted.
//
//     for (const auto& run : db.maintain()) std::cout << run.task << ' ' << run.did << '\n';
//     db.prune_jobs({{"age", "30 days"}});
//
// Somebody has to call maintain() every few seconds, anybody, anywhere: every chancy::worker does. None of these calls
// ever waits for another transaction. Threads: plain values.
#pragma once

#include <chancy/job.hpp>

#include <string>

namespace chancy {

struct task_run {
    std::string task;  // recovery | pruner | workers
    json did;          // what it did: an object
};

struct recovered_jobs {
    int recovered = 0;  // pending again
    int failed = 0;     // recovered too often
};

void to_json(json& out, const task_run& in);
void to_json(json& out, const recovered_jobs& in);

}  // namespace chancy
