// chancy::middleware: what happens around every job of a worker: tracing, error reporting, metrics.
//
//     struct tracing : chancy::middleware {
//         void before(chancy::job_context& job) override { span = start_span(job.job().func); }
//         void after(chancy::job_context&, const chancy::attempt_end& end) override { span.finish(end.took); }
//     };
//     w.use(std::make_shared<tracing>());
//
// In this process, also for jobs that run in children, and so it learns of a child that crashed. The result is not yet
// written when it is called, and may turn out to be stale: the job may have been cancelled.
// Threads: called from several at once; the calls for one attempt come from one thread, in order.
#pragma once

#include <chancy/handler.hpp>
#include <chancy/update.hpp>

#include <chrono>
#include <optional>
#include <string>

namespace chancy {

struct attempt_end {
    const update& result;            // outcome, error, result, retry_at
    std::chrono::microseconds took;  // the handler, and what waited for its child
};

class middleware {
public:
    virtual ~middleware() = default;
    // Before the handler. What it throws ends the attempt as if the handler had thrown it; the handler is not run.
    virtual void before(job_context&) {}
    // The attempt has failed (or is discarded), and end.result.error says why. What it throws is logged.
    virtual void on_error(job_context&, const attempt_end&) {}
    // After the handler, whatever the outcome, and after on_error; in the opposite order of before.
    // Only for those whose before was called. What it throws is logged.
    virtual void after(job_context&, const attempt_end&) {}
};

}  // namespace chancy
