// Durations: see worker.cpp.
#pragma once

#include "postgres.hpp"

namespace chancy {

// A month counts 30 days; clamped to a thousand million seconds.
int64 microseconds(const Interval *i);

// Refuses an interval argument outside 1 s to 1 day; returns microseconds.
int64 check_duration(FunctionCallInfo fcinfo, int n, const char *name);

}  // namespace chancy
