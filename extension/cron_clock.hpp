// The ticks of a cron expression on the clock of a time zone, in seconds since 1970 (UTC). Knows nothing of the server:
// what a zone does is asked through two functions.
//
// When the clock is set forward, some local times do not come; when it is set back, some come twice. Time is walked
// through in stretches of one offset, so every instant is looked at once and in order, whatever a zone did.
#pragma once

#include "cron_expression.hpp"

namespace chancy {

struct zone {
    const void *data;
    // Seconds east of UTC at t.
    int64_t (*offset)(const void *data, int64_t t);
    // The first instant after t with another offset; false: none.
    bool (*next_change)(const void *data, int64_t t, int64_t *at);
};

// A local time that does not come. as_cron: a schedule for certain hours runs right after the gap, one for every hour does
// not mind.
enum class on_gap : uint8_t { as_cron, after, skip };
// A local time that comes twice. as_cron: a schedule for certain hours runs the first time, one for every hour both times.
enum class on_overlap : uint8_t { as_cron, first, last, both };

struct cron_schedule {
    cron_expression cron;
    zone where;
    on_gap gap;
    on_overlap overlap;
};

// The first tick after the instant, or cron_never.
int64_t next_tick(const cron_schedule &s, int64_t after);

// The last `most` ticks after `after` and not after `until`, in order, into `into`; how many.
int last_ticks(const cron_schedule &s, int64_t after, int64_t until, int most, int64_t *into);

}  // namespace chancy
