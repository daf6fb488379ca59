// Hot keys: see hot.cpp.
#pragma once

#include "value.hpp"

namespace chancy {

// Notes that a due job was passed by because others hold it. True when this has gone on for
// chancy.hot_key_bound: then the claim need not respect a duplicate's KEY SHARE any more.
bool passed_for_long(const pg_uuid_t &id, TimestampTz now);

// The job was claimed: what comes after is another time.
void forget_passed(const pg_uuid_t &id);

}  // namespace chancy
