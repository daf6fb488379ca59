// Hot keys (rule 11). Duplicates pushed without pause hold a waiting job FOR KEY SHARE one after another,
// and a claim that always passed it by would never run it. So each backend remembers the jobs that it
// passed by and since when; past the bound it claims the job over a KEY SHARE. That run may miss what the
// passed pushers have not committed. A row that is locked more strongly is still passed by.
#include "hot.hpp"

#include "setting.hpp"

namespace chancy {

namespace {

struct passed_job {
    pg_uuid_t id;
    TimestampTz since, last;
};

// Few: a backend passes by only what is held at the moment. The longest unseen one makes room.
constexpr int remembered = 64;
passed_job passed[remembered];
bool any_passed = false;

}  // namespace

bool passed_for_long(const pg_uuid_t &id, TimestampTz now) {
    passed_job *oldest = passed;
    for (passed_job &p : passed) {
        if (p.last != 0 && compare(p.id, id) == 0) {
            // Not seen for a while: it was claimed elsewhere, or its holders went; this is another time.
            if (now - p.last > 10 * USECS_PER_SEC) p.since = now;
            p.last = now;
            return now - p.since >= setting.hot_key_bound * INT64CONST(1000);
        }
        if (p.last < oldest->last) oldest = &p;
    }
    // What is fresh keeps its place: claims free the places one after another.
    if (now - oldest->last <= 10 * USECS_PER_SEC) return setting.hot_key_bound == 0;
    any_passed = true;
    *oldest = {id, now, now};
    return setting.hot_key_bound == 0;
}

void forget_passed(const pg_uuid_t &id) {
    if (!any_passed) return;  // the common case costs nothing
    any_passed = false;
    for (passed_job &p : passed) {
        if (p.last != 0 && compare(p.id, id) == 0) p = {};
        any_passed = any_passed || p.last != 0;
    }
}

}  // namespace chancy
