// Maintenance: see maintenance.cpp.
#pragma once

#include "value.hpp"

namespace chancy {

// Since when the unlogged tables have not been emptied, as far as maintenance has seen: the first call
// after a crash starts the clock.
TimestampTz up_since();

}  // namespace chancy
