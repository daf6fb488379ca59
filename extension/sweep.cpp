// pruner: how it walks the jobs without walking all of them each time.
//
// A rule that does not count: the pruner remembers the table as segments, ranges of ids of about as many kept jobs each, and for
// each from when one of its jobs can match. Only segments that are due are walked, the longest due first, a bounded number
// in a turn. What lies behind the last segment, up to the youngest job that can be old enough, is walked each time, and becomes a segment
// when it has grown to one. So ten million kept jobs cost nothing until one of them is due, and then one segment.
//
// A rule that counts has to see all jobs that it counts: the walk goes from the newest job to the oldest, a bounded number a turn, and goes on
// there in the next one. Jobs that finish behind its back are not counted, so it keeps too many rather than too few.
//
// The memory may be lost at any time: then the walk begins anew.
#include "compat.hpp"
#include "pruner.hpp"

extern "C" {
#include "common/hashfn.h"
#include "utils/hsearch.h"
}

namespace chancy {

namespace {

constexpr int64 segments_in_scan = 10;              // a segment has a tenth of what a turn may look at
constexpr int64 longest_rest = USECS_PER_DAY;       // a segment is looked at once a day: ids of other clients may come late

// ---- walking

// The jobs with after < id <= upto (null: no bound), in id order; stops when on_job says false, and says so.
template <typename OnJob>
bool walk_up(table &jobs, const pg_uuid_t *after, const pg_uuid_t *upto, OnJob on_job) {
    ScanKeyData keys[2];
    int count = 0;
    if (after != nullptr)
        ScanKeyEntryInitialize(&keys[count++], 0, 1, BTGreaterStrategyNumber, InvalidOid, InvalidOid, F_UUID_GT, UUIDPGetDatum(after));
    if (upto != nullptr)
        ScanKeyEntryInitialize(&keys[count++], 0, 1, BTLessEqualStrategyNumber, InvalidOid, InvalidOid, F_UUID_LE, UUIDPGetDatum(upto));
    IndexScanDesc scan = compat::begin_index_scan(jobs.rel, jobs.index("jobs_pkey"), SnapshotSelf, count);
    index_rescan(scan, keys, count, nullptr, 0);
    bool whole = true;
    while (whole && index_getnext_slot(scan, ForwardScanDirection, jobs.found)) {
        CHECK_FOR_INTERRUPTS();
        whole = on_job();
    }
    index_endscan(scan);
    return whole;
}

pg_uuid_t id_in_slot(table &jobs) {
    bool null;
    return *DatumGetUUIDP(slot_getattr(jobs.found, jobs_id, &null));
}

// The greatest id of Chancy's layout with this time.
pg_uuid_t last_id_at(TimestampTz time) {
    pg_uuid_t id;
    uint64 high = pg_hton64(static_cast<uint64>((time + epoch_shift) * 10) << 4 | 7);
    memset(id.data, 0xff, sizeof id.data);
    memcpy(id.data, &high, sizeof high);
    return id;
}

// ---- segments

struct segment {
    pg_uuid_t upto;   // its last id; it begins behind the segment before
    TimestampTz due;
};

struct sweeper {
    pruning &p;
    int64 length;           // kept jobs in a segment
    segment *made;
    int count, capacity;
    int64 kept;             // in what was walked behind the last segment made
    TimestampTz due;
    pg_uuid_t last;         // looked at

