// rate_limit: at most rate_limit jobs in each window of rate_limit_window seconds, counted from the
// epoch by the server's clock, as in Chancy's table. The counter row is tried, never waited for.
#include "fetch.hpp"
#include "purge.hpp"

namespace chancy {

namespace {
enum counter_column : int { counter_queue = 1, counter_window, counter_count };

int32 window_start(int32 window) {
    int64 now = timestamptz_to_time_t(GetCurrentTimestamp());
    return static_cast<int32>(now - now % window);
}

void write_counter(table &counters, bytes queue, int32 window, int32 count) {
    set(counters, counter_queue, text_datum(queue));
    set(counters, counter_window, Int32GetDatum(window));
    set(counters, counter_count, Int32GetDatum(count));
}

}  // namespace

allowance take_counter(table &counters, bytes queue, int32 limit, int32 window) {
    allowance a{.busy = false, .left = 0, .window_start = window_start(window), .count = 0, .counter = {}};
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
        ExecClearTuple(counters.next);
        memset(counters.next->tts_isnull, true, RelationGetDescr(counters.rel)->natts);
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
    if (DatumGetInt32(counters.held->tts_values[counter_window - 1]) == a.window_start)
        a.count = DatumGetInt32(counters.held->tts_values[counter_count - 1]);
    a.left = std::max(limit - a.count, 0);
    return a;
}

void add_to_counter(table &counters, const allowance &a, bytes queue, int32 fetched) {
    copy_row(counters, counters.held);
    write_counter(counters, queue, a.window_start, a.count + fetched);
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
