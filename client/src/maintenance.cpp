#include <chancy/calls.hpp>

#include "statement.hpp"

#include <cstdlib>

namespace chancy {
namespace detail::describe {
namespace {

std::vector<task> read_tasks(const result& r) {
    const auto time = [&](int row, int c) { return r.null(row, c) ? std::nullopt : std::optional(r.time(row, c)); };
    std::vector<task> out;
    for (int row = 0; row < r.rows(); ++row) {
        task t;
        t.name = r.text(row, 0);
        t.enabled = r.boolean(row, 1);
        t.every = std::chrono::milliseconds(std::atoll(r.text(row, 2).c_str()));
        t.settings = r.document(row, 3);
        t.last_run = time(row, 4);
        t.next_due = time(row, 5);
        if (!r.null(row, 6)) t.did = r.document(row, 6);
        if (!r.null(row, 7)) t.error = r.text(row, 7);
        t.failed_at = time(row, 8);
        out.push_back(std::move(t));
    }
    return out;
}

}  // namespace

call<std::vector<task_run>> maintain() {
    return {{"maintain", "SELECT task, did FROM chancy.maintain()", {}, repeat::safe}, [](const result& rows) {
                std::vector<task_run> out;
                for (int row = 0; row < rows.rows(); ++row)
                    out.push_back({rows.text(row, 0), rows.null(row, 1) ? json(nullptr) : rows.document(row, 1)});
                return out;
            }};
}

call<recovered_jobs> recover_jobs(int max_recoveries, std::chrono::milliseconds grace, int up_to) {
    return {{"recover_jobs", "SELECT recovered, failed FROM chancy.recover_jobs($1::int, make_interval(secs => $2::float8), $3::int)",
             {std::to_string(max_recoveries), seconds(grace), std::to_string(up_to)}, repeat::safe},
            [](const result& rows) { return recovered_jobs{.recovered = rows.integer(0, 0), .failed = rows.integer(0, 1)}; }};
}

call<int> prune_jobs(const json& rule, int up_to) {
    return {{"prune_jobs", "SELECT chancy.prune_jobs($1::jsonb, $2::int)", {dump(rule), std::to_string(up_to)}, repeat::safe},
            [](const result& rows) { return rows.integer(0, 0); }};
}

call<std::optional<std::chrono::milliseconds>> next_maintenance() {
    // As a time to wait, whatever the clock here says.
    return {{"next_maintenance",
             "SELECT CASE WHEN due IS NOT NULL THEN least(greatest(ceil(extract(epoch FROM due - clock_timestamp()) * 1000), 0), 2000000000)::int END "
             "FROM chancy.next_maintenance() AS due"},
            [](const result& row) {
                return row.null(0, 0) ? std::nullopt : std::optional(std::chrono::milliseconds(row.integer(0, 0)));
            }};
}

call<std::vector<task>> list_tasks() {
    return {{"list_tasks",
             "SELECT name, enabled, (extract(epoch FROM every) * 1000)::bigint::text, settings, last_run, next_due, did, error, failed_at "
             "FROM chancy.list_tasks()"},
            read_tasks};
}

call<void> set_task(const std::string& name, const task_change& change) {
    return {{"set_task", "SELECT chancy.set_task($1::text, make_interval(secs => $2::float8), $3::boolean, $4::jsonb)",
             {name, change.every ? parameter(seconds(*change.every)) : std::nullopt,
              change.enabled ? parameter(*change.enabled ? "true" : "false") : std::nullopt,
              change.settings ? parameter(dump(*change.settings)) : std::nullopt},
             repeat::safe},
            read_nothing};
}

call<bool> reset_task(const std::string& name) {
    return {{"reset_task", "SELECT chancy.reset_task($1::text)", {name}, repeat::never}, read_verdict};
}

call<int> reprioritize(const raise_options& how) {
    return {{"reprioritize",
             "SELECT chancy.reprioritize($1::int, $2::int, make_interval(secs => $3::float8), $4::jsonb, $5::int)",
             {std::to_string(how.ceiling), std::to_string(how.by), seconds(how.every), how.rule ? parameter(dump(*how.rule)) : std::nullopt,
              std::to_string(how.up_to)},
             repeat::safe},
            [](const result& row) { return row.integer(0, 0); }};
}

call<bool> acquire_leadership(const std::string& worker_id, std::chrono::milliseconds ttl) {
    return {{"acquire_leadership", "SELECT chancy.acquire_leadership($1::text, make_interval(secs => $2::float8))",
             {worker_id, seconds(ttl)}, repeat::safe}, read_verdict};
}

call<bool> release_leadership(const std::string& worker_id) {
    return {{"release_leadership", "SELECT chancy.release_leadership($1::text)", {worker_id}, repeat::never}, read_verdict};
}

}  // namespace detail::describe

void to_json(json& out, const task& in) {
    const auto time = [](const std::optional<timestamp>& t) { return t ? json(to_string(*t)) : json(nullptr); };
    out = {{"name", in.name},
           {"enabled", in.enabled},
           {"every", std::chrono::duration<double>(in.every).count()},
           {"settings", in.settings},
           {"last_run", time(in.last_run)},
           {"next_due", time(in.next_due)},
           {"did", in.did ? *in.did : json(nullptr)},
           {"error", in.error ? json(*in.error) : json(nullptr)},
           {"failed_at", time(in.failed_at)}};
}

void to_json(json& out, const task_run& in) { out = {{"task", in.task}, {"did", in.did}}; }
void to_json(json& out, const recovered_jobs& in) { out = {{"recovered", in.recovered}, {"failed", in.failed}}; }

}  // namespace chancy
