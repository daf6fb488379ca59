// Pruner: see pruner.cpp.
#pragma once

#include "json.hpp"

namespace chancy {

// Deletes up to up_to finished jobs that match; returns how many.
int prune(Jsonb *rule, int32 up_to);

}  // namespace chancy
