// Cancelling, retrying, and asking to be told.
#include <chancy/calls.hpp>

#include "statement.hpp"

namespace chancy {

using namespace detail;

// Not repeated after a lost connection: the second answer would be "false", whatever the first one did.
bool calls::cancel_job(const uuid& id) {
    return execute({"cancel_job", "SELECT chancy.cancel_job($1::uuid)", {id.to_string()}, repeat::never}).verdict(0, 0);
}

std::vector<bool> calls::cancel_jobs(std::span<const uuid> ids) {
    const result rows = execute({"cancel_jobs", "SELECT cancelled FROM chancy.cancel_jobs($1::uuid[]) ORDER BY ord",
                                 {array(ids)}, repeat::never});
    std::vector<bool> out;
    for (int row = 0; row < rows.rows(); ++row) out.push_back(rows.verdict(row, 0));
    return out;
}

bool calls::retry_job(const uuid& id) {
    return execute({"retry_job", "SELECT chancy.retry_job($1::uuid)", {id.to_string()}, repeat::never}).verdict(0, 0);
}

void calls::watch_jobs(std::span<const uuid> ids, std::chrono::milliseconds for_time) {
    execute({"watch_jobs", "SELECT chancy.watch_jobs($1::uuid[], make_interval(secs => $2::float8))",
             {array(ids), seconds(for_time)}, repeat::safe});
}

}  // namespace chancy
