// chancy::calls: every call of the queue, one member function for each function of the schema chancy.
// Three things make calls:
//
//     chancy::client db("host=… dbname=…");   // each call a transaction of its own, retried when that is safe
//     chancy::transaction tx(db);             // BEGIN … tx.commit()
//     chancy::session own(conn);              // inside your own transaction, on your own PGconn*
//
// Bad input is refused by the server, whole, before anything is written: chancy::error with the SQLSTATE
// (22023, 54000, 42501 …), a message that names the element ("jobs[17].priority") and a hint.
// In a transaction block, push, apply_updates, cancel, retry and delete_queue are buffered by the server until the commit
// (chancy.push_mode): there a bool says true for "accepted", and created and ok are absent.
// Threads: one at a time in one object.
#pragma once

#include <chancy/job.hpp>
#include <chancy/maintenance.hpp>
#include <chancy/push.hpp>
#include <chancy/queue.hpp>
#include <chancy/update.hpp>

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace chancy {

namespace detail {
struct statement;
class result;
}  // namespace detail

struct job_filter {
    std::optional<std::string> queue{};
    std::optional<job_state> state{};
    std::optional<std::string> func{};
    std::optional<uuid> after{};  // the last id of the page before
    int up_to = 100;
};

class calls {
public:
    virtual ~calls() = default;

    // push
    uuid push(const new_job& job);
    std::vector<chancy::pushed> push_many(std::span<const new_job> jobs);  // in the order of jobs; at most 100,000
    // push_many at the commit, whatever chancy.push_mode says: the ids, in the order of jobs. Those of jobs with a key are
    // reserved: pushed() tells what became of them.
    std::vector<uuid> push_at_commit(std::span<const new_job> jobs);
    // What the last commit on this very connection made of its reserved ids. A connection that was lost and made anew
    // knows nothing of it, and a transaction pooler's is anybody's.
    [[nodiscard]] std::vector<settled> pushed();
    // Makes the buffered writes of this transaction now; error 40001 where that would wait while it holds locks.
    void flush();

    // fetch: the jobs are running now, taken by this worker, highest priority first
    [[nodiscard]] std::vector<job> fetch_jobs(const std::string& queue, const std::string& worker_id, int up_to = 1);
    [[nodiscard]] std::vector<job> running_jobs(const std::string& worker_id);

    // update; answers in the order of updates
    std::vector<applied> apply_updates(const std::string& worker_id, std::span<const update> updates,
                                       on_locked locked = on_locked::wait);
    // As 'wait', but waits at most so long for a lock: then error 55P03. For updates told as "locked" for long.
    std::vector<applied> apply_updates(const std::string& worker_id, std::span<const update> updates,
                                       std::chrono::milliseconds lock_timeout);
    // Apply, then fetch: one round trip, one commit. up_to 0 only applies.
    [[nodiscard]] exchanged exchange(const std::string& worker_id, std::span<const update> updates,
                                     const std::string& queue, int up_to, on_locked locked = on_locked::skip);

    // cancel a live job: it fails at once, its key is free, a running handler is asked to stop
    bool cancel_job(const uuid& id);                              // false: missing or finished
    std::vector<bool> cancel_jobs(std::span<const uuid> ids);     // in the order of ids
    // retry a finished job: pending again, attempts 0; false: missing, unfinished, or its key is live again
    bool retry_job(const uuid& id);

    // look
    [[nodiscard]] std::optional<job> get_job(const uuid& id);
    [[nodiscard]] std::vector<job> get_jobs(std::span<const uuid> ids);  // in the order of ids, missing left out
    [[nodiscard]] std::optional<job> get_live_job(const std::string& unique_key);
    [[nodiscard]] std::vector<job> list_jobs(const job_filter& filter = {});  // newest first
    [[nodiscard]] std::vector<queue> list_queues();
    [[nodiscard]] std::vector<worker_row> list_workers();

    // queue
    queue declare_queue(const queue& wanted, bool upsert = false);  // without upsert an existing row stays as it is
    bool pause_queue(const std::string& name, std::optional<timestamp> resume_at = {});  // false: no such queue
    bool resume_queue(const std::string& name);
    bool delete_queue(const std::string& name, bool purge_jobs = true);  // error 55006 while one of its jobs runs

    // worker
    timestamp heartbeat(const std::string& worker_id, const std::vector<std::string>& tags,
                        const std::vector<std::string>& queues,
                        std::chrono::milliseconds timeout = std::chrono::seconds(90));  // expires at
    bool retire_worker(const std::string& worker_id);

    // maintenance: none of these waits for another transaction
    std::vector<task_run> maintain();  // the tasks that were due, and that nobody else was running
    // Running jobs of expired workers are pending again; those recovered max_recoveries times fail.
    recovered_jobs recover_jobs(int max_recoveries = 3, std::chrono::milliseconds grace = std::chrono::seconds(90), int up_to = 1000);
    // Deletes finished jobs that match the rule, such as {{"age", "30 days"}}; how many. Call again while it is up_to.
    int prune_jobs(const json& rule, int up_to = 10'000);

    // event: ask for job.finished events of these jobs (see event.hpp; wait_for_job there does it all)
    void watch_jobs(std::span<const uuid> ids, std::chrono::milliseconds for_time = std::chrono::seconds(60));

protected:
    calls() = default;
    calls(const calls&) = default;
    calls(calls&&) = default;
    calls& operator=(const calls&) = default;
    calls& operator=(calls&&) = default;

    virtual detail::result execute(const detail::statement& what) = 0;
};

}  // namespace chancy
