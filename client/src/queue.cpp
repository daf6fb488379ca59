#include <chancy/calls.hpp>

#include "statement.hpp"

namespace chancy::detail::describe {
namespace {

std::vector<queue> read_queues(const result& r) {
    const int name = r.column("name"), state = r.column("state"), concurrency = r.column("concurrency"), tags = r.column("tags"),
              executor = r.column("executor"), options = r.column("executor_options"), polling = r.column("polling_interval"),
              created = r.column("created_at"), limit = r.column("rate_limit"), window = r.column("rate_limit_window"),
              resume = r.column("resume_at"), eager = r.column("eager_polling"), most = r.column("max_running"),
              most_of_key = r.column("max_running_per_key"), burst = r.column("rate_limit_burst");
    std::vector<queue> out;
    for (int row = 0; row < r.rows(); ++row) {
        const auto integer = [&](int c) { return r.null(row, c) ? std::nullopt : std::optional(r.integer(row, c)); };
        const auto time = [&](int c) { return r.null(row, c) ? std::nullopt : std::optional(r.time(row, c)); };
        queue q;
        q.name = r.text(row, name);
        q.state = r.text(row, state);
        q.concurrency = integer(concurrency);
        q.tags = r.texts(row, tags);
        q.executor = r.text(row, executor);
        q.executor_options = r.document(row, options);
        q.polling_interval = integer(polling).value_or(q.polling_interval);
        q.created_at = time(created);
        q.rate_limit = integer(limit);
        q.rate_limit_window = integer(window);
        q.resume_at = time(resume);
        q.eager_polling = !r.null(row, eager) && r.boolean(row, eager);
        q.max_running = integer(most);
        q.max_running_per_key = integer(most_of_key);
        q.rate_limit_burst = integer(burst);
        out.push_back(std::move(q));
    }
    return out;
}

parameter truth(bool value) { return value ? "true" : "false"; }

}  // namespace

call<std::vector<queue>> list_queues() { return {{"list_queues", "SELECT * FROM chancy.list_queues()"}, read_queues}; }

call<queue> declare_queue(const queue& q, bool upsert) {
    return {{"declare_queue",
             "SELECT * FROM chancy.declare_queue($1::text, $2::text, $3::int, $4::text[], $5::text, $6::jsonb, "
             "$7::int, $8::int, $9::int, $10::timestamptz, $11::boolean, $12::boolean, $13::int, $14::int, $15::int)",
             {q.name, q.state, whole(q.concurrency), array(q.tags), q.executor, dump(q.executor_options),
              std::to_string(q.polling_interval), whole(q.rate_limit), whole(q.rate_limit_window),
              instant(q.resume_at), truth(q.eager_polling), truth(upsert), whole(q.max_running),
              whole(q.max_running_per_key), whole(q.rate_limit_burst)},
             repeat::safe},
            [](const result& row) { return read_queues(row).at(0); }};
}

call<bool> pause_queue(const std::string& name, std::optional<timestamp> resume_at) {
    return {{"pause_queue", "SELECT chancy.pause_queue($1::text, $2::timestamptz)", {name, instant(resume_at)}, repeat::safe}, read_verdict};
}

call<bool> resume_queue(const std::string& name) {
    return {{"resume_queue", "SELECT chancy.resume_queue($1::text)", {name}, repeat::safe}, read_verdict};
}

call<bool> delete_queue(const std::string& name, bool purge_jobs) {
    return {{"delete_queue", "SELECT chancy.delete_queue($1::text, $2::boolean)", {name, truth(purge_jobs)}, repeat::never}, read_verdict};
}

call<std::vector<worker_row>> list_workers() {
    return {{"list_workers", "SELECT worker_id, tags, queues, last_seen, expires_at FROM chancy.list_workers()"}, [](const result& r) {
                std::vector<worker_row> out;
                for (int row = 0; row < r.rows(); ++row)
                    out.push_back({r.text(row, 0), r.texts(row, 1), r.texts(row, 2), r.time(row, 3), r.time(row, 4)});
                return out;
            }};
}

call<timestamp> heartbeat(const std::string& worker_id, const std::vector<std::string>& tags,
                          const std::vector<std::string>& queues, std::chrono::milliseconds timeout) {
    return {{"heartbeat", "SELECT chancy.heartbeat($1::text, $2::text[], $3::text[], make_interval(secs => $4::float8))",
             {worker_id, array(tags), array(queues), seconds(timeout)}, repeat::safe},
            [](const result& rows) { return rows.time(0, 0); }};
}

call<bool> retire_worker(const std::string& worker_id) {
    return {{"retire_worker", "SELECT chancy.retire_worker($1::text)", {worker_id}, repeat::never}, read_verdict};
}

}  // namespace chancy::detail::describe
