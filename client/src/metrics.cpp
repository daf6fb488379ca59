#include <chancy/calls.hpp>

#include "statement.hpp"

namespace chancy {
namespace {

std::optional<double> number(const json& row, const char* key) {
    const json& value = row.at(key);
    return value.is_null() ? std::nullopt : std::optional(value.get<double>());
}

template <class T>
json nullable(const std::optional<T>& value) { return value ? json(*value) : json(nullptr); }

}  // namespace

namespace detail::describe {

call<std::vector<chancy::queue_stats>> queue_stats() {
    return {{"queue_stats",
             "SELECT to_jsonb(q) FROM (SELECT s.queue, s.state, s.pending, s.retrying, s.scheduled, s.running, "
             "extract(epoch FROM s.oldest_waiting)::float8 AS oldest_waiting, s.pushed_per_second, s.finished_per_second, "
             "s.average_waiting, s.average_running, s.workers FROM chancy.queue_stats AS s ORDER BY s.queue COLLATE \"C\") AS q"},
            [](const result& rows) {
                std::vector<chancy::queue_stats> out;
                for (int row = 0; row < rows.rows(); ++row) {
                    const json q = rows.document(row, 0);
                    chancy::queue_stats s;
                    s.queue = q.at("queue");
                    if (!q.at("state").is_null()) s.state = q.at("state");
                    s.pending = q.at("pending");
                    s.retrying = q.at("retrying");
                    s.scheduled = q.at("scheduled");
                    s.running = q.at("running");
                    s.oldest_waiting = number(q, "oldest_waiting");
                    s.pushed_per_second = q.at("pushed_per_second");
                    s.finished_per_second = q.at("finished_per_second");
                    s.average_waiting = number(q, "average_waiting");
                    s.average_running = number(q, "average_running");
                    s.workers = q.at("workers");
                    out.push_back(std::move(s));
                }
                return out;
            }};
}

call<std::vector<metric_point>> metric_points(const metric_filter& filter) {
    return {{"metric_points",
             "SELECT p.at, to_jsonb(p) FROM chancy.metric_points AS p WHERE starts_with(p.metric_key::text, $1::text) "
             "AND p.resolution = $2::text AND p.at >= coalesce($3::timestamptz, '-infinity') "
             "ORDER BY p.metric_key COLLATE \"C\", p.at DESC LIMIT $4::int",
             {filter.prefix, filter.resolution, filter.since ? parameter(to_string(*filter.since)) : std::nullopt,
              std::to_string(filter.up_to)}},
            [](const result& rows) {
                std::vector<metric_point> out;
                for (int row = 0; row < rows.rows(); ++row) {
                    const json p = rows.document(row, 1);
                    out.push_back({.metric_key = p.at("metric_key"), .resolution = p.at("resolution"), .at = rows.time(row, 0),
                                   .metric_type = p.at("metric_type"), .count = p.at("count"), .value = p.at("value"),
                                   .average = number(p, "average"), .least = number(p, "least"), .most = number(p, "most")});
                }
                return out;
            }};
}

call<int> record_metrics(std::span<const metric> metrics) {
    json batch = json::array();
    for (const metric& m : metrics) batch.push_back({{"metric_key", m.metric_key}, {"value", m.value}, {"type", m.type}});
    return {{"record_metrics", "SELECT chancy.record_metrics($1::jsonb)", {dump(batch)}, repeat::never},
            [](const result& rows) { return rows.integer(0, 0); }};
}

}  // namespace detail::describe

void to_json(json& out, const queue_stats& in) {
    out = {{"queue", in.queue},
           {"state", nullable(in.state)},
           {"pending", in.pending},
           {"retrying", in.retrying},
           {"scheduled", in.scheduled},
           {"running", in.running},
           {"oldest_waiting", nullable(in.oldest_waiting)},
           {"pushed_per_second", in.pushed_per_second},
           {"finished_per_second", in.finished_per_second},
           {"average_waiting", nullable(in.average_waiting)},
           {"average_running", nullable(in.average_running)},
           {"workers", in.workers}};
}

void to_json(json& out, const metric_point& in) {
    out = {{"metric_key", in.metric_key}, {"resolution", in.resolution}, {"at", to_string(in.at)},
           {"metric_type", in.metric_type}, {"count", in.count}, {"value", in.value},
           {"average", nullable(in.average)}, {"least", nullable(in.least)}, {"most", nullable(in.most)}};
}

}  // namespace chancy
