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
// Two more make the same calls without blocking: future_client (future.hpp), each answer a std::future, and async_client
// (async.hpp), each answer awaited in a coroutine. What stands here as answer<T> is T in the three above.
// Threads: one at a time in one object, unless the class says otherwise.
#pragma once

#include <chancy/call.hpp>
#include <chancy/check.hpp>
#include <chancy/interop.hpp>
#include <chancy/cron.hpp>
#include <chancy/job.hpp>
#include <chancy/maintenance.hpp>
#include <chancy/metrics.hpp>
#include <chancy/progress.hpp>
#include <chancy/push.hpp>
#include <chancy/queue.hpp>
#include <chancy/sql_job.hpp>
#include <chancy/update.hpp>
#include <chancy/workflow.hpp>

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace chancy {

struct job_filter {
    std::optional<std::string> queue{};
    std::optional<job_state> state{};
    std::optional<std::string> func{};
    std::optional<uuid> after{};  // the last id of the page before
    int up_to = 100;
    std::optional<timestamp> since{}, before{};  // pushed in this time: since counts, before does not
    std::optional<std::string> unique_key{};
};

// ---- each call described, once: src/<capability>.cpp
// A new call is described here, gets its line in calls_of below, and so exists in every form.
namespace detail::describe {

call<uuid> push(const new_job& job);
call<std::vector<pushed>> push_many(std::span<const new_job> jobs);
call<std::vector<uuid>> push_at_commit(std::span<const new_job> jobs);
call<std::vector<settled>> pushed();
call<void> flush();
call<std::vector<job>> fetch_jobs(const std::string& queue, const std::string& worker_id, int up_to);
call<std::vector<job>> running_jobs(const std::string& worker_id);
call<std::vector<applied>> apply_updates(const std::string& worker_id, std::span<const update> updates, on_locked locked);
call<std::vector<applied>> apply_updates(const std::string& worker_id, std::span<const update> updates,
                                         std::chrono::milliseconds lock_timeout);
call<exchanged> exchange(const std::string& worker_id, std::span<const update> updates, const std::string& queue, int up_to,
                         on_locked locked);
call<std::vector<applied>> report_progress(const std::string& worker_id, std::span<const progress_report> reports);
call<std::optional<reported_progress>> get_progress(const uuid& id);
call<std::optional<json>> get_checkpoint(const std::string& worker_id, const uuid& id);
call<bool> cancel_job(const uuid& id);
call<std::vector<bool>> cancel_jobs(std::span<const uuid> ids);
call<bool> retry_job(const uuid& id, const std::optional<json>& kwargs);
call<std::optional<chancy::pushed>> copy_job(const uuid& id, const job_changes& changed);
call<std::optional<job>> get_job(const uuid& id);
call<std::vector<job>> get_jobs(std::span<const uuid> ids);
call<std::optional<job>> get_live_job(const std::string& unique_key);
call<std::vector<job>> list_jobs(const job_filter& filter);
call<std::vector<queue>> list_queues();
call<std::vector<worker_row>> list_workers();
call<queue> declare_queue(const queue& wanted, bool upsert);
call<bool> pause_queue(const std::string& name, std::optional<timestamp> resume_at);
call<bool> resume_queue(const std::string& name);
call<bool> delete_queue(const std::string& name, bool purge_jobs);
call<timestamp> heartbeat(const std::string& worker_id, const std::vector<std::string>& tags,
                          const std::vector<std::string>& queues, std::chrono::milliseconds timeout);
call<bool> retire_worker(const std::string& worker_id);
call<std::vector<task_run>> maintain();
call<recovered_jobs> recover_jobs(int max_recoveries, std::chrono::milliseconds grace, int up_to);
call<int> prune_jobs(const json& rule, int up_to);
call<std::vector<chancy::queue_stats>> queue_stats();
call<std::vector<metric_point>> metric_points(const metric_filter& filter);
call<int> record_metrics(std::span<const metric> metrics);
call<installation> check_installation(std::chrono::milliseconds longer_than);
call<std::optional<std::chrono::milliseconds>> next_maintenance();
call<std::vector<task>> list_tasks();
call<void> set_task(const std::string& name, const task_change& change);
call<bool> reset_task(const std::string& name);
call<int> reprioritize(const raise_options& how);
call<bool> acquire_leadership(const std::string& worker_id, std::chrono::milliseconds ttl);
call<bool> release_leadership(const std::string& worker_id);
call<std::optional<timestamp>> schedule_cron(const new_cron& wanted);
call<bool> unschedule_cron(const std::string& key);
call<bool> pause_cron(const std::string& key);
call<bool> resume_cron(const std::string& key);
call<std::optional<uuid>> push_cron(const std::string& key);
call<std::vector<cron_row>> list_cron();
call<std::vector<cron_tick>> run_cron(int up_to);
call<std::vector<next_run>> next_runs(const std::string& expression, const std::string& time_zone, int n, std::optional<timestamp> after,
                                      const std::string& skipped_times, const std::string& repeated_times);
call<uuid> push_sql(const new_sql_job& job);
call<std::vector<sql_job_row>> list_sql_jobs(const std::optional<uuid>& after, int up_to);
call<void> run_sql_jobs(const std::string& queue, int up_to);
call<void> watch_jobs(std::span<const uuid> ids, std::chrono::milliseconds for_time);
call<void> enable_python_interop(const std::optional<std::string>& role);
call<void> disable_python_interop();
call<python_interop> interop_status();
call<std::vector<adopted>> adopt(const std::string& schema, const std::string& prefix);
call<adopted_history> adopt_history(const std::string& schema, const std::string& prefix, int up_to);
call<std::vector<adopted>> give_back(const std::string& schema, const std::string& prefix);
call<uuid> push_workflow(const workflow& w);
call<uuid> push_group(const std::string& name, std::span<const new_job> jobs, const new_job& then_push);
call<void> add_steps(const uuid& id, const workflow& steps);
call<bool> cancel_workflow(const uuid& id);
call<bool> retry_workflow(const uuid& id);
call<std::optional<workflow_row>> get_workflow(const uuid& id);
call<std::vector<workflow_row>> list_workflows(const std::optional<std::string>& state, int up_to);
call<std::vector<step_row>> get_workflow_steps(const uuid& id);
call<std::vector<step_result>> step_results(const uuid& job_id);
call<std::optional<std::string>> workflow_dot(const uuid& id);
call<std::optional<std::string>> workflow_mermaid(const uuid& id);
call<int> advance_workflows(int up_to);
call<int> prune_workflows(std::chrono::milliseconds age, int up_to);

}  // namespace detail::describe

// ---- each call made
// Arguments are read before the call returns, in every form: they need not live until the answer.
template <class Form>
class calls_of : public Form {
    template <class T> using answer = typename Form::template answer<T>;
    using ids = std::span<const uuid>;
    using name = const std::string&;
    using milliseconds = std::chrono::milliseconds;

public:
    using Form::Form;

    // push
    answer<uuid> push(const new_job& job) { return this->make(detail::describe::push(job)); }
    // in the order of jobs; at most 100,000
    answer<std::vector<chancy::pushed>> push_many(std::span<const new_job> jobs) { return this->make(detail::describe::push_many(jobs)); }
    // push_many at the commit, whatever chancy.push_mode says: the ids, in the order of jobs. Those of jobs with a key are
    // reserved: pushed() tells what became of them.
    answer<std::vector<uuid>> push_at_commit(std::span<const new_job> jobs) { return this->make(detail::describe::push_at_commit(jobs)); }
    // What the last commit on this very connection made of its reserved ids. A connection that was lost and made anew
    // knows nothing of it, and a transaction pooler's is anybody's.
    [[nodiscard]] answer<std::vector<settled>> pushed() { return this->make(detail::describe::pushed()); }
    // Makes the buffered writes of this transaction now; error 40001 where that would wait while it holds locks.
    answer<void> flush() { return this->make(detail::describe::flush()); }

    // fetch: the jobs are running now, taken by this worker, highest priority first
    [[nodiscard]] answer<std::vector<job>> fetch_jobs(name queue, name worker_id, int up_to = 1) {
        return this->make(detail::describe::fetch_jobs(queue, worker_id, up_to));
    }
    [[nodiscard]] answer<std::vector<job>> running_jobs(name worker_id) { return this->make(detail::describe::running_jobs(worker_id)); }

    // update; answers in the order of updates
    answer<std::vector<applied>> apply_updates(name worker_id, std::span<const update> updates, on_locked locked = on_locked::wait) {
        return this->make(detail::describe::apply_updates(worker_id, updates, locked));
    }
    // As 'wait', but waits at most so long for a lock: then error 55P03. For updates told as "locked" for long.
    answer<std::vector<applied>> apply_updates(name worker_id, std::span<const update> updates, milliseconds lock_timeout) {
        return this->make(detail::describe::apply_updates(worker_id, updates, lock_timeout));
    }
    // Apply, then fetch: one round trip, one commit. up_to 0 only applies.
    [[nodiscard]] answer<exchanged> exchange(name worker_id, std::span<const update> updates, name queue, int up_to,
                                             on_locked locked = on_locked::skip) {
        return this->make(detail::describe::exchange(worker_id, updates, queue, up_to, locked));
    }

    // progress, fenced as a result is; answers in the order of reports. Never waits: a busy one is told as "locked".
    answer<std::vector<applied>> report_progress(name worker_id, std::span<const progress_report> reports) {
        return this->make(detail::describe::report_progress(worker_id, reports));
    }
    [[nodiscard]] answer<std::optional<reported_progress>> get_progress(const uuid& id) { return this->make(detail::describe::get_progress(id)); }
    // of a job that this worker is running; absent: none was saved
    [[nodiscard]] answer<std::optional<json>> get_checkpoint(name worker_id, const uuid& id) {
        return this->make(detail::describe::get_checkpoint(worker_id, id));
    }

    // cancel a live job: it fails at once, its key is free, a running handler is asked to stop
    answer<bool> cancel_job(const uuid& id) { return this->make(detail::describe::cancel_job(id)); }  // false: missing or finished
    answer<std::vector<bool>> cancel_jobs(ids of) { return this->make(detail::describe::cancel_jobs(of)); }  // in the order of ids
    // retry a finished job: pending again, attempts 0, with other kwargs if given; false: missing, unfinished, or its key is live again
    answer<bool> retry_job(const uuid& id, const std::optional<json>& kwargs = {}) { return this->make(detail::describe::retry_job(id, kwargs)); }
    // push a finished job anew, with what is given changed; the old one stays as it was. Absent: missing or unfinished
    answer<std::optional<chancy::pushed>> copy_job(const uuid& id, const job_changes& changed = {}) { return this->make(detail::describe::copy_job(id, changed)); }

    // look
    [[nodiscard]] answer<std::optional<job>> get_job(const uuid& id) { return this->make(detail::describe::get_job(id)); }
    // in the order of ids, missing left out
    [[nodiscard]] answer<std::vector<job>> get_jobs(ids of) { return this->make(detail::describe::get_jobs(of)); }
    [[nodiscard]] answer<std::optional<job>> get_live_job(name unique_key) { return this->make(detail::describe::get_live_job(unique_key)); }
    // newest first
    [[nodiscard]] answer<std::vector<job>> list_jobs(const job_filter& filter = {}) { return this->make(detail::describe::list_jobs(filter)); }
    [[nodiscard]] answer<std::vector<queue>> list_queues() { return this->make(detail::describe::list_queues()); }
    [[nodiscard]] answer<std::vector<worker_row>> list_workers() { return this->make(detail::describe::list_workers()); }

    // queue
    // without upsert an existing row stays as it is
    answer<queue> declare_queue(const queue& wanted, bool upsert = false) { return this->make(detail::describe::declare_queue(wanted, upsert)); }
    // false: no such queue
    answer<bool> pause_queue(name queue, std::optional<timestamp> resume_at = {}) { return this->make(detail::describe::pause_queue(queue, resume_at)); }
    answer<bool> resume_queue(name queue) { return this->make(detail::describe::resume_queue(queue)); }
    // error 55006 while one of its jobs runs
    answer<bool> delete_queue(name queue, bool purge_jobs = true) { return this->make(detail::describe::delete_queue(queue, purge_jobs)); }

    // worker
    answer<timestamp> heartbeat(name worker_id, const std::vector<std::string>& tags, const std::vector<std::string>& queues,
                                milliseconds timeout = std::chrono::seconds(90)) {  // expires at
        return this->make(detail::describe::heartbeat(worker_id, tags, queues, timeout));
    }
    answer<bool> retire_worker(name worker_id) { return this->make(detail::describe::retire_worker(worker_id)); }

    // maintenance: maintain, recover_jobs, prune_jobs and reprioritize never wait for another transaction
    // the tasks that were due, and that nobody else was running
    answer<std::vector<task_run>> maintain() { return this->make(detail::describe::maintain()); }
    // Running jobs of expired workers are pending again; those recovered max_recoveries times fail.
    answer<recovered_jobs> recover_jobs(int max_recoveries = 3, milliseconds grace = std::chrono::seconds(90), int up_to = 1000) {
        return this->make(detail::describe::recover_jobs(max_recoveries, grace, up_to));
    }
    // Deletes finished jobs that match the rule, such as {{"age", "30 days"}}; how many. Call again while it is up_to.
    answer<int> prune_jobs(const json& rule, int up_to = 10'000) { return this->make(detail::describe::prune_jobs(rule, up_to)); }
    // Raises jobs that have been due, and not been raised, for how.every; how many.
    answer<int> reprioritize(const raise_options& how) { return this->make(detail::describe::reprioritize(how)); }
    // How long until the next task is due, 0 if one is; nothing: none will be. For whoever calls maintain() alone.
    [[nodiscard]] answer<std::optional<milliseconds>> next_maintenance() { return this->make(detail::describe::next_maintenance()); }
    [[nodiscard]] answer<std::vector<task>> list_tasks() { return this->make(detail::describe::list_tasks()); }
    answer<void> set_task(name task, const task_change& change) { return this->make(detail::describe::set_task(task, change)); }
    answer<bool> reset_task(name task) { return this->make(detail::describe::reset_task(task)); }  // false: nothing was set

    // leadership, for Python's plugins: true while this worker leads. Renew well before ttl (1 s to 1 day) is over.
    answer<bool> acquire_leadership(name worker_id, milliseconds ttl) { return this->make(detail::describe::acquire_leadership(worker_id, ttl)); }
    answer<bool> release_leadership(name worker_id) { return this->make(detail::describe::release_leadership(worker_id)); }

    // workflow: see workflow.hpp
    answer<uuid> push_workflow(const workflow& w) { return this->make(detail::describe::push_workflow(w)); }
    // Jobs, and then_push once all of them have ended, however they ended. The id is that of a workflow.
    answer<uuid> push_group(name of, std::span<const new_job> jobs, const new_job& then_push) {
        return this->make(detail::describe::push_group(of, jobs, then_push));
    }
    // Only the steps of the second: to a workflow that runs, from one of its steps in the transaction of its result, say.
    answer<void> add_steps(const uuid& id, const workflow& steps) { return this->make(detail::describe::add_steps(id, steps)); }
    answer<bool> cancel_workflow(const uuid& id) { return this->make(detail::describe::cancel_workflow(id)); }  // false: missing or finished
    // Runs on from the failed steps; false: missing, not failed, or compensated.
    answer<bool> retry_workflow(const uuid& id) { return this->make(detail::describe::retry_workflow(id)); }
    [[nodiscard]] answer<std::optional<workflow_row>> get_workflow(const uuid& id) { return this->make(detail::describe::get_workflow(id)); }
    // newest first, without the count of steps
    [[nodiscard]] answer<std::vector<workflow_row>> list_workflows(const std::optional<std::string>& state = {}, int up_to = 100) {
        return this->make(detail::describe::list_workflows(state, up_to));
    }
    // dependencies first
    [[nodiscard]] answer<std::vector<step_row>> get_workflow_steps(const uuid& id) { return this->make(detail::describe::get_workflow_steps(id)); }
    // What the steps returned that the step of this job waited for; for its handler.
    [[nodiscard]] answer<std::vector<step_result>> step_results(const uuid& job_id) { return this->make(detail::describe::step_results(job_id)); }
    // For Graphviz, for Mermaid; absent when there is no such workflow.
    [[nodiscard]] answer<std::optional<std::string>> workflow_dot(const uuid& id) { return this->make(detail::describe::workflow_dot(id)); }
    [[nodiscard]] answer<std::optional<std::string>> workflow_mermaid(const uuid& id) { return this->make(detail::describe::workflow_mermaid(id)); }
    // Pushes what results had to leave, and takes on what Python pushed; maintain() does it, too. How many were seen to.
    answer<int> advance_workflows(int up_to = 1000) { return this->make(detail::describe::advance_workflows(up_to)); }
    // Deletes workflows that finished longer ago, not their jobs; how many.
    answer<int> prune_workflows(milliseconds age, int up_to = 1000) { return this->make(detail::describe::prune_workflows(age, up_to)); }

    // metrics
    // every queue, by name
    [[nodiscard]] answer<std::vector<chancy::queue_stats>> queue_stats() { return this->make(detail::describe::queue_stats()); }
    // the history: by key, newest first
    [[nodiscard]] answer<std::vector<metric_point>> metric_points(const metric_filter& filter = {}) {
        return this->make(detail::describe::metric_points(filter));
    }
    // Values of your own; they show when maintain() has folded them, within a minute. How many.
    answer<int> record_metrics(std::span<const metric> metrics) { return this->make(detail::describe::record_metrics(metrics)); }

    // what is wrong and what to do; transactions, and tasks that are due, are no matter for as long
    [[nodiscard]] answer<installation> check_installation(milliseconds longer_than = std::chrono::minutes(10)) {
        return this->make(detail::describe::check_installation(longer_than));
    }

    // cron. The next tick; absent if paused. Makes the schedule or replaces it
    answer<std::optional<timestamp>> schedule_cron(const new_cron& wanted) { return this->make(detail::describe::schedule_cron(wanted)); }
    // false: no such schedule
    answer<bool> unschedule_cron(name key) { return this->make(detail::describe::unschedule_cron(key)); }
    answer<bool> pause_cron(name key) { return this->make(detail::describe::pause_cron(key)); }
    answer<bool> resume_cron(name key) { return this->make(detail::describe::resume_cron(key)); }
    // Its job now, whatever its ticks; absent: no such schedule
    answer<std::optional<uuid>> push_cron(name key) { return this->make(detail::describe::push_cron(key)); }
    [[nodiscard]] answer<std::vector<cron_row>> list_cron() { return this->make(detail::describe::list_cron()); }  // by key
    // Pushes what is due, as maintain() does; never waits
    answer<std::vector<cron_tick>> run_cron(int up_to = 1000) { return this->make(detail::describe::run_cron(up_to)); }
    // What an expression means: its next n ticks, 1 to 10,000, after now unless told
    [[nodiscard]] answer<std::vector<next_run>> next_runs(name expression, name time_zone = "UTC", int n = 5, std::optional<timestamp> after = {},
                                                          name skipped_times = "as_cron", name repeated_times = "as_cron") {
        return this->make(detail::describe::next_runs(expression, time_zone, n, after, skipped_times, repeated_times));
    }

    // SQL jobs: see sql_job.hpp. Pushed at once, and with the transaction; cancel_job, retry_job and get_job are as for any job
    answer<uuid> push_sql(const new_sql_job& job) { return this->make(detail::describe::push_sql(job)); }
    // newest first; after: the last id of the page before
    [[nodiscard]] answer<std::vector<sql_job_row>> list_sql_jobs(const std::optional<uuid>& after = {}, int up_to = 100) {
        return this->make(detail::describe::list_sql_jobs(after, up_to));
    }
    // Runs what is due on this connection, one after the other, where no background worker does. For the extension's owner; error
    // 2D000 in a transaction.
    answer<void> run_sql_jobs(name queue = "sql", int up_to = 1000) { return this->make(detail::describe::run_sql_jobs(queue, up_to)); }

    // event: ask for job.finished events of these jobs (see event.hpp; wait_for_job there does it all)
    answer<void> watch_jobs(ids of, milliseconds for_time = std::chrono::seconds(60)) { return this->make(detail::describe::watch_jobs(of, for_time)); }

    // interop with Python Chancy. role: the one that Python logs in as, which gets what it needs; else the owner's
    answer<void> enable_python_interop(const std::optional<std::string>& role = {}) {
        return this->make(detail::describe::enable_python_interop(role));
    }
    answer<void> disable_python_interop() { return this->make(detail::describe::disable_python_interop()); }
    [[nodiscard]] answer<python_interop> interop_status() { return this->make(detail::describe::interop_status()); }
    // Takes over an installation of Python Chancy 0.25: all but its finished jobs, which adopt_history copies in batches,
    // until done. adopt and give_back never wait for its tables: error 55P03 while somebody uses them.
    answer<std::vector<adopted>> adopt(name schema, name prefix = "chancy_") { return this->make(detail::describe::adopt(schema, prefix)); }
    answer<adopted_history> adopt_history(name schema, name prefix = "chancy_", int up_to = 10'000) {
        return this->make(detail::describe::adopt_history(schema, prefix, up_to));
    }
    // the way back
    answer<std::vector<adopted>> give_back(name schema, name prefix = "chancy_") { return this->make(detail::describe::give_back(schema, prefix)); }
};

class calls : public calls_of<detail::blocking> {};

}  // namespace chancy
