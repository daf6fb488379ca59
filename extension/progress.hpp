// progress: what handlers report of their jobs.
#pragma once

#include "value.hpp"

namespace chancy {

// A job that has succeeded runs anew: it must not go on from its old checkpoint. Never waits.
void forget_progress(const pg_uuid_t &id);

}  // namespace chancy
