#include <chancy/calls.hpp>
#include <chancy/error.hpp>

#include "binary.hpp"
#include "statement.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace chancy::detail {

std::string object(const new_job& job) {
    std::string out = R"({"func":)" + dump(job.func);
    const auto add = [&](const char* key, const std::string& value) { ((((out += ",\"") += key) += "\":") += value); };
    static const new_job defaults;  // what equals the default need not travel
    if (job.kwargs != defaults.kwargs) add("kwargs", dump(job.kwargs));
    if (job.queue != defaults.queue) add("queue", dump(job.queue));
    if (job.priority != 0) add("priority", std::to_string(job.priority));
    if (job.max_attempts != 1) add("max_attempts", std::to_string(job.max_attempts));
    if (job.scheduled_at) add("scheduled_at", '"' + to_string(*job.scheduled_at) + '"');
    if (job.unique_key) add("unique_key", dump(*job.unique_key));
    if (job.limits != defaults.limits) add("limits", dump(job.limits));
    if (job.meta != defaults.meta) add("meta", dump(job.meta));
    if (job.on_conflict != defaults.on_conflict) add("on_conflict", dump(job.on_conflict));
    if (job.unique_for) add("unique_for", '"' + seconds(*job.unique_for) + " s\"");
    if (job.concurrency_key) add("concurrency_key", dump(*job.concurrency_key));
    return out + '}';
}

namespace describe {
namespace {

std::string array(std::span<const new_job> jobs) {
    std::string batch = "[";
    for (const new_job& job : jobs) {
        if (batch.size() > 1) batch += ',';
        batch += object(job);
    }
    return batch + ']';
}

std::string binary_value(int number) { return binary(number); }
template <typename T>
std::string binary_value(const std::optional<T>& given) { return binary(*given); }

// NULL when nobody has any.
parameter all_kwargs(std::span<const new_job> jobs) {
    std::string all = "\1[";
    bool any = false;
    for (const new_job& job : jobs) {
        if (all.size() > 2) all += ',';
        any = any || !job.kwargs.empty();
        all += job.kwargs.empty() && job.kwargs.is_object() ? "null" : dump(job.kwargs);
    }
    return any ? parameter(all + ']') : std::nullopt;
}

// With their keys live, jobs that are pushed again meet themselves; reject would take that for somebody else.
repeat again(std::span<const new_job> jobs) {
    const auto meets_itself = [](const new_job& job) { return job.unique_key && job.on_conflict != "reject"; };
    return std::ranges::all_of(jobs, meets_itself) ? repeat::safe : repeat::never;
}

}  // namespace

call<uuid> push(const new_job& job) {
    const auto when = job.scheduled_at ? parameter(to_string(*job.scheduled_at)) : std::nullopt;
    return {{"push",
             "SELECT chancy.push($1::text, $2::jsonb, $3::text, $4::int, $5::int, coalesce($6::timestamptz, now()), "
             "$7::text, $8::jsonb, $9::jsonb, $10::text, $11::text, make_interval(secs => $12::float8))",
             {job.func, dump(job.kwargs), job.queue, std::to_string(job.priority), std::to_string(job.max_attempts),
              when, job.unique_key, dump(job.limits), dump(job.meta), job.on_conflict, job.concurrency_key,
              job.unique_for ? parameter(seconds(*job.unique_for)) : std::nullopt},
             again({&job, 1})},
            [](const result& rows) { return rows.id(0, 0); }};
}

call<std::vector<chancy::pushed>> push_many(std::span<const new_job> jobs) {
    static const new_job defaults;  // what equals the default need not travel
    const auto texts = [&](auto member, bool whole = false) {
        return binary_array(element::text, jobs.size(), [&](std::size_t i) -> parameter { return jobs[i].*member; }, whole);
    };
    const auto documents = [&](auto member) {
        return binary_array(element::jsonb, jobs.size(),
                            [&](std::size_t i) { return jobs[i].*member == defaults.*member ? std::nullopt : parameter(binary_json(jobs[i].*member)); });
    };
    const auto others = [&](element type, auto member) {
        return binary_array(type, jobs.size(), [&](std::size_t i) {
            return jobs[i].*member == defaults.*member ? std::nullopt : parameter(binary_value(jobs[i].*member));
        });
    };
    const parameter kwargs = all_kwargs(jobs), keys = texts(&new_job::unique_key);
    const bool counted = kwargs || is_whole(keys);  // one array has to tell how many jobs there are
    return {{"push_many",
             "SELECT ids, created FROM chancy.push_arrays($1::text[], $2::jsonb, $3::text[], $4::int[], $5::int[], $6::timestamptz[], "
             "$7::text[], $8::jsonb[], $9::jsonb[], $10::text[], $11::text[], $12::interval[])",
             {texts(&new_job::func, !counted), kwargs, texts(&new_job::queue), others(element::integer, &new_job::priority),
              others(element::integer, &new_job::max_attempts), others(element::timestamptz, &new_job::scheduled_at), keys,
              documents(&new_job::limits), documents(&new_job::meta), texts(&new_job::on_conflict), texts(&new_job::concurrency_key),
              others(element::interval, &new_job::unique_for)},
             again(jobs), true},
            [](const result& rows) {
                const std::vector<std::string> ids = rows.texts(0, 0), created = rows.texts(0, 1);
                std::vector<chancy::pushed> out;
                out.reserve(ids.size());
                for (std::size_t i = 0; i < ids.size(); ++i) {
                    std::array<std::uint8_t, 16> raw;
                    std::memcpy(raw.data(), ids[i].data(), raw.size());
                    out.push_back({uuid(raw), created[i].empty() ? std::nullopt : std::optional(created[i][0] != 0)});
                }
                return out;
            }};
}

call<std::vector<uuid>> push_at_commit(std::span<const new_job> jobs) {
    return {{"push_at_commit", "SELECT id FROM chancy.push_at_commit($1::jsonb) ORDER BY ord", {array(jobs)}, again(jobs)},
            [](const result& rows) {
                std::vector<uuid> out;
                out.reserve(static_cast<std::size_t>(rows.rows()));
                for (int row = 0; row < rows.rows(); ++row) out.push_back(rows.id(row, 0));
                return out;
            }};
}

call<std::vector<settled>> pushed() {
    return {{"pushed", "SELECT reserved, id, created FROM chancy.pushed() ORDER BY ord"}, [](const result& rows) {
                std::vector<settled> out;
                for (int row = 0; row < rows.rows(); ++row)
                    out.push_back({rows.id(row, 0), rows.null(row, 1) ? std::nullopt : std::optional(rows.id(row, 1)),
                                   rows.null(row, 2) ? std::nullopt : std::optional(rows.boolean(row, 2))});
                return out;
            }};
}

call<void> flush() { return {{"flush", "SELECT chancy.flush()", {}, repeat::safe}, read_nothing}; }

}  // namespace describe

}  // namespace chancy::detail
