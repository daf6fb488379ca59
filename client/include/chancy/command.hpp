// chancy::command: a handler that runs a shell command for each job; chancy::command_batch, for a batch of them.
//
//     w.on("thumbnail", chancy::command("./thumbnail.sh"));
//     w.on_batch("index", {.up_to = 500}, chancy::command_batch("./index.sh"));
//
// The job's JSON (the columns of chancy.jobs) is the command's standard input, one line. Of a step of a workflow it has step_results,
// too: {"step": {"state": …, "result": …}} for each step that it waited for. If this or an earlier attempt saved a checkpoint, it has that.
// Progress is told on file descriptor 3, a JSON object a line: {"percent": 40, "message": "…", "checkpoint": …}, each of them if wanted. What
// cannot be read there is kept with the output.
// Exit status 0: succeeded, and standard output, if it is JSON, is the result. 75 (EX_TEMPFAIL): this attempt failed,
// the job runs again while attempts remain. Any other, or a signal: failed for good. The last lines of both outputs are
// kept as the error. Asked to stop, or at the time limit in the job's limits, the command's process group gets
// SIGTERM, and SIGKILL after the patience (no more than a quarter of the worker's heartbeat_timeout, so that it ends before others run the job); a time limit counts as a failed attempt. A memory limit is its RLIMIT_AS.
// When the worker is killed, the shell is killed too, and with executor::processes all that it has started.
// The command of a batch gets the jobs in lines of its standard input, without step_results, checkpoint and progress. On its standard output it
// answers for each in a line: {"id": …, "result": …}, {"id": …, "error": "…"}, which fails this attempt of this job alone, or
// {"id": …, "discard": "…"}, which fails it for good. Without an answer a job has succeeded. Any exit status but 0 is every job's, answered or not. It
// is stopped when all of its jobs are to stop, or one has reached its time limit; the others are given back.
// Threads: may run in several at once.
#pragma once

#include <chancy/batch.hpp>

#include <chrono>
#include <optional>
#include <string>

namespace chancy {

class command {
public:
    explicit command(std::string shell, std::chrono::milliseconds patience = std::chrono::seconds(4))
        : m_shell(std::move(shell)), m_patience(patience) {}
    std::optional<json> operator()(job_context& context) const;

private:
    std::string m_shell;
    std::chrono::milliseconds m_patience;
};

class command_batch {
public:
    explicit command_batch(std::string shell, std::chrono::milliseconds patience = std::chrono::seconds(4))
        : m_shell(std::move(shell)), m_patience(patience) {}
    void operator()(batch& jobs) const;

private:
    std::string m_shell;
    std::chrono::milliseconds m_patience;
};

}  // namespace chancy
