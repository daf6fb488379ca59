#include <chancy/calls.hpp>

#include "statement.hpp"

#include <algorithm>

namespace chancy {

void to_json(json& out, const reported_progress& in) {
    const auto maybe = [](const auto& value) { return value ? json(*value) : json(); };
    out = {{"percent", maybe(in.percent)},
           {"message", maybe(in.message)},
           {"checkpoint", maybe(in.checkpoint)},
           {"started_at", to_string(in.started_at)},
           {"reported_at", to_string(in.reported_at)}};
}

}  // namespace chancy

namespace chancy::detail::describe {
namespace {

std::string batch(std::span<const progress_report> reports) {
    std::string out = "[";
    const auto add = [&](const char* key, const std::string& value) { ((((out += ",\"") += key) += "\":") += value); };
    for (const progress_report& r : reports) {
        if (out.size() > 1) out += ',';
        out += R"({"id":")" + r.id.to_string() + '"';
        add("started_at", '"' + to_string(r.started_at) + '"');
        if (r.told.percent) add("percent", json(*r.told.percent).dump());
        if (r.told.message) add("message", dump(*r.told.message));
        if (r.told.checkpoint) add("checkpoint", dump(*r.told.checkpoint));
        out += '}';
    }
    return out + ']';
}

}  // namespace

call<std::vector<applied>> report_progress(const std::string& worker_id, std::span<const progress_report> reports) {
    return {{"report_progress", "SELECT * FROM chancy.report_progress($1::text, $2::jsonb) ORDER BY ord", {worker_id, batch(reports)}, repeat::safe},
            [](const result& rows) {
                const int id = rows.column("id"), ok = rows.column("applied"), reason = rows.column("reason");
                std::vector<applied> out;
                for (int row = 0; row < rows.rows(); ++row)
                    out.push_back({.id = rows.id(row, id), .state = {}, .ok = rows.boolean(row, ok),
                                   .reason = rows.null(row, reason) ? "" : rows.text(row, reason)});
                return out;
            }};
}

call<std::optional<reported_progress>> get_progress(const uuid& id) {
    return {{"get_progress", "SELECT job_id, started_at, percent::text, message, checkpoint, reported_at FROM chancy.get_progress($1::uuid)", {id.to_string()}},
            [](const result& rows) {
                constexpr int job_id = 0, started_at = 1, percent = 2, message = 3, checkpoint = 4, reported_at = 5;
                std::optional<reported_progress> out;
                if (rows.rows() == 0 || rows.null(0, job_id)) return out;
                out.emplace();
                if (!rows.null(0, percent)) out->percent = json::parse(rows.text(0, percent)).get<double>();
                if (!rows.null(0, message)) out->message = rows.text(0, message);
                if (!rows.null(0, checkpoint)) out->checkpoint = rows.document(0, checkpoint);
                out->started_at = rows.time(0, started_at);
                out->reported_at = rows.time(0, reported_at);
                return out;
            }};
}

call<std::optional<json>> get_checkpoint(const std::string& worker_id, const uuid& id) {
    return {{"get_checkpoint", "SELECT chancy.get_checkpoint($1::text, $2::uuid)", {worker_id, id.to_string()}},
            [](const result& rows) { return rows.null(0, 0) ? std::nullopt : std::optional<json>(std::in_place, rows.document(0, 0)); }};
}

}  // namespace chancy::detail::describe
