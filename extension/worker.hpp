// Workers' rows, and durations: see worker.cpp.
#pragma once

#include "value.hpp"

namespace chancy {

// A month counts 30 days; clamped to a thousand million seconds.
int64 microseconds(const Interval *i);

// Refuses (42501), to a role that is limited to queues, a worker that it has not announced itself.
struct permit;
void check_speaks_for(const permit &may, bytes worker);

// A worker's row. owner: the name of the role, as text; 0: none. anybodys: another role's row may be taken over.
struct announcement {
    Datum worker, tags, queues;  // text, text[], text[]
    TimestampTz seen, expires;
    Datum owner;
    bool anybodys;
};
// Announces or renews a worker; false when its row is another role's. Waits for whoever writes the row.
bool announce(const announcement &a);

// Refuses an interval argument outside 1 s to 1 day; returns microseconds.
int64 check_duration(FunctionCallInfo fcinfo, int n, const char *name);

}  // namespace chancy
