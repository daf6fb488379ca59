#pragma once

#include "postgres.hpp"

namespace chancy {

// Refuses an interval argument outside 1 s to 1 day; returns microseconds.
int64 check_duration(FunctionCallInfo fcinfo, int n, const char *name);

}  // namespace chancy
