// Pushing, for calls that make the jobs themselves: see push.cpp.
#pragma once

#include "buffer.hpp"

namespace chancy {

// Pushes now, or reserves ids and pushes at commit, under this call's name. What the jobs point to lives in the call's
// memory.
std::span<change> push_all(moment m, const char *name, std::span<new_job> given);

// What a job is before its fields are read; list: what the batch is called in messages.
new_job default_job(const job_defaults &d, const char *list);

// Refuses what no push accepts, whatever its form.
void check_job(const new_job &job, place where);

}  // namespace chancy
