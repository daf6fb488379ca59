// The laws, looked at when everything is quiet.
#pragma once

#include "connection.hpp"
#include "world.hpp"

namespace adversary {

// key, how often, ids
inline constexpr const char* live_twice =
    "SELECT unique_key, count(*), string_agg(id::text, ' ') FROM chancy.jobs WHERE unique_key IS NOT NULL AND state NOT IN "
    "('succeeded', 'failed') GROUP BY unique_key HAVING count(*) > 1";

// Checks everything, then empties the book and takes finished jobs away.
void check_all(world& w);

// pg_stat_database.deadlocks of the run's database.
int64_t deadlocks(const options& o);

}  // namespace adversary
