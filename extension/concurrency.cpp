// concurrency: at most max_running jobs of a queue, and at most max_running_per_key of one concurrency_key in it, run at
// once, over all workers.
//
// There is no counter that could drift or be waited for: what runs stands in the table, in the index jobs_running. A
// fetch takes the queue's turn, counts with a dirty snapshot (claims and results that are not committed count as
// running), claims what there is room for, and ends its turn, not its transaction. The next one sees the claims: so no
// interleaving exceeds a limit, and whatever ends a job (a result, a cancel, recovery, a rollback, a crash) frees its
// slot, since it is no more than the row's state.
//
// Keys take turns. Of one priority, a fetch goes from key to key and takes one job of each, over and over; the next fetch
// of this backend goes on behind the last key. A key at its limit costs one descent of jobs_fetch_key, however many of its
// jobs wait.
#include "concurrency.hpp"

#include "compat.hpp"

extern "C" {
#include "common/hashfn.h"
}

namespace chancy {

namespace {

LOCKTAG turn_of(bytes queue) {
    LOCKTAG tag;
    // An object of the table queues: in nobody's way, user's advisory locks included. Two queues of one hash share it.
    SET_LOCKTAG_OBJECT(tag, MyDatabaseId, table_oid("queues"),
                       hash_bytes(reinterpret_cast<const unsigned char *>(queue.data), queue.size), 0);
    return tag;
}

}  // namespace

bool take_turn(bytes queue) {
    LOCKTAG tag = turn_of(queue);
    return LockAcquire(&tag, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL;
}

void end_turn(bytes queue) {
    LOCKTAG tag = turn_of(queue);
    LockRelease(&tag, ExclusiveLock, false);
}

namespace {

// What runs in the queue.
struct running_jobs {
    int64 total;
    int64 unsettled;  // claimed or ended by a transaction that has not ended: room may come without anybody telling
    bytes *keys;      // sorted by sort(); one for each job that has a key
    size_t count, capacity;

    void add(bytes key) {
        make_room(keys, count, capacity);
        keys[count++] = key;
    }
    void sort() {
        std::sort(keys, keys + count, [](bytes a, bytes b) { return compare(a, b) < 0; });
    }
    int32 of(bytes key) const {
        auto range = std::equal_range(keys, keys + count, key, [](bytes a, bytes b) { return compare(a, b) < 0; });
        return static_cast<int32>(range.second - range.first);
    }
};

bytes copy(bytes b) { return {pnstrdup(b.data, b.size), b.size}; }

running_jobs count_running(table &jobs, bytes queue, bool keys) {
    running_jobs seen{};
    SnapshotData dirty;
    InitDirtySnapshot(dirty);
    lookup running = begin_lookup(jobs, "jobs_running", F_TEXTEQ, C_COLLATION_OID, &dirty);
    seek(running, text_datum(queue));
    while (index_getnext_slot(running.scan, ForwardScanDirection, jobs.found)) {
        CHECK_FOR_INTERRUPTS();
        seen.total++;
        seen.unsettled += TransactionIdIsValid(dirty.xmin) || TransactionIdIsValid(dirty.xmax);
        bytes key = keys ? read_job(jobs.found).concurrency_key : bytes{nullptr, 0};
        if (key.data != nullptr) seen.add(copy(key));
    }
    end_lookup(running);
    seen.sort();
    return seen;
}

// Where this backend's turns stand in a queue.
struct rotation {
    int queue_size, key_size;  // queue_size 0: unused
    char queue[max_queue], key[max_name];
    // The walk for jobs without a key goes on behind this one.
    bool walking;
    int32 priority;
    pg_uuid_t id;
};

rotation &rotation_of(bytes queue) {
    static rotation known[8];
    static int next = 0;
    for (rotation &r : known)
        if (bytes{r.queue, r.queue_size} == queue) return r;
    rotation &r = known[next++ % 8];
    memcpy(r.queue, queue.data, queue.size);
    r.queue_size = queue.size;
    r.key_size = -1;  // nowhere yet
    r.walking = false;
    return r;
}

void stand_at(rotation &r, bytes key) {
    r.key_size = std::min(key.size, max_name);  // one written by hand may be longer
    memcpy(r.key, key.data, r.key_size);
}

constexpr pg_uuid_t lowest_id{};
constexpr int passed_for_keyless = 1000;  // waiting jobs with a key that one fetch passes to find one without

// A key's place in the rotation of one priority; a null key stands for all jobs without one, which have no limit.
struct seat {
    bytes key;
    pg_uuid_t last;  // the job looked at last
    int32 room, served;
    bool done;
};

struct walk {
    claims &c;
    const queue_limits &limits;
    running_jobs &running;
    rotation &at;
    Datum queue;
    IndexScanDesc levels, keyless, keys, inside;  // by priority; of one also by id; by key; of that also by id
    seat *seats;
    size_t count, capacity;
    int budget;  // of passed_for_keyless
    bool blocked;
};

void bound(ScanKey key, int column, StrategyNumber strategy, Oid collation, Oid function, Datum value) {
    ScanKeyEntryInitialize(key, 0, column, strategy, InvalidOid, collation, function, value);
}

void bind_level(walk &w, ScanKeyData *bounds, int32 priority) {
    bound(&bounds[0], 1, BTEqualStrategyNumber, C_COLLATION_OID, F_TEXTEQ, w.queue);
    bound(&bounds[1], 2, BTEqualStrategyNumber, InvalidOid, F_INT4EQ, Int32GetDatum(priority));
}

bool advance(walk &w, IndexScanDesc scan, ScanDirection direction = ForwardScanDirection) {
    CHECK_FOR_INTERRUPTS();
    return index_getnext_slot(scan, direction, w.c.jobs.found);
}

// The highest priority at which a job waits, below the one given (or any).
bool next_level(walk &w, bool any, int32 below, int32 *priority) {
    ScanKeyData bounds[2];
    bind_level(w, bounds, 0);
    bound(&bounds[1], 2, any ? BTLessEqualStrategyNumber : BTLessStrategyNumber, InvalidOid, any ? F_INT4LE : F_INT4LT,
          Int32GetDatum(any ? PG_INT32_MAX : below));
    index_rescan(w.levels, bounds, 2, nullptr, 0);
    if (!advance(w, w.levels)) return false;
    *priority = read_job(w.c.jobs.found).priority;
    return true;
}

// The first key of the level behind the one given (from its start: a null one), or the last key. Null when there is none.
bytes next_key(walk &w, int32 priority, bytes behind, ScanDirection direction = ForwardScanDirection) {
    ScanKeyData bounds[3];
    bind_level(w, bounds, priority);
    bool start = behind.data == nullptr;
    bound(&bounds[2], 3, start ? BTGreaterEqualStrategyNumber : BTGreaterStrategyNumber, C_COLLATION_OID,
          start ? F_TEXT_GE : F_TEXT_GT, text_datum(start ? view("") : behind));
    index_rescan(w.keys, bounds, 3, nullptr, 0);
    if (!advance(w, w.keys, direction)) return {nullptr, 0};
    return copy(read_job(w.c.jobs.found).concurrency_key);
}

void start_inside(walk &w, int32 priority, const seat &s) {
    ScanKeyData bounds[4];
    bind_level(w, bounds, priority);
    bound(&bounds[2], 3, BTEqualStrategyNumber, C_COLLATION_OID, F_TEXTEQ, text_datum(s.key));
    bound(&bounds[3], 4, BTGreaterStrategyNumber, InvalidOid, F_UUID_GT, UUIDPGetDatum(&s.last));
    index_rescan(w.inside, bounds, 4, nullptr, 0);
}

void start_keyless(walk &w, int32 priority, const pg_uuid_t &behind) {
    ScanKeyData bounds[3];
    bind_level(w, bounds, priority);
    bound(&bounds[2], 3, BTGreaterStrategyNumber, InvalidOid, F_UUID_GT, UUIDPGetDatum(&behind));
    index_rescan(w.keyless, bounds, 3, nullptr, 0);
}

// Claims the seat's next due job; false when it has none (left).
bool serve(walk &w, int32 priority, seat &s) {
    bool keyless = s.key.data == nullptr;
    if (keyless)
        start_keyless(w, priority, s.last);
    else
        start_inside(w, priority, s);
    while (advance(w, keyless ? w.keyless : w.inside)) {
        job_row row = read_job(w.c.jobs.found);
        s.last = row.id;
        if (keyless && row.concurrency_key.data != nullptr) {
            if (--w.budget > 0) continue;
            w.at.walking = s.done = true;
            w.at.priority = priority;
            w.at.id = row.id;
            w.c.passed++;  // there may be one further on: look again soon
            return false;
        }
        if (!claim_found(w.c, row)) continue;
        s.served++;
        if (--s.room == 0) s.done = true;
        return true;
    }
    s.done = true;
    if (keyless && w.at.priority == priority) w.at.walking = false;
    return false;
}

seat &add_seat(walk &w, bytes key, int32 room) {
    make_room(w.seats, w.count, w.capacity);
    return w.seats[w.count++] = {key, lowest_id, room, 0, false};
}

bool full(const walk &w) { return w.c.count >= w.c.up_to; }

// Gives each key of the level that lies behind from, and not behind to, its first turn.
void first_round(walk &w, int32 priority, bytes from, bytes to) {
    for (bytes key = next_key(w, priority, from); key.data != nullptr; key = next_key(w, priority, key)) {
        if (to.data != nullptr && compare(key, to) > 0) return;
        int32 room = w.limits.max_running_per_key - w.running.of(key);
        if (room <= 0) {
            w.blocked = true;
            continue;
        }
        if (!serve(w, priority, add_seat(w, key, room))) continue;
        stand_at(w.at, key);
        if (full(w)) return;
    }
}

// Jobs without a key take their turn before the first key.
void keyless_turn(walk &w, int32 priority) {
    seat &s = add_seat(w, {nullptr, 0}, PG_INT32_MAX);
    if (w.at.walking && w.at.priority == priority) s.last = w.at.id;
    if (serve(w, priority, s)) stand_at(w.at, view(""));
}

// Somewhere between the first and the last key: where a backend begins that has not served this queue yet.
bytes random_place(walk &w, int32 priority) {
    bytes first = next_key(w, priority, {nullptr, 0});
    bytes last = next_key(w, priority, {nullptr, 0}, BackwardScanDirection);
    if (first.data == nullptr || last.data == nullptr) return view("");
    int same = 0;
    while (same < std::min(first.size, last.size) && first.data[same] == last.data[same]) same++;
    auto number = [same](bytes b) {  // what follows the part that all keys share
        uint64 n = 0;
        for (int i = same; i < same + 7; i++) n = n << 8 | (i < b.size ? static_cast<unsigned char>(b.data[i]) : 0);
        return n;
    };
    uint64 low = number(first), random = 0;
    if (!pg_strong_random(&random, sizeof random)) random = 0;
    uint64 place = low + random % (std::max(number(last), low) - low + 1);
    char *text = static_cast<char *>(palloc(same + 7));
    memcpy(text, first.data, same);
    for (int i = 6; i >= 0; i--, place >>= 8) text[same + i] = static_cast<char>(place & 0xff);
    return {text, same + 7};
}

// Each in turn, until the fetch is full or nobody has anything left.
void further_rounds(walk &w, int32 priority) {
    for (bool any = true; any && !full(w);) {
        any = false;
        for (size_t i = 0; i < w.count && !full(w); i++) {
            seat &s = w.seats[i];
            if (s.done || !serve(w, priority, s)) continue;
            any = true;
            stand_at(w.at, s.key.data != nullptr ? s.key : view(""));
        }
    }
}

void serve_level(walk &w, int32 priority) {
    w.count = 0;
    w.budget = passed_for_keyless;
    bytes from = w.at.key_size >= 0 ? copy({w.at.key, w.at.key_size}) : random_place(w, priority);
    first_round(w, priority, from, {nullptr, 0});
    if (!full(w)) keyless_turn(w, priority);
    if (!full(w)) first_round(w, priority, {nullptr, 0}, from);
    further_rounds(w, priority);
    // What runs now counts for the lower priorities.
    for (const seat &s : std::span(w.seats, w.count)) {
        w.blocked = w.blocked || s.room == 0;
        for (int32 i = 0; i < s.served && s.key.data != nullptr; i++) w.running.add(s.key);
    }
    w.running.sort();
}

// Claims in (priority DESC) order; of one priority the keys take turns.
void claim_in_turns(walk &w) {
    int32 priority = PG_INT32_MAX;
    for (bool first = true; !full(w) && next_level(w, first, priority, &priority); first = false) serve_level(w, priority);
}

void claim_by_key(claims &c, const queue_limits &limits, running_jobs &running) {
    auto scan = [&](const char *index, int bounds) {
        return compat::begin_index_scan(c.jobs.rel, c.jobs.index(index), &c.seen, bounds);
    };
    walk w{c, limits, running, rotation_of(c.queue), text_datum(c.queue), scan("jobs_fetch", 2), scan("jobs_fetch", 3),
           scan("jobs_fetch_key", 3), scan("jobs_fetch_key", 4), nullptr, 0, 0, 0, false};
    claim_in_turns(w);
    for (IndexScanDesc s : {w.levels, w.keyless, w.keys, w.inside}) index_endscan(s);
    c.blocked = c.blocked || w.blocked;
    sort_claims(c);
}

}  // namespace

void claim_limited(claims &c, const queue_limits &limits) {
    running_jobs running = count_running(c.jobs, c.queue, limits.max_running_per_key > 0);
    int64 room = limits.max_running > 0 ? std::max<int64>(limits.max_running - running.total, 0) : c.up_to;
    bool limited = room < c.up_to;
    c.up_to = static_cast<int32>(std::min<int64>(c.up_to, room));
    if (c.up_to > 0 && limits.max_running_per_key > 0)
        claim_by_key(c, limits, running);
    else if (c.up_to > 0)
        claim_due(c);
    c.blocked = c.blocked || limited || (limits.max_running > 0 && c.count == room);
    // Somebody's rollback may give room, and no event tells of it: look again soon.
    if (c.blocked && running.unsettled > 0) c.passed++;
}

}  // namespace chancy
