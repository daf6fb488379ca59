// low_water: a fetch does not walk again over the index entries of jobs long fetched.
//
// VACUUM takes dead entries away, but not while a snapshot is held open anywhere; until then the head of jobs_fetch is one dead
// entry after another. So each backend remembers, for each priority of the queues it serves, the last entry that it has looked at: its low-water
// mark. The next walk begins there.
//
// Jobs do come in before a mark: retried, released, recovered or snoozed ones, those whose time has come, ones raised to another
// priority, pushes that commit late, claims rolled back or prepared elsewhere, rows that Python writes with a clock of its own. None starves:
//   - The mark stays before the first job that was passed by, or is not due yet, as long as no more than near entries lie behind.
//   - Each fetch sweeps some of what lies before the mark, where the last one stopped: for slice (5 ms) without a hit, and then no sooner than 20
//     times that later. So all of it is seen within 20 times the time that one walk over it takes, at a cost of 5 %. What is found
//     is claimed in its turn, and where there is one there may be more: a hit starts the slice anew.
//   - A fetch that has not got all it wanted sweeps, and says when there was no time for all (unswept): its caller looks again, and
//     sleeps only when everything has been looked at since it had nothing to do.
// Where a walk over everything takes less than slice, that is what every fetch which is not filled does. With more priorities than are remembered all
// are learned anew. A transaction that rolls back takes the marks along: what it had claimed waits again.
#include "fetch.hpp"

#include "compat.hpp"
#include "setting.hpp"

