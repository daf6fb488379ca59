// When a failed attempt runs again: see retry.cpp.
#pragma once

#include "json.hpp"

namespace chancy {

// The delay in microseconds after the given number of finished attempts (from 1).
int64 retry_delay(Jsonb *meta, int32 attempts);

}  // namespace chancy
