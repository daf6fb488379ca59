// wakeup: queue.pushed is sent only while somebody sleeps.
//
// A fetch that finds less than it asked for leaves a mark for its queue, which its commit shows; its caller then looks
// once more, and sleeps if a look that began with the mark in place found nothing. A push writes its jobs, then, at
// commit, reads the mark, takes it away and sends the event. No wake-up is lost:
//   - the push read the mark: it sends;
//   - it read before the mark was committed: then its jobs were written before that too, and the sleeper's last look, which began later,
//     meets them, committed or not: what is not committed counts as passed by, and the sleeper looks again in a moment.
// Of two pushes at once, one takes the mark; the other cannot know whether that one will commit, so it sends too.
// Nothing here waits, and nobody waits for a mark. Specs: wakeup_*.
#include "wakeup.hpp"

#include "table.hpp"

namespace chancy {

namespace {

enum sleepers_column : int { sleepers_queue = 1, sleepers_asleep };

constexpr const char *key_index = "sleepers_pkey";

// Locks the mark in t.held; false when there is none, or it is busy.
bool lock_mark(table &t, Datum queue, bool *busy) {
    found_row row = find_for_write(t, key_index, F_TEXTEQ, queue);
    *busy = row.exists && (TransactionIdIsValid(row.inserter) ||
                           lock_row(t, &row.tid, LockTupleNoKeyExclusive, LockWaitSkip) != TM_Ok);
    return row.exists && !*busy;
}

void write_mark(table &t, bool asleep) {
    copy_row(t, t.held);
    set(t, sleepers_asleep, BoolGetDatum(asleep));
    ItemPointerData tid = t.held->tts_tid;
    if (update(t, &tid, true) != TM_Ok) elog(ERROR, "a locked row of chancy.sleepers changed");
}

bool is_set(table &t) {
    slot_getallattrs(t.held);
    return DatumGetBool(t.held->tts_values[sleepers_asleep - 1]);
}

}  // namespace

bool is_asleep(bytes queue) {
    bool asleep = false;
    with_row("sleepers", F_TEXTEQ, text_datum(queue), [&](HeapTuple row, TupleDesc desc) {
        bool null;
        asleep = DatumGetBool(heap_getattr(row, sleepers_asleep, desc, &null));
    });
    return asleep;
}

void fall_asleep(bytes queue) {
    Datum name = text_datum(queue);
    with_table("sleepers", true, [=](table &t) {
        bool busy;
        if (lock_mark(t, name, &busy)) {
            if (!is_set(t)) write_mark(t, true);
        } else if (!busy) {
            new_row(t);
            set(t, sleepers_queue, name);
            set(t, sleepers_asleep, BoolGetDatum(true));
            insert_speculatively(t);
        }
    });
    CommandCounterIncrement();
}

bool wake(bytes queue) {
    if (!is_asleep(queue)) return false;
    Datum name = text_datum(queue);
    with_table("sleepers", true, [=](table &t) {
        bool busy;
        if (lock_mark(t, name, &busy) && is_set(t)) write_mark(t, false);
    });
    return true;
}

}  // namespace chancy
