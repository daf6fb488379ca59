#include <chancy/calls.hpp>

#include "statement.hpp"

namespace chancy {
namespace detail {

std::string object(const new_sql_job& job) {
    json out = {{"function", job.function}, {"args", job.args}, {"queue", job.queue}, {"priority", job.priority}, {"max_attempts", job.max_attempts},
                {"timeout", seconds(job.timeout) + " s"}};
    if (job.scheduled_at) out["scheduled_at"] = to_string(*job.scheduled_at);
    if (job.every) out["every"] = seconds(*job.every) + " s";
    return dump(out);
}

namespace describe {
namespace {

std::chrono::milliseconds span(const result& rows, int row, int column) { return std::chrono::milliseconds(std::stoll(rows.text(row, column))); }

sql_job_row read_row(const result& rows, int row) {
    constexpr int id = 0, role = 1, function = 2, args = 3, queue = 4, state = 5, scheduled_at = 6, started_at = 7, completed_at = 8, timeout = 9, every = 10,
                  value = 11, error = 12;
    sql_job_row out{.id = rows.id(row, id), .role = rows.text(row, role), .function = rows.text(row, function), .args = rows.document(row, args),
                    .queue = rows.text(row, queue), .state = read_state(rows.bytes(row, state)), .scheduled_at = rows.time(row, scheduled_at),
                    .started_at = {}, .completed_at = {}, .timeout = span(rows, row, timeout), .every = {}, .result = {}, .error = {}};
    if (!rows.null(row, started_at)) out.started_at = rows.time(row, started_at);
    if (!rows.null(row, completed_at)) out.completed_at = rows.time(row, completed_at);
    if (!rows.null(row, every)) out.every = span(rows, row, every);
    if (!rows.null(row, value)) out.result.emplace(rows.document(row, value));
    if (!rows.null(row, error)) out.error = rows.text(row, error);
    return out;
}

}  // namespace

call<uuid> push_sql(const new_sql_job& job) {
    return {{"push_sql",
             "SELECT chancy.push_sql($1::regprocedure, $2::jsonb, $3::text, $4::int, $5::int, coalesce($6::timestamptz, now()), "
             "make_interval(secs => $7::float8), make_interval(secs => $8::float8))",
             {job.function, dump(job.args), job.queue, std::to_string(job.priority), std::to_string(job.max_attempts),
              job.scheduled_at ? parameter(to_string(*job.scheduled_at)) : std::nullopt, seconds(job.timeout),
              job.every ? parameter(seconds(*job.every)) : std::nullopt},
             repeat::never},
            [](const result& rows) { return rows.id(0, 0); }};
}

call<std::vector<sql_job_row>> list_sql_jobs(const std::optional<uuid>& after, int up_to) {
    return {{"list_sql_jobs",
             "SELECT id, role::text, function::text, args, queue, state, scheduled_at, started_at, completed_at, (extract(epoch FROM timeout) * 1000)::bigint::text, "
             "(extract(epoch FROM every) * 1000)::bigint::text, result, error FROM chancy.list_sql_jobs($1::uuid, $2::int)",
             {after ? parameter(after->to_string()) : std::nullopt, std::to_string(up_to)}},
            [](const result& rows) {
                std::vector<sql_job_row> out;
                for (int row = 0; row < rows.rows(); ++row) out.push_back(read_row(rows, row));
                return out;
            }};
}

call<void> run_sql_jobs(const std::string& queue, int up_to) {
    return {{"run_sql_jobs", "CALL chancy.run_sql_jobs($1::text, $2::int)", {queue, std::to_string(up_to)}, repeat::never}, read_nothing};
}

}  // namespace describe
}  // namespace detail

void to_json(json& out, const sql_job_row& in) {
    const auto maybe = [](const auto& value) { return value ? json(*value) : json(); };
    const auto time = [](const std::optional<timestamp>& value) { return value ? json(to_string(*value)) : json(); };
    const auto span = [](std::chrono::milliseconds value) { return static_cast<double>(value.count()) / 1000; };
    out = {{"id", in.id.to_string()},
           {"role", in.role},
           {"function", in.function},
           {"args", in.args},
           {"queue", in.queue},
           {"state", to_string(in.state)},
           {"scheduled_at", to_string(in.scheduled_at)},
           {"started_at", time(in.started_at)},
           {"completed_at", time(in.completed_at)},
           {"timeout", span(in.timeout)},
           {"every", in.every ? json(span(*in.every)) : json()},
           {"result", maybe(in.result)},
           {"error", maybe(in.error)}};
}

}  // namespace chancy
