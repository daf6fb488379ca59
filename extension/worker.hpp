// Durations: see worker.cpp.
#pragma once

#include "value.hpp"

namespace chancy {

// A month counts 30 days; clamped to a thousand million seconds.
int64 microseconds(const Interval *i);

// Refuses (42501), to a role that is limited to queues, a worker that it has not announced itself.
struct permit;
void check_speaks_for(const permit &may, bytes worker);

// Refuses an interval argument outside 1 s to 1 day; returns microseconds.
int64 check_duration(FunctionCallInfo fcinfo, int n, const char *name);

}  // namespace chancy
