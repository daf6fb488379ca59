// Cancelling, retrying, and asking to be told.
#include <chancy/calls.hpp>

#include "statement.hpp"

namespace chancy::detail::describe {

// Not repeated after a lost connection: the second answer would be "false", whatever the first one did.
call<bool> cancel_job(const uuid& id) {
    return {{"cancel_job", "SELECT chancy.cancel_job($1::uuid)", {id.to_string()}, repeat::never}, read_verdict};
}

call<std::vector<bool>> cancel_jobs(std::span<const uuid> ids) {
    return {{"cancel_jobs", "SELECT cancelled FROM chancy.cancel_jobs($1::uuid[]) ORDER BY ord", {array(ids)}, repeat::never},
            [](const result& rows) {
                std::vector<bool> out;
                for (int row = 0; row < rows.rows(); ++row) out.push_back(rows.verdict(row, 0));
                return out;
            }};
}

call<bool> retry_job(const uuid& id, const std::optional<json>& kwargs) {
    return {{"retry_job", "SELECT chancy.retry_job($1::uuid, $2::jsonb)", {id.to_string(), kwargs ? parameter(dump(*kwargs)) : std::nullopt}, repeat::never},
            read_verdict};
}

call<std::optional<chancy::pushed>> copy_job(const uuid& id, const job_changes& changed) {
    return {{"copy_job", "SELECT copy, created FROM chancy.copy_job($1::uuid, $2::jsonb, $3, $4::int4, $5::int4)",
             {id.to_string(), changed.kwargs ? parameter(dump(*changed.kwargs)) : std::nullopt, changed.queue, whole(changed.priority), whole(changed.max_attempts)},
             repeat::never},
            [](const result& rows) -> std::optional<chancy::pushed> {
                if (rows.rows() == 0) return std::nullopt;
                return chancy::pushed{rows.id(0, 0), rows.null(0, 1) ? std::nullopt : std::optional(rows.boolean(0, 1))};
            }};
}

call<void> watch_jobs(std::span<const uuid> ids, std::chrono::milliseconds for_time) {
    return {{"watch_jobs", "SELECT chancy.watch_jobs($1::uuid[], make_interval(secs => $2::float8))",
             {array(ids), seconds(for_time)}, repeat::safe}, read_nothing};
}

}  // namespace chancy::detail::describe
