#include <chancy/calls.hpp>

#include "statement.hpp"

namespace chancy {

using namespace detail;

std::vector<task_run> calls::maintain() {
    const result rows = execute({"maintain", "SELECT task, did FROM chancy.maintain()", {}, repeat::safe});
    std::vector<task_run> out;
    for (int row = 0; row < rows.rows(); ++row)
        out.push_back({rows.text(row, 0), rows.null(row, 1) ? json(nullptr) : rows.document(row, 1)});
    return out;
}

recovered_jobs calls::recover_jobs(int max_recoveries, std::chrono::milliseconds grace, int up_to) {
    const result rows = execute({"recover_jobs",
                                 "SELECT recovered, failed FROM chancy.recover_jobs($1::int, make_interval(secs => $2::float8), $3::int)",
                                 {std::to_string(max_recoveries), seconds(grace), std::to_string(up_to)}, repeat::safe});
    return {.recovered = rows.integer(0, 0), .failed = rows.integer(0, 1)};
}

int calls::prune_jobs(const json& rule, int up_to) {
    return execute({"prune_jobs", "SELECT chancy.prune_jobs($1::jsonb, $2::int)", {dump(rule), std::to_string(up_to)}, repeat::safe})
        .integer(0, 0);
}

void to_json(json& out, const task_run& in) { out = {{"task", in.task}, {"did", in.did}}; }
void to_json(json& out, const recovered_jobs& in) { out = {{"recovered", in.recovered}, {"failed", in.failed}}; }

}  // namespace chancy
