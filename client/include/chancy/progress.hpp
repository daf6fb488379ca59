// How far a job is, as its handler tells it, and what a later attempt needs to go on.
//
//     w.on("import", [](chancy::job_context& job) {
//         int line = job.checkpoint().value_or(0);       // what an earlier attempt has done
//         for (; line < 1'000'000; ++line) {
//             if (line % 1000 == 0) job.save_checkpoint(line), job.progress(line / 10'000.0, "line " + std::to_string(line));
//             …
//         }
//     });
//     if (auto p = db.get_progress(id)) std::cout << p->percent.value_or(0) << "% " << p->message.value_or("");
//
// Threads: plain values.
#pragma once

#include <chancy/job.hpp>

#include <optional>
#include <string>

namespace chancy {

// What is absent stays as it was told before by the same attempt; the checkpoint stays over attempts.
struct progress {
    std::optional<double> percent{};       // 0 to 100
    std::optional<std::string> message{};  // at most 1024 bytes are kept
    std::optional<json> checkpoint{};
};

struct progress_report {
    uuid id;
    timestamp started_at;  // with it the name of the attempt, as in update
    progress told;
};

struct reported_progress : progress {
    timestamp started_at;   // of the attempt that reported last
    timestamp reported_at;
};

void to_json(json& out, const reported_progress& in);

}  // namespace chancy
