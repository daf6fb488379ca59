#include <chancy/calls.hpp>

#include "binary.hpp"
#include "statement.hpp"

namespace chancy::detail::describe {
namespace {

std::string batch(std::span<const update> updates) {
    std::string out = "[";
    const auto add = [&](const char* key, const std::string& value) { ((((out += ",\"") += key) += "\":") += value); };
    for (const update& u : updates) {
        if (out.size() > 1) out += ',';
        out += R"({"id":")" + u.id.to_string() + '"';
        add("started_at", '"' + to_string(u.started_at) + '"');
        add("outcome", '"' + std::string(to_string(u.how)) + '"');
        if (u.error) add("error", dump(*u.error));
        if (u.retry_at) add("retry_at", '"' + to_string(*u.retry_at) + '"');
        if (u.meta) add("meta", dump(*u.meta));
        if (u.result) add("result", dump(*u.result));
        out += '}';
    }
    return out + ']';
}

const char* word(on_locked locked) { return locked == on_locked::skip ? "skip" : "wait"; }

std::vector<applied> read_applied(const result& rows) {
    const int id = rows.column("id"), state = rows.column("state"), ok = rows.column("applied"), reason = rows.column("reason");
    std::vector<applied> out;
    for (int row = 0; row < rows.rows(); ++row) {
        applied a{.id = rows.id(row, id), .state = {}, .ok = {}, .reason = {}};
        if (!rows.null(row, state)) a.state = rows.text(row, state);
        if (!rows.null(row, ok)) a.ok = rows.boolean(row, ok);
        if (!rows.null(row, reason)) a.reason = rows.text(row, reason);
        out.push_back(std::move(a));
    }
    return out;
}

}  // namespace

call<std::vector<applied>> apply_updates(const std::string& worker_id, std::span<const update> updates, on_locked locked) {
    return {{"apply_updates", "SELECT * FROM chancy.apply_updates($1::text, $2::jsonb, $3::text) ORDER BY ord",
             {worker_id, batch(updates), word(locked)}, repeat::safe}, read_applied};
}

call<std::vector<applied>> apply_updates(const std::string& worker_id, std::span<const update> updates,
                                         std::chrono::milliseconds lock_timeout) {
    // One statement, so one transaction: lock_timeout is set for it alone, and before the call, which takes
    // its third argument from there.
    return {{"apply_updates",
             "SELECT u.* FROM (SELECT set_config('lock_timeout', $3::text, true)) AS s(set), "
             "LATERAL chancy.apply_updates($1::text, $2::jsonb, "
             "CASE WHEN s.set IS NOT NULL THEN 'wait' END) AS u ORDER BY u.ord",
             {worker_id, batch(updates), std::to_string(lock_timeout.count())}, repeat::safe}, read_applied};
}

call<exchanged> exchange(const std::string& worker_id, std::span<const update> updates, const std::string& queue, int up_to,
                         on_locked locked) {
    const auto each = [&](element type, auto at) { return binary_array(type, updates.size(), at, type == element::uuid && updates.size() > 1); };
    const auto optional = [&](element type, auto member, auto convert) {
        return each(type, [&updates, member, convert](std::size_t i) { return updates[i].*member ? parameter(convert(*(updates[i].*member))) : std::nullopt; });
    };
    const auto text = [](const std::string& value) { return value; };
    return {{"exchange",
             "SELECT kind, ord, reason, passed, job_id AS id, job_queue AS queue, func, kwargs, limits, job_meta AS meta, priority, attempts, max_attempts, "
             "created_at, job_started_at AS started_at, scheduled_at, unique_key, errors, recoveries, concurrency_key, $1::text AS taken_by "
             "FROM chancy.exchange_arrays($1::text, $2::text, $3::int, $4::uuid[], $5::timestamptz[], $6::text[], $7::text[], $8::timestamptz[], "
             "$9::jsonb[], $10::jsonb[], $11::text)",
             {worker_id, queue, binary(up_to), each(element::uuid, [&](std::size_t i) { return binary(updates[i].id); }),
              each(element::timestamptz, [&](std::size_t i) { return binary(updates[i].started_at); }),
              each(element::text, [&](std::size_t i) { return std::string(to_string(updates[i].how)); }),
              optional(element::text, &update::error, text), optional(element::timestamptz, &update::retry_at, [](timestamp t) { return binary(t); }),
              optional(element::jsonb, &update::meta, binary_json), optional(element::jsonb, &update::result, binary_json), word(locked)},
             up_to == 0 ? repeat::safe : repeat::never, true},
            [](const result& rows) {
                constexpr int kind = 0, ord = 1, reason = 2, passed = 3;
                const job_reader jobs(rows);
                exchanged out;
                for (int row = 0; row < rows.rows(); ++row) {
                    const std::string_view what = rows.bytes(row, kind);
                    if (what == "job") out.jobs.push_back(jobs.read(row));
                    else if (what == "refused") out.refused.push_back({static_cast<std::size_t>(rows.integer(row, ord)) - 1, rows.text(row, reason)});
                    else if (what == "passed") out.passed = rows.integer(row, passed);
                    else if (what == "again") out.again = true;
                    else if (what == "wait") out.wait = std::chrono::milliseconds(rows.integer(row, passed));
                }
                return out;
            }};
}

}  // namespace chancy::detail::describe