    void make(const segment &s) {
        make_room(made, count, capacity);
        made[count++] = s;
    }
    void begin() {
        kept = 0;
        due = p.now + longest_rest;
    }
    // Ends the segment under way at this id, unless nothing in it was kept: the next one takes its place then.
    void end(const pg_uuid_t &upto) {
        if (kept > 0) make({upto, due});
        begin();
    }
    // Looks at the job in jobs.found; false when this turn is over.
    bool look() {
        if (p.full()) return false;
        last = id_in_slot(p.jobs);
        pruned job = prune_job(p, 0, 0);
        if (job.deleted) return true;
        kept++;
        due = std::min(due, job.due);
        if (kept >= length) end(last);
        return true;
    }
};

// Which of the due segments are walked in this turn: the longest due first.
bool *choose(std::span<const segment> all, int64 most, TimestampTz now) {
    bool *chosen = static_cast<bool *>(palloc0(all.size() + 1));
    int *due = static_cast<int *>(palloc(sizeof(int) * (all.size() + 1)));
    int count = 0;
    for (size_t i = 0; i < all.size(); i++)
        if (all[i].due <= now) due[count++] = static_cast<int>(i);
    int64 taken = std::min<int64>(count, most);
    std::nth_element(due, due + taken, due + count, [=](int a, int b) { return all[a].due < all[b].due; });
    for (int64 i = 0; i < taken; i++) chosen[due[i]] = true;
    return chosen;
}

// One range of ids: its segments in order, its lower end, and how far it reaches; null: no bound.
struct zone {
    std::span<const segment> segments;
    const pg_uuid_t *after, *upto;
    int64 most;  // of its due segments in one turn, so that what is behind them gets its share
};

// False when the turn was over before all that is due was seen.
bool walk_zone(sweeper &s, const zone &z) {
    bool *chosen = choose(z.segments, z.most, s.p.now), stopped = s.p.full();
    const pg_uuid_t *after = z.after;
    s.begin();
    for (size_t i = 0; i < z.segments.size(); after = &z.segments[i++].upto) {
        if (stopped || !chosen[i]) {
            if (!stopped && after != nullptr) s.end(*after);
            s.make(z.segments[i]);
            continue;
        }
        stopped = !walk_up(s.p.jobs, after, &z.segments[i].upto, [&] { return s.look(); });
        // Still due, with what was walked since the last one made.
        if (stopped) s.make(z.segments[i]);
    }
    if (stopped) return false;
    if (z.upto != nullptr && after != nullptr && compare(*after, *z.upto) >= 0) return true;
    bool whole = walk_up(s.p.jobs, after, z.upto, [&] { return s.look(); });
    if (!whole && s.p.deleted < s.p.up_to) s.p.cut = true;
    return whole;
}

}  // namespace

bytes sweep(pruning &p, bytes memory) {
    std::span<const segment> all{reinterpret_cast<const segment *>(memory.data), memory.size / sizeof(segment)};
    // Ids of Chancy's layout tell their time: a job that is too young to match has only younger ones behind it. Ids of other kinds sort
    // anywhere, most of them behind those.
    pg_uuid_t young = last_id_at(p.now - least_age(p.r)), future = last_id_at(p.now + USECS_PER_DAY);
    size_t ours = std::lower_bound(all.begin(), all.end(), future, [](const segment &s, const pg_uuid_t &id) { return compare(s.upto, id) <= 0; }) - all.begin();
    sweeper s{p, std::max<int64>(1, p.scan / segments_in_scan), nullptr, 0, 0, 0, 0, {}};
    walk_zone(s, {all.first(ours), nullptr, &young, segments_in_scan / 2});
    walk_zone(s, {all.subspan(ours), &future, nullptr, segments_in_scan / 5});
    return {reinterpret_cast<char *>(s.made), static_cast<int>(sizeof(segment)) * s.count};
}

bytes walk_all(pruning &p, bytes memory) {
    std::span<const segment> seen{reinterpret_cast<const segment *>(memory.data), memory.size / sizeof(segment)};
    sweeper s{p, PG_INT64_MAX, nullptr, 0, 0, 0, 0, {}};
    if (walk_zone(s, {seen, nullptr, nullptr, 0})) return {nullptr, 0};
    s.count = 0;
    s.make({s.last, DT_NOEND});  // goes on behind it
    return {reinterpret_cast<char *>(s.made), static_cast<int>(sizeof(segment))};
}

// ---- counting

namespace {

// How many finished jobs of a queue or func have been seen; by a hash of its name.
struct counted {
    uint64 name;
    int64 count;
};

struct count_memory {
    pg_uuid_t at;  // goes on before this id
    counted counts[FLEXIBLE_ARRAY_MEMBER];
};

HTAB *make_counts() {
    HASHCTL control{};
    control.keysize = sizeof(uint64);
    control.entrysize = sizeof(counted);
    control.hcxt = CurrentMemoryContext;
    return hash_create("chancy counts", 256, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

int64 count_job(HTAB *counts, bytes name, uint64 kind) {
    uint64 hash = hash_bytes_extended(reinterpret_cast<const unsigned char *>(name.data), name.size, kind);
    bool found;
    auto *entry = static_cast<counted *>(hash_search(counts, &hash, HASH_ENTER, &found));
    if (!found) entry->count = 0;
    return ++entry->count;
}

void restore_counts(HTAB *counts, bytes memory) {
    auto *from = reinterpret_cast<const count_memory *>(memory.data);
    size_t count = (memory.size - sizeof(count_memory)) / sizeof(counted);
    for (size_t i = 0; i < count; i++) {
        bool found;
        auto *entry = static_cast<counted *>(hash_search(counts, &from->counts[i].name, HASH_ENTER, &found));
        entry->count = from->counts[i].count;
    }
}

bytes keep_counts(HTAB *counts, const pg_uuid_t &at) {
    size_t size = sizeof(count_memory) + sizeof(counted) * hash_get_num_entries(counts);
    auto *memory = static_cast<count_memory *>(palloc_extended(size, MCXT_ALLOC_HUGE));
    memory->at = at;
    HASH_SEQ_STATUS all;
    hash_seq_init(&all, counts);
    size_t i = 0;
    while (auto *entry = static_cast<counted *>(hash_seq_search(&all))) memory->counts[i++] = *entry;
    return {reinterpret_cast<char *>(memory), static_cast<int>(size)};
}

}  // namespace

bytes count_down(pruning &p, bytes memory) {
    HTAB *counts = make_counts();
    ScanKeyData before;
    pg_uuid_t at{};
    int keys = 0;
    if (memory.data != nullptr) {
        restore_counts(counts, memory);
        at = reinterpret_cast<const count_memory *>(memory.data)->at;
        ScanKeyEntryInitialize(&before, 0, ++keys, BTLessStrategyNumber, InvalidOid, InvalidOid, F_UUID_LT, UUIDPGetDatum(&at));
    }
    bool per_queue = chancy::counts(p.r, false), per_func = chancy::counts(p.r, true), whole = false;
    IndexScanDesc scan = compat::begin_index_scan(p.jobs.rel, p.jobs.index("jobs_pkey"), SnapshotSelf, keys);
    index_rescan(scan, &before, keys, nullptr, 0);
    pg_uuid_t last = at;
    while (!p.full()) {
        CHECK_FOR_INTERRUPTS();
        whole = !index_getnext_slot(scan, BackwardScanDirection, p.jobs.found);
        if (whole) break;
        last = id_in_slot(p.jobs);
        job_row row = read_job(p.jobs.found);
        bool finished = !is_live(row.is);
        int64 in_queue = finished && per_queue ? count_job(counts, row.queue, 1) : 0;
        int64 in_func = finished && per_func ? count_job(counts, view(p.jobs.found->tts_values[jobs_func - 1]), 2) : 0;
        prune_job(p, in_queue, in_func);
    }
    index_endscan(scan);
    return whole ? bytes{nullptr, 0} : keep_counts(counts, last);
}

}  // namespace chancy
