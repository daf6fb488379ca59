// Fetching, looking, and listing.
#include <chancy/calls.hpp>

#include "statement.hpp"

namespace chancy::detail::describe {

call<std::vector<job>> fetch_jobs(const std::string& queue, const std::string& worker_id, int up_to) {
    return {{"fetch_jobs", "SELECT * FROM chancy.fetch_jobs($1::text, $2::text, $3::int)",
             {queue, worker_id, std::to_string(up_to)}, repeat::never}, read_jobs};
}

call<std::vector<job>> running_jobs(const std::string& worker_id) {
    return {{"running_jobs", "SELECT * FROM chancy.running_jobs($1::text)", {worker_id}}, read_jobs};
}

call<std::optional<job>> get_job(const uuid& id) {
    return {{"get_job", "SELECT * FROM chancy.get_job($1::uuid)", {id.to_string()}}, read_one_job};
}

call<std::vector<job>> get_jobs(std::span<const uuid> ids) {
    return {{"get_jobs", "SELECT * FROM chancy.get_jobs($1::uuid[])", {array(ids)}}, read_jobs};
}

call<std::optional<job>> get_live_job(const std::string& unique_key) {
    return {{"get_live_job", "SELECT * FROM chancy.get_live_job($1::text)", {unique_key}}, read_one_job};
}

call<std::vector<job>> list_jobs(const job_filter& filter) {
    return {{"list_jobs", "SELECT * FROM chancy.list_jobs($1::text, $2::text, $3::text, $4::uuid, $5::int, $6::timestamptz, $7::timestamptz, $8::text)",
             {filter.queue, filter.state ? parameter(to_string(*filter.state)) : std::nullopt, filter.func,
              filter.after ? parameter(filter.after->to_string()) : std::nullopt, std::to_string(filter.up_to), instant(filter.since),
              instant(filter.before), filter.unique_key}},
            read_jobs};
}

}  // namespace chancy::detail::describe
