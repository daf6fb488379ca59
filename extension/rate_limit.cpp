// rate_limit: at most rate_limit jobs start in rate_limit_window seconds, by the server's clock. The counter row is tried,
// never waited for, and held until the commit.
//
// Without rate_limit_burst windows are counted from the epoch, as in Chancy's table: across the edge of two windows twice as
// many can start. With it, there is a bucket of rate_limit_burst tokens, and a new one every rate_limit_window / (rate_limit
// - rate_limit_burst + 1) seconds: so in any span of rate_limit_window seconds, wherever it begins, at most rate_limit start.
// The bucket is one time, full_at: when it is full again.
#include "fetch.hpp"
#include "purge.hpp"

#include <cmath>

namespace chancy {

namespace {
enum counter_column : int { counter_queue = 1, counter_window, counter_count, counter_full_at };

int32 window_start(int32 window) {
    int64 now = timestamptz_to_time_t(GetCurrentTimestamp());
    return static_cast<int32>(now - now % window);
}

void write_counter(table &counters, bytes queue, int32 window, int32 count) {
    set(counters, counter_queue, text_datum(queue));
    set(counters, counter_window, Int32GetDatum(window));
    set(counters, counter_count, Int32GetDatum(count));
}

constexpr double longest_fill = 1e9 * USECS_PER_SEC;  // of an empty bucket; no more than a sum of times can hold

int64 step_of(const queue_limits &limits) {
    if (limits.burst == 0) return 0;
    double step = std::ceil(static_cast<double>(limits.window) * USECS_PER_SEC / (limits.rate - limits.burst + 1.0));
    return static_cast<int64>(std::min(step, longest_fill / limits.burst));
}

// What the counter says, as read into counters.held.
void read_counter(table &counters, const queue_limits &limits, allowance &a) {
    TimestampTz now = GetCurrentTimestamp();
    Datum *values = counters.held->tts_values;
    if (DatumGetInt32(values[counter_window - 1]) == a.window_start) a.count = DatumGetInt32(values[counter_count - 1]);
    if (a.step == 0) {
        a.left = std::max(limits.rate - a.count, 0);
        a.wait = (a.window_start + int64{limits.window}) * USECS_PER_SEC - (now + epoch_shift);
    } else {
        // A clock that was set back must not close the bucket for longer than it takes to fill.
        TimestampTz full = now + limits.burst * a.step;
        bool known = !counters.held->tts_isnull[counter_full_at - 1];
        a.full_at = known ? std::clamp(DatumGetTimestampTz(values[counter_full_at - 1]), now, full) : now;
        a.left = static_cast<int32>((full - a.full_at) / a.step);
        // The next token beyond those left.
        a.wait = a.full_at + (a.left + 1) * a.step - full;
    }
    a.wait = std::max<int64>(a.wait, 1);
}

}  // namespace

allowance take_counter(table &counters, bytes queue, const queue_limits &limits) {
    allowance a{.busy = false, .left = 0, .wait = 0, .window_start = window_start(limits.window), .count = 0,
                .step = step_of(limits), .full_at = 0, .counter = {}};
    SnapshotData dirty;
    InitDirtySnapshot(dirty);
    lookup by_queue = begin_lookup(counters, "queue_rate_limits_pkey", F_TEXTEQ, C_COLLATION_OID, &dirty);
    seek(by_queue, text_datum(queue));
    bool found = index_getnext_slot(by_queue.scan, ForwardScanDirection, counters.found);
    bool foreign = found && TransactionIdIsValid(dirty.xmin);
    end_lookup(by_queue);
    if (foreign) {
        a.busy = true;
        return a;
    }
    if (!found) {
        new_row(counters);
        write_counter(counters, queue, a.window_start, 0);
        a.busy = !insert_speculatively(counters);
        if (a.busy) return a;
        CommandCounterIncrement();
        a.counter = counters.next->tts_tid;
    } else {
        a.counter = counters.found->tts_tid;
    }
    a.busy = lock_row(counters, &a.counter, LockTupleNoKeyExclusive, LockWaitSkip) != TM_Ok;
    if (a.busy) return a;
    slot_getallattrs(counters.held);
    a.counter = counters.held->tts_tid;
    read_counter(counters, limits, a);
    return a;
}

void add_to_counter(table &counters, const allowance &a, bytes queue, int32 fetched) {
    copy_row(counters, counters.held);
    write_counter(counters, queue, a.window_start, a.count + fetched);
    if (a.step > 0) set(counters, counter_full_at, TimestampTzGetDatum(a.full_at + fetched * a.step));
    ItemPointerData tid = a.counter;
    if (update(counters, &tid, true) != TM_Ok) elog(ERROR, "a locked rate limit counter changed");
}

void forget_counter(bytes queue) {
    with_table("queue_rate_limits", true, [=](table &counters) {
        lookup by_queue = begin_lookup(counters, "queue_rate_limits_pkey", F_TEXTEQ, C_COLLATION_OID, SnapshotSelf);
        seek(by_queue, text_datum(queue));
        if (index_getnext_slot(by_queue.scan, ForwardScanDirection, counters.found)) {
            ItemPointerData tid = counters.found->tts_tid;
            delete_row(counters.rel, &tid, false);
        }
        end_lookup(by_queue);
    });
}

}  // namespace chancy