namespace chancy {

namespace {

constexpr int near = 1000;           // entries between the mark and the end of a walk, for the sake of one that is to be looked at again
constexpr int share = 20;            // of the time
constexpr int levels = 16;           // priorities of a queue
constexpr int queues = 8;
constexpr int between_looks = 64;    // at the clock
constexpr int64 cheap = 1000;        // microseconds: a sweep that a fetch with nothing else to do may always make

constexpr int64 short_pages = 16;

constexpr pg_uuid_t lowest_id{};
constexpr pg_uuid_t highest_id{{255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255}};

pg_uuid_t behind(pg_uuid_t id) {
    for (int i = UUID_LEN - 1; i >= 0 && ++id.data[i] == 0; i--) continue;
    return id;
}

struct level {
    int32 priority;
    pg_uuid_t mark;       // all before it has been looked at
    pg_uuid_t swept_to;   // and all before this again
    TimestampTz began;    // the sweep that is under way; 0: none
    TimestampTz swept;    // when the last whole one began
    TimestampTz next;     // no sooner than this is more swept
    int64 took;           // by the last slice, in microseconds
    int64 misses, pages;  // of the sweep that is under way, or the last whole one: entries, and pages of the index
};

struct queue_marks {
    int size;  // of the name; 0: unused
    char name[max_queue];
    Oid jobs;  // the table's file: after a TRUNCATE there is another one, and nothing before any mark
    level known[levels];  // in the order of use
    int count;
    TimestampTz idle_since;  // the first of the fetches in a row with nothing left to do and the sleeper's mark in place (wakeup.cpp); 0: none
    uint64 used;
};

queue_marks marks[queues];
uint64 uses = 0;
bool moved = false;  // by this transaction

void forget(bool committed) {
    if (moved && !committed)
        for (queue_marks &q : marks) q.count = 0;
    moved = false;
}

void at_transaction(XactEvent event, void *) {
    if (event == XACT_EVENT_ABORT || event == XACT_EVENT_PARALLEL_ABORT) forget(false);
    if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE) forget(true);
}

void at_subtransaction(SubXactEvent event, SubTransactionId, SubTransactionId, void *) {
    if (event == SUBXACT_EVENT_ABORT_SUB) forget(false);
}

queue_marks &marks_of(table &jobs, bytes queue) {
    static bool registered = false;
    if (!registered) {
        RegisterXactCallback(at_transaction, nullptr);
        RegisterSubXactCallback(at_subtransaction, nullptr);
        registered = true;
    }
    moved = true;
    queue_marks *oldest = marks;
    for (queue_marks &q : marks) {
        if (q.size > 0 && q.jobs == jobs.rel->rd_rel->relfilenode && bytes{q.name, q.size} == queue) {
            q.used = ++uses;
            return q;
        }
        if (q.used < oldest->used) oldest = &q;
    }
    *oldest = {};
    oldest->jobs = jobs.rel->rd_rel->relfilenode;
    oldest->size = queue.size;
    memcpy(oldest->name, queue.data, queue.size);
    oldest->used = ++uses;
    return *oldest;
}

level &level_of(queue_marks &q, int32 priority) {
    for (int i = 0; i < q.count; i++)
        if (q.known[i].priority == priority) return q.known[i];
    if (q.count == levels) q.count = 0;
    level &l = q.known[q.count++];
    l = {};
    l.priority = priority;
    return l;
}

bool is_marked(const level &l) { return compare(l.mark, lowest_id) > 0; }

// So little lies before the mark that every fetch looks at all of it: then the order of jobs is exact.
bool is_short(const level &l) { return l.misses < between_looks && l.pages <= short_pages; }

struct walk {
    claims &c;
    Datum queue;
    IndexScanDesc jobs, priorities;
    // The entry that next() came to.
    int32 priority;
    pg_uuid_t id;
};

void bound(ScanKey key, int column, StrategyNumber strategy, Oid collation, Oid function, Datum value) {
    ScanKeyEntryInitialize(key, 0, column, strategy, InvalidOid, collation, function, value);
}

constexpr int job_bounds = 4, priority_bounds = 3;

// The entries of a priority from an id up to one before another; null: to the end.
void seek(walk &w, int32 priority, const pg_uuid_t &from, const pg_uuid_t *to) {
    ScanKeyData keys[job_bounds];
    bound(&keys[0], 1, BTEqualStrategyNumber, C_COLLATION_OID, F_TEXTEQ, w.queue);
    bound(&keys[1], 2, BTEqualStrategyNumber, InvalidOid, F_INT4EQ, Int32GetDatum(priority));
    bound(&keys[2], 3, BTGreaterEqualStrategyNumber, InvalidOid, F_UUID_GE, UUIDPGetDatum(&from));
    bound(&keys[3], 3, to != nullptr ? BTLessStrategyNumber : BTLessEqualStrategyNumber, InvalidOid, to != nullptr ? F_UUID_LT : F_UUID_LE,
          UUIDPGetDatum(to != nullptr ? to : &highest_id));
    index_rescan(w.jobs, keys, job_bounds, nullptr, 0);
}

// The next entry, dead or not: its job is not looked at.
bool next(walk &w, IndexScanDesc scan) {
    CHECK_FOR_INTERRUPTS();
    if (index_getnext_tid(scan, ForwardScanDirection) == nullptr) return false;
    TupleDesc desc = RelationGetDescr(scan->indexRelation);
    bool null;
    w.priority = DatumGetInt32(index_getattr(scan->xs_itup, 2, desc, &null));
    w.id = *DatumGetUUIDP(index_getattr(scan->xs_itup, 3, desc, &null));
    return true;
}

// The highest priority below the one given that has entries, or had some. Where it is one that we know only a look between it
// and the one before is needed, which reads no entries.
level *next_level(walk &w, queue_marks &q, int64 below) {
    level *known = nullptr;
    for (level &l : std::span(q.known, q.count))
        if (l.priority < below && (known == nullptr || l.priority > known->priority)) known = &l;
    int64 from = known != nullptr ? int64{known->priority} + 1 : PG_INT32_MIN;
    if (from >= below) return known;
    ScanKeyData keys[priority_bounds];
    bound(&keys[0], 1, BTEqualStrategyNumber, C_COLLATION_OID, F_TEXTEQ, w.queue);
    bound(&keys[1], 2, BTLessEqualStrategyNumber, InvalidOid, F_INT4LE, Int32GetDatum(static_cast<int32>(below - 1)));
    bound(&keys[2], 2, BTGreaterEqualStrategyNumber, InvalidOid, F_INT4GE, Int32GetDatum(static_cast<int32>(from)));
    index_rescan(w.priorities, keys, priority_bounds, nullptr, 0);
    return next(w, w.priorities) ? &level_of(q, w.priority) : known;
}

enum class look : uint8 { claimed, again, over };

// Claims the entry's job if it can be. again: it may become due, or free, later.
look look_at(walk &w) {
    if (!index_fetch_heap(w.jobs, w.c.jobs.found)) return look::over;
    return claim_found(w.c, read_job(w.c.jobs.found)) ? look::claimed : look::again;
}

int64 pages_read() { return pgBufferUsage.shared_blks_hit + pgBufferUsage.shared_blks_read; }

bool full(const walk &w) { return w.c.count >= w.c.up_to; }

// Looks at what lies before the mark, from where the last sweep stopped.
void sweep(walk &w, level &l) {
    TimestampTz start = GetCurrentTimestamp();
    if (l.began == 0 || is_short(l)) {
        l.began = start;
        l.swept_to = lowest_id;
        l.misses = l.pages = 0;
    }
    seek(w, l.priority, l.swept_to, &l.mark);
    bool whole = true;
    while (!full(w)) {
        int64 pages = pages_read();
        bool found = next(w, w.jobs);
        l.pages += pages_read() - pages;
        if (!found) break;
        l.swept_to = behind(w.id);
        if (look_at(w) == look::claimed) {
            start = GetCurrentTimestamp();
        } else if (++l.misses % between_looks == 0 && GetCurrentTimestamp() - start >= setting.sweep_time * INT64CONST(1000)) {
            whole = false;
            break;
        }
    }
    if (full(w)) return;  // there may be more: the next fetch goes on here, whenever it comes
    TimestampTz end = GetCurrentTimestamp();
    l.took = end - start;
    l.next = end + l.took * share;
    if (!whole) return;
    l.swept = l.began;
    l.began = 0;
}

// Walks over a priority from its mark on, and moves the mark.
void walk_on(walk &w, level &l) {
    pg_uuid_t seen = l.mark, left{};
    int since = 0;  // entries from left on, which is to be looked at again
    seek(w, l.priority, l.mark, nullptr);
    while (!full(w) && next(w, w.jobs)) {
        bool again = look_at(w) == look::again;
        if (since == 0 && again) left = w.id;
        if (since > 0 || again) since++;
        seen = behind(w.id);
    }
    l.mark = since > 0 && since <= near ? left : seen;
}

// Has everything before the mark been looked at since then?
bool is_swept(const level &l, TimestampTz since) { return !is_marked(l) || l.swept >= since; }

// The fetch has seen everything behind the marks, and could do with more.
void sweep_all(walk &w, queue_marks &q) {
    claims &c = w.c;
    if (q.idle_since == 0) q.idle_since = c.now;
    int before = c.count;
    for (level &l : std::span(q.known, q.count)) {
        if (is_swept(l, q.idle_since)) continue;
        if (l.took <= cheap || c.now >= l.next) sweep(w, l);
        if (full(w)) break;
        if (!is_swept(l, q.idle_since)) c.unswept = std::max<int64>({c.unswept, l.next - c.now, 1000});
    }
    if (c.count > before) sort_claims(c);
}

}  // namespace

void claim_due(claims &c) {
    queue_marks &q = marks_of(c.jobs, c.queue);
    auto scan = [&](int bounds) { return compat::begin_index_scan(c.jobs.rel, c.jobs.index("jobs_fetch"), &c.seen, bounds); };
    walk w{c, text_datum(c.queue), scan(job_bounds), scan(priority_bounds), 0, {}};
    w.jobs->xs_want_itup = w.priorities->xs_want_itup = true;
    w.priorities->ignore_killed_tuples = false;  // it would walk over them
    int64 below = int64{PG_INT32_MAX} + 1;
    while (!full(w)) {
        level *l = next_level(w, q, below);
        if (l == nullptr) break;
        below = l->priority;
        if (is_marked(*l) && (is_short(*l) || c.now >= l->next)) sweep(w, *l);
        walk_on(w, *l);
    }
    if (!full(w)) sweep_all(w, q);
    if (full(w) || !c.asleep || c.unswept == 0) q.idle_since = 0;
    index_endscan(w.jobs);
    index_endscan(w.priorities);
}

}  // namespace chancy
