#include <chancy/calls.hpp>

#include "statement.hpp"

namespace chancy {
namespace detail::describe {
namespace {

std::optional<timestamp> time_or_none(const result& rows, int row, int column) {
    return rows.null(row, column) ? std::nullopt : std::optional(rows.time(row, column));
}

call<bool> by_key(const char* function, const char* sql, const std::string& key) {
    return {{function, sql, {key}, repeat::safe}, [](const result& rows) { return rows.boolean(0, 0); }};
}

std::string job_of(const new_cron& wanted) {
    if (!wanted.sql) return object(wanted.job);
    json out = json::parse(object(*wanted.sql));
    const json job = json::parse(object(wanted.job));
    for (const char* key : {"unique_key", "unique_for", "concurrency_key", "meta"})
        if (job.contains(key)) out[key] = job[key];
    return dump(out);
}

const char* yes_no(bool value) { return value ? "true" : "false"; }

}  // namespace

call<std::optional<timestamp>> schedule_cron(const new_cron& wanted) {
    return {{"schedule_cron",
             "SELECT chancy.schedule_cron($1::text, $2::text, $3::jsonb, $4::text, $5::text, make_interval(secs => $6::float8), $7::text, "
             "$8::text, $9::boolean, $10::boolean)",
             {wanted.key, wanted.expression, job_of(wanted), wanted.time_zone, wanted.missed, seconds(wanted.grace), wanted.skipped_times,
              wanted.repeated_times, yes_no(wanted.overlap), yes_no(wanted.paused)},
             repeat::safe},
            [](const result& rows) { return time_or_none(rows, 0, 0); }};
}

call<bool> unschedule_cron(const std::string& key) { return by_key("unschedule_cron", "SELECT chancy.unschedule_cron($1::text)", key); }
call<bool> pause_cron(const std::string& key) { return by_key("pause_cron", "SELECT chancy.pause_cron($1::text)", key); }
call<bool> resume_cron(const std::string& key) { return by_key("resume_cron", "SELECT chancy.resume_cron($1::text)", key); }

call<std::optional<uuid>> push_cron(const std::string& key) {
    return {{"push_cron", "SELECT chancy.push_cron($1::text)", {key}, repeat::never},
            [](const result& rows) { return rows.null(0, 0) ? std::nullopt : std::optional(rows.id(0, 0)); }};
}

call<std::vector<cron_row>> list_cron() {
    return {{"list_cron",
             "SELECT key, expression, time_zone, job, missed, (extract(epoch FROM grace) * 1000)::int, skipped_times, repeated_times, overlap, "
             "paused, last_run, next_run, for_python FROM chancy.list_cron() ORDER BY key"},
            [](const result& rows) {
                std::vector<cron_row> out;
                for (int row = 0; row < rows.rows(); ++row)
                    out.push_back({rows.text(row, 0), rows.text(row, 1), rows.text(row, 2), rows.document(row, 3), rows.text(row, 4),
                                   std::chrono::milliseconds(rows.integer(row, 5)), rows.text(row, 6), rows.text(row, 7), rows.boolean(row, 8),
                                   rows.boolean(row, 9), time_or_none(rows, row, 10), time_or_none(rows, row, 11), rows.boolean(row, 12)});
                return out;
            }};
}

call<std::vector<cron_tick>> run_cron(int up_to) {
    return {{"run_cron", "SELECT key, tick, id, created FROM chancy.run_cron($1::int)", {std::to_string(up_to)}, repeat::safe},
            [](const result& rows) {
                std::vector<cron_tick> out;
                for (int row = 0; row < rows.rows(); ++row)
                    out.push_back({rows.text(row, 0), rows.time(row, 1), rows.id(row, 2), rows.boolean(row, 3)});
                return out;
            }};
}

call<std::vector<next_run>> next_runs(const std::string& expression, const std::string& time_zone, int n, std::optional<timestamp> after,
                                      const std::string& skipped_times, const std::string& repeated_times) {
    return {{"next_runs",
             "SELECT tick, local_time::text FROM chancy.next_runs($1::text, $2::text, $3::int, coalesce($4::timestamptz, now()), $5::text, "
             "$6::text)",
             {expression, time_zone, std::to_string(n), after ? parameter(to_string(*after)) : std::nullopt, skipped_times, repeated_times}},
            [](const result& rows) {
                std::vector<next_run> out;
                for (int row = 0; row < rows.rows(); ++row) out.push_back({rows.time(row, 0), rows.text(row, 1)});
                return out;
            }};
}

}  // namespace detail::describe

namespace {
json nullable(const std::optional<timestamp>& when) { return when ? json(to_string(*when)) : json(nullptr); }
}  // namespace

void to_json(json& out, const cron_row& in) {
    out = {{"key", in.key},
           {"expression", in.expression},
           {"time_zone", in.time_zone},
           {"job", in.job},
           {"missed", in.missed},
           {"grace", static_cast<double>(in.grace.count()) / 1000},
           {"skipped_times", in.skipped_times},
           {"repeated_times", in.repeated_times},
           {"overlap", in.overlap},
           {"paused", in.paused},
           {"last_run", nullable(in.last_run)},
           {"next_run", nullable(in.next_run)},
           {"for_python", in.for_python}};
}

void to_json(json& out, const cron_tick& in) {
    out = {{"key", in.key}, {"tick", to_string(in.tick)}, {"id", in.id.to_string()}, {"created", in.created}};
}

void to_json(json& out, const next_run& in) { out = {{"tick", to_string(in.tick)}, {"local_time", in.local_time}}; }

}  // namespace chancy
