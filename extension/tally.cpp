// tally: what happened to jobs, counted without a row that everybody writes.
//
// Each backend counts for itself, in memory. What a transaction did is added when it commits, and is written every chancy.metrics_interval
// (1 s), at most, by a transaction that does more of the same, as new rows of chancy.tallies; by a fetch that finds nothing, so that a worker
// at rest holds nothing back; and when the connection ends.
// maintain() folds the rows into chancy.metrics and deletes them (metrics.cpp). So rolled back work is never counted, and
// nobody waits for a counter. What is lost: with a backend that is killed its last second; with a crash of the server, which
// empties tallies, what had not been folded.
#include "tally.hpp"

#include "jobs.hpp"
#include "setting.hpp"

extern "C" {
#include "storage/ipc.h"
}

namespace chancy {

namespace {

constexpr const char *names[] = {"pushed", "succeeded", "failed", "retrying", "snoozed", "released", "cancelled", "recovered"};

bool is_same(const tally &a, bytes queue, bytes func, happened what) {
    return a.what == what && a.func == func && a.queue == queue;
}

bytes copy(MemoryContext memory, bytes b) {
    char *data = static_cast<char *>(MemoryContextAlloc(memory, std::max(b.size, 1)));
    memcpy(data, b.data, b.size);
    return {data, b.size};
}

double seconds(TimestampTz from, TimestampTz to) { return std::max<int64>(to - from, 0) / static_cast<double>(USECS_PER_SEC); }

}  // namespace

tally &tallies::of(bytes queue, bytes func, happened what) {
    // Mostly it is the one of the job before.
    for (int i = count - 1; i >= 0; i--)
        if (is_same(items[i], queue, func, what)) return items[i];
    make_room(items, count, capacity);
    MemoryContext memory = CurrentMemoryContext;
    return items[count++] = {copy(memory, queue), copy(memory, func), what, now, 0, {}, {}};
}

void tallies::add_run(TupleTableSlot *before, happened what) {
    Datum *values = before->tts_values;
    auto time = [&](int column) { return before->tts_isnull[column - 1] ? 0 : DatumGetTimestampTz(values[column - 1]); };
    TimestampTz started = time(jobs_started_at);
    tally &t = of(view(values[jobs_queue - 1]), view(values[jobs_func - 1]), what);
    t.count++;
    t.ran.add(seconds(started, now));
    t.waited.add(seconds(std::max(time(jobs_created_at), time(jobs_scheduled_at)), started));
}

namespace {

constexpr int most_kept = 1000;  // then it is written, whatever the interval

struct kept_tally {
    tally sum;   // committed
    tally more;  // of the transaction that is about to commit; its texts are unused
};

// What this backend has counted and not written, in a memory context of its own.
struct {
    MemoryContext memory;
    kept_tally *items;
    int count, capacity;
    TimestampTz written_at;
    bool adding;   // the transaction about to commit adds something
    bool writing;  // and writes it all
    bool at_exit;
} kept;

kept_tally &kept_of(const tally &t) {
    for (int i = 0; i < kept.count; i++)
        if (is_same(kept.items[i].sum, t.queue, t.func, t.what)) return kept.items[i];
    if (kept.memory == nullptr) kept.memory = AllocSetContextCreate(TopMemoryContext, "chancy tallies", ALLOCSET_DEFAULT_SIZES);
    make_room(kept.items, kept.count, kept.capacity, kept.memory);
    bytes queue = copy(kept.memory, t.queue), func = copy(kept.memory, t.func);
    kept_tally &k = kept.items[kept.count++];
    k = {};
    k.sum.queue = queue;
    k.sum.func = func;
    k.sum.what = t.what;
    return k;
}

void forget_kept() {
    kept.count = kept.capacity = 0;
    kept.items = nullptr;
    if (kept.memory != nullptr) MemoryContextReset(kept.memory);
}

void put_row(table &t, const tally &what) {
    enum column : int { at = 1, queue, func, outcome, count, ran, waited = ran + 3 };
    new_row(t);
    set(t, at, TimestampTzGetDatum(what.at));
    set(t, queue, text_datum(what.queue));
    set(t, func, text_datum(what.func));
    set(t, outcome, text_datum(view(names[static_cast<int>(what.what)])));
    set(t, count, Int64GetDatum(what.count));
    auto put = [&](int first, const spread &s) {
        if (s.count == 0) return;
        set(t, first, Float8GetDatum(s.sum));
        set(t, first + 1, Float8GetDatum(s.least));
        set(t, first + 2, Float8GetDatum(s.most));
    };
    put(ran, what.ran);
    put(waited, what.waited);
    insert(t);
}

// Locks the table unless that would wait; it stays locked until the transaction ends.
bool try_lock_table() {
    Oid oid = get_relname_relid("tallies", get_namespace_oid("chancy", true));
    return OidIsValid(oid) && ConditionalLockRelationOid(oid, RowExclusiveLock);
}

void write_at_exit(int, Datum) {
    if (kept.count == 0 || RecoveryInProgress()) return;
    AbortOutOfAnyTransaction();
    StartTransactionCommand();
    if (try_lock_table())
        with_table("tallies", false, [](table &t) {
            for (int i = 0; i < kept.count; i++)
                if (kept.items[i].sum.count > 0) put_row(t, kept.items[i].sum);
        });
    forget_kept();
    CommitTransactionCommand();
}

}  // namespace

bool has_kept_tallies() { return kept.count > 0; }

void settle_tallies(std::span<const tally> made, bool prepare) {
    if (made.empty() && (prepare || kept.count == 0)) return;
    TimestampTz now = GetCurrentTimestamp();
    // A prepared transaction counts when it commits, wherever that is: its rows are its own.
    if (prepare) {
        if (try_lock_table())
            with_table("tallies", false, [=](table &t) {
                for (const tally &one : made) put_row(t, one);
            });
        return;
    }
    if (!kept.at_exit) {
        before_shmem_exit(write_at_exit, 0);
        kept.at_exit = true;
    }
    kept.adding = true;
    for (const tally &t : made) kept_of(t).more.add(t);
    bool due = now - kept.written_at >= setting.metrics_interval * INT64CONST(1000) || kept.count >= most_kept;
    if (!due || !try_lock_table()) return;
    with_table("tallies", false, [](table &t) {
        for (int i = 0; i < kept.count; i++) {
            tally all = kept.items[i].sum;
            all.add(kept.items[i].more);
            if (all.count > 0) put_row(t, all);
        }
    });
    kept.written_at = now;
    kept.writing = true;
}

void tallies_committed() {
    if (!kept.adding) return;
    if (kept.writing) {
        forget_kept();
    } else {
        for (int i = 0; i < kept.count; i++) {
            kept.items[i].sum.add(kept.items[i].more);
            kept.items[i].more = {};
        }
    }
    kept.adding = kept.writing = false;
}

void tallies_aborted() {
    if (!kept.adding) return;
    for (int i = 0; i < kept.count; i++) kept.items[i].more = {};
    if (kept.writing) kept.written_at = 0;
    kept.adding = kept.writing = false;
}

}  // namespace chancy
