// Fetching, looking, and listing.
#include <chancy/calls.hpp>

#include "statement.hpp"

namespace chancy {

using namespace detail;

std::vector<job> calls::fetch_jobs(const std::string& queue, const std::string& worker_id, int up_to) {
    return read_jobs(execute({"fetch_jobs", "SELECT * FROM chancy.fetch_jobs($1::text, $2::text, $3::int)",
                              {queue, worker_id, std::to_string(up_to)}, repeat::never}));
}

std::vector<job> calls::running_jobs(const std::string& worker_id) {
    return read_jobs(execute({"running_jobs", "SELECT * FROM chancy.running_jobs($1::text)", {worker_id}}));
}

std::optional<job> calls::get_job(const uuid& id) {
    return read_one_job(execute({"get_job", "SELECT * FROM chancy.get_job($1::uuid)", {id.to_string()}}));
}

std::vector<job> calls::get_jobs(std::span<const uuid> ids) {
    return read_jobs(execute({"get_jobs", "SELECT * FROM chancy.get_jobs($1::uuid[])", {array(ids)}}));
}

std::optional<job> calls::get_live_job(const std::string& unique_key) {
    return read_one_job(execute({"get_live_job", "SELECT * FROM chancy.get_live_job($1::text)", {unique_key}}));
}

std::vector<job> calls::list_jobs(const job_filter& filter) {
    return read_jobs(execute(
        {"list_jobs", "SELECT * FROM chancy.list_jobs($1::text, $2::text, $3::text, $4::uuid, $5::int)",
         {filter.queue, filter.state ? parameter(to_string(*filter.state)) : std::nullopt, filter.func,
          filter.after ? parameter(filter.after->to_string()) : std::nullopt, std::to_string(filter.up_to)}}));
}

}  // namespace chancy
