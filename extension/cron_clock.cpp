#include "cron_clock.hpp"

namespace chancy {

namespace {

constexpr int64_t day = 86400;
constexpr int64_t horizon = 100 * 366 * day;

on_gap rule(const cron_schedule &s, on_gap given) {
    return given != on_gap::as_cron ? given : s.cron.every_hour ? on_gap::skip : on_gap::after;
}

on_overlap rule(const cron_schedule &s, on_overlap given) {
    return given != on_overlap::as_cron ? given : s.cron.every_hour ? on_overlap::both : on_overlap::first;
}

}  // namespace

int64_t next_tick(const cron_schedule &s, int64_t after) {
    on_gap gap = rule(s, s.gap);
    on_overlap overlap = rule(s, s.overlap);
    // Begins two days earlier, so that an overlap that is just under way is seen from its beginning.
    int64_t at = after - 2 * day, offset = s.where.offset(s.where.data, at);
    int64_t low = after + 1;  // ticks from here on are wanted
    int64_t fresh = at;       // before this the local times of the stretch are second passes
    while (at < after + horizon) {
        int64_t change;
        bool changes = s.where.next_change(s.where.data, at, &change);
        int64_t then = changes ? s.where.offset(s.where.data, change) : offset;
        int64_t end = changes ? change : INT64_MAX;
        if (then < offset && overlap == on_overlap::last) end = change - (offset - then);
        int64_t local = next_local(s.cron, (low > fresh ? low : fresh) + offset - 1);
        if (local != cron_never && local - offset < end) return local - offset;
        if (!changes) return cron_never;
        if (then > offset && gap == on_gap::after && change >= low && next_local(s.cron, change + offset - 1) < change + then) return change;
        fresh = then < offset && overlap == on_overlap::first ? change + (offset - then) : change;
        at = change;
        offset = then;
    }
    return cron_never;
}

int last_ticks(const cron_schedule &s, int64_t after, int64_t until, int most, int64_t *into) {
    // A window before `until`, widened until it holds enough.
    for (int64_t wide = 60;; wide *= 4) {
        int64_t from = until - after > wide ? until - wide : after;
        int64_t count = 0;
        for (int64_t t = next_tick(s, from); t <= until; t = next_tick(s, t)) into[count++ % most] = t;
        if (count < most && from > after) continue;
        if (count <= most) return static_cast<int>(count);
        // Turn the ring so that the oldest comes first.
        int shift = static_cast<int>(count % most);
        for (int turn = 0; turn < shift; turn++) {
            int64_t first = into[0];
            for (int i = 1; i < most; i++) into[i - 1] = into[i];
            into[most - 1] = first;
        }
        return most;
    }
}

}  // namespace chancy
