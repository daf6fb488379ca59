// chancy::worker: fetches jobs, runs handlers on threads, writes their results back.
//
//     chancy::worker w({.conninfo = "dbname=app", .queues = {"mail"}});
//     w.on("mail.send", [](chancy::job_context& job) {
//         send(job.kwargs().at("to"));
//         return chancy::json{{"sent", true}};      // the job's result; or return nothing
//     });
//     chancy::stop_on_signals guard(w);             // SIGTERM, SIGINT: finish; a second one: now
//     w.run();
//
// A handler that throws has failed: the text is kept in the job's errors, and the job runs again while attempts
// remain. It may throw snooze, discard or retry_at instead. A func without a handler fails, naming those known.
// What a queue's row says (concurrency, polling_interval, eager_polling, executor_options) holds where no option does. Queues
// that are declared, changed, paused, resumed or deleted while the worker runs take effect.
// The database may go away and come back: the worker waits for it, and results are kept meanwhile.
// Threads: run() blocks; stop() and ready() may be called from any thread; on(), on_batch() and use() only before run(). Handlers run on several
// threads at once.
#pragma once

#include <chancy/batch.hpp>
#include <chancy/handler.hpp>
#include <chancy/middleware.hpp>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace chancy {

enum class log_level { debug, info, warning, error };
using log_function = std::function<void(log_level, const std::string&)>;

// Where handlers run.
enum class executor {
    threads,      // on threads of this process
    processes,    // each in a child process: it may crash, and is limited in memory and time (see fork_children)
    as_declared,  // as the queue's row says: ProcessExecutor in children, the other three of Chancy's on threads
};

struct queue_options {
    int concurrency = 0;  // 0: as for all queues
    std::optional<executor> run_on{};
};

struct worker_options {
    std::string conninfo{};                      // libpq's rules; empty: the PG* variables
    // Empty: all declared ones that have a tag (a regex, matched at the start) for one of the worker's tags.
    std::vector<std::string> queues{"default"};
    int concurrency = 0;                         // handlers at once for each queue; 0: as the queue says, else one for each processor
    executor run_on = executor::threads;
    std::map<std::string, queue_options> by_queue{};  // where one queue differs
    std::string worker_id{};                     // one worker's alone; empty: host:pid:random
    std::vector<std::string> tags{};             // beside the usual ones (hostname=, worker_id=, os=, arch=)
    bool listen = true;                          // wake up by LISTEN; without it, poll
    std::string listen_conninfo{};               // a direct connection, when conninfo leads to PgBouncer
    std::chrono::milliseconds poll_interval{0};  // 0: as the queue says (5 s, unless it was declared otherwise)
    std::chrono::milliseconds heartbeat_interval{30'000};
    std::chrono::milliseconds heartbeat_timeout{90'000};  // after it others may take the jobs over
    std::chrono::milliseconds maintain_interval{10'000};  // between calls of chancy.maintain(), by which others' jobs are recovered; 0: never
    std::chrono::milliseconds grace{30'000};     // for running handlers, after stop()
    bool declare_queues = true;                  // those named that do not exist when the worker starts
    log_function log{};                          // from several threads; absent: info and worse to stderr
};

class worker {
public:
    explicit worker(worker_options options);
    ~worker();
    worker(const worker&) = delete;
    worker& operator=(const worker&) = delete;

    // func names the jobs; the handler takes a job_context& and returns nothing, or JSON for the job's result.
    template <class F>
    worker& on(const std::string& func, F run) {
        using returned = std::invoke_result_t<F&, job_context&>;
        if constexpr (std::is_void_v<returned>)
            return add(func, [run = std::move(run)](job_context& job) mutable -> std::optional<json> { run(job); return std::nullopt; });
        else if constexpr (std::is_same_v<returned, std::optional<json>>)
            return add(func, std::move(run));
        else
            return add(func, [run = std::move(run)](job_context& job) mutable { return std::optional<json>(std::in_place, run(job)); });
    }

    // The handler takes up to so many jobs of this func at once, and answers for each: see batch.hpp. It counts as one of the
    // queue's concurrency. error 22023 for options out of range.
    worker& on_batch(const std::string& func, batch_options how, batch_handler run);

    // Around every job, in this order.
    worker& use(std::shared_ptr<middleware> around);

    // Forks the process that forks children, with all handlers as they are now; run() does so if nobody did. Call it after the
    // last on() and before the program starts threads or opens connections: children see the process as it is now.
    worker& fork_children();

    // Works until stop(). Error only for options that cannot work, or if the process that forks children is killed; never
    // because of the database.
    void run();

    // Stop fetching, let running handlers finish within the grace, write results, release the rest, retire.
    // Called again: ask handlers to stop now, and release what does not.
    void stop() noexcept;

    // Whether it is announced, has its connection, and is not stopping: for who wants to know whether jobs are in good hands. It asks
    // nobody: a server that is silent is noticed with the next heartbeat, one that is gone at once (without listen, then too). Any thread.
    [[nodiscard]] bool ready() const noexcept;

    [[nodiscard]] const std::string& id() const noexcept;

private:
    worker& add(const std::string& func, handler run);
    struct state;
    std::shared_ptr<state> m_state;  // a handler that never returns may outlive the worker
};

// SIGTERM and SIGINT call worker.stop(); two within half a second are one. Make it before other threads start: it blocks the two signals in the
// calling thread, and in those it starts from then on.
class stop_on_signals {
public:
    explicit stop_on_signals(worker& stopped) : stop_on_signals([&stopped] { stopped.stop(); }) {}
    explicit stop_on_signals(std::function<void()> stop);
    ~stop_on_signals();
    stop_on_signals(const stop_on_signals&) = delete;
    stop_on_signals& operator=(const stop_on_signals&) = delete;

private:
    int m_end;  // an eventfd that ends the thread
    std::thread m_thread;
};

}  // namespace chancy
