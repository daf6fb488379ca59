#include <chancy/calls.hpp>

#include "statement.hpp"

namespace chancy {
namespace detail::describe {

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

}  // namespace detail::describe

void to_json(json& out, const task_run& in) { out = {{"task", in.task}, {"did", in.did}}; }
void to_json(json& out, const recovered_jobs& in) { out = {{"recovered", in.recovered}, {"failed", in.failed}}; }

}  // namespace chancy
