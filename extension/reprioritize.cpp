// reprioritize: raise the priority of jobs that wait for long.
//
// A job is raised once per interval, counted from when it was due and from when it was raised last (raised_at), up to a ceiling,
// which no job is raised above; so it ends. The walk goes through the fetch index, priority by priority, below the
// ceiling; within one the jobs stand by age, so those that are too young end it. A job that somebody holds is passed by: nothing here waits.
#include "buffer.hpp"
#include "compat.hpp"
#include "role.hpp"
#include "rule.hpp"
#include "task.hpp"
#include "worker.hpp"

extern "C" {
#include "common/hashfn.h"
}

namespace chancy {

namespace {

struct raising {
    int32 ceiling, by;
    int64 interval;    // microseconds
    const rule *which;  // null: all
    int32 up_to;
    int64 scan;        // looks at most at so many
    TimestampTz now;
    int32 raised;
    int64 looked;

    bool full() const { return raised >= up_to || looked >= scan; }
};

// Where a walk stands: behind a job of one priority of one queue.
struct position {
    bytes queue;     // data null: at the beginning
    int32 priority;
    pg_uuid_t id;
};

// The first waiting job at or behind a place in fetch order, into jobs.found.
bool first_job(table &jobs, std::span<ScanKeyData> keys) {
    IndexScanDesc scan = compat::begin_index_scan(jobs.rel, jobs.index("jobs_fetch"), SnapshotSelf, keys.size());
    index_rescan(scan, keys.data(), keys.size(), nullptr, 0);
    bool found = index_getnext_slot(scan, ForwardScanDirection, jobs.found);
    if (found) ExecMaterializeSlot(jobs.found);
    index_endscan(scan);
    return found;
}

ScanKeyData queue_key(StrategyNumber strategy, RegProcedure compare, bytes queue) {
    ScanKeyData key;
    ScanKeyEntryInitialize(&key, 0, 1, strategy, InvalidOid, C_COLLATION_OID, compare, text_datum(queue));
    return key;
}

ScanKeyData priority_key(StrategyNumber strategy, RegProcedure compare, int32 priority) {
    ScanKeyData key;
    ScanKeyEntryInitialize(&key, 0, 2, strategy, InvalidOid, InvalidOid, compare, Int32GetDatum(priority));
    return key;
}

bool next_queue(table &jobs, position &at) {
    ScanKeyData keys[] = {queue_key(BTGreaterStrategyNumber, F_TEXT_GT, at.queue)};
    if (!first_job(jobs, {keys, at.queue.data == nullptr ? 0u : 1u})) return false;
    bytes queue = read_job(jobs.found).queue;
    at.queue = {pnstrdup(queue.data, queue.size), queue.size};
    return true;
}

// The highest priority of the queue below `below`.
bool next_priority(table &jobs, position &at, int32 below) {
    ScanKeyData keys[] = {queue_key(BTEqualStrategyNumber, F_TEXTEQ, at.queue), priority_key(BTLessStrategyNumber, F_INT4LT, below)};
    if (!first_job(jobs, keys)) return false;
    slot_getallattrs(jobs.found);
    at.priority = DatumGetInt32(jobs.found->tts_values[jobs_priority - 1]);
    memset(at.id.data, 0, sizeof at.id.data);
    return true;
}

TimestampTz time_or(table &jobs, int column, TimestampTz fallback) {
    return jobs.found->tts_isnull[column - 1] ? fallback : DatumGetTimestampTz(jobs.found->tts_values[column - 1]);
}

void raise_job(table &jobs, raising &r) {
    job_row row = read_job(jobs.found);
    if (!is_waiting(row.is) || row.attempts >= row.max_attempts) return;
    Datum *values = jobs.found->tts_values;
    TimestampTz since = std::max(row.scheduled_at, DatumGetTimestampTz(values[jobs_created_at - 1]));
    if (std::max(since, time_or(jobs, jobs_raised_at, DT_NOBEGIN)) > r.now - r.interval) return;
    job_facts job{row.queue, view(values[jobs_func - 1]), view(name(row.is)), since, 0, 0};
    if (r.which != nullptr && !matches(*r.which, job, r.now)) return;
    int64 priority = std::min<int64>(r.ceiling, static_cast<int64>(DatumGetInt32(values[jobs_priority - 1])) + r.by);
    copy_row(jobs, jobs.found);
    set(jobs, jobs_priority, Int32GetDatum(static_cast<int32>(priority)));
    set(jobs, jobs_raised_at, TimestampTzGetDatum(r.now));
    r.raised += update(jobs, &jobs.found->tts_tid, false) == TM_Ok;
}

// The jobs of one priority behind at.id, in id order; false when this turn is over. An id of Chancy's layout tells when the job
// came: behind one that is too young there are only younger ones.
bool raise_priority(table &jobs, raising &r, position &at) {
    ScanKeyData id;
    ScanKeyEntryInitialize(&id, 0, 3, BTGreaterStrategyNumber, InvalidOid, InvalidOid, F_UUID_GT, UUIDPGetDatum(&at.id));
    ScanKeyData keys[] = {queue_key(BTEqualStrategyNumber, F_TEXTEQ, at.queue), priority_key(BTEqualStrategyNumber, F_INT4EQ, at.priority), id};
    IndexScanDesc scan = compat::begin_index_scan(jobs.rel, jobs.index("jobs_fetch"), SnapshotSelf, 3);
    index_rescan(scan, keys, 3, nullptr, 0);
    bool over = false;
    pg_uuid_t last = at.id;  // not into at.id: the scan's key points there
    while (!over && index_getnext_slot(scan, ForwardScanDirection, jobs.found)) {
        CHECK_FOR_INTERRUPTS();
        last = read_job(jobs.found).id;
        if (TimestampTz made = id_time(last); made != 0 && made > r.now - r.interval) break;
        r.looked++;
        raise_job(jobs, r);
        over = r.full();
    }
    index_endscan(scan);
    at.id = last;
    return !over;
}

// Goes on behind *at, and leaves there where to go on; queue null when it came to the end.
void raise(table &jobs, raising &r, position *at) {
    bool resumed = at->queue.data != nullptr;
    while (resumed || next_queue(jobs, *at)) {
        bool skip = r.which != nullptr && excludes_queue(*r.which, at->queue);
        for (bool more = resumed || (!skip && next_priority(jobs, *at, r.ceiling)); more; more = next_priority(jobs, *at, at->priority))
            if (!raise_priority(jobs, r, *at)) return;
        resumed = false;
    }
    at->queue = {nullptr, 0};
}

int raise_from(raising &r, position *at) {
    with_jobs([&](table &jobs) { raise(jobs, r, at); });
    if (r.raised > 0) note_locks();
    CommandCounterIncrement();
    return r.raised;
}

// ---- the task

// Good for one setting; the queue's name stands behind it.
struct memory {
    uint64 tag;
    int32 priority;
    pg_uuid_t id;
};

position restore(bytes from, uint64 tag) {
    memory m;
    if (from.data == nullptr || from.size <= static_cast<int>(sizeof m)) return {};
    memcpy(&m, from.data, sizeof m);
    if (m.tag != tag) return {};
    return {{from.data + sizeof m, from.size - static_cast<int>(sizeof m)}, m.priority, m.id};
}

bytes keep(const position &at, uint64 tag) {
    if (at.queue.data == nullptr) return {nullptr, 0};
    memory m{tag, at.priority, at.id};
    char *both = static_cast<char *>(palloc(sizeof m + at.queue.size));
    memcpy(both, &m, sizeof m);
    memcpy(both + sizeof m, at.queue.data, at.queue.size);
    return {both, static_cast<int>(sizeof m) + at.queue.size};
}

// Does nothing until a ceiling is set.
task_result run_reprioritize(const task_settings &s) {
    if (s.find("ceiling") == nullptr) return {"{\"raised\": 0}", 0, {nullptr, 0}};
    rule which{};
    JsonbValue *given = s.find("rule");
    if (given != nullptr) which = read_rule(JsonbValueToJsonb(given), "rule", rule_use::waiting);
    raising r{.ceiling = s.whole("ceiling", 0), .by = s.whole("by", 1), .interval = s.span("interval", 300 * USECS_PER_SEC),
              .which = given == nullptr ? nullptr : &which, .up_to = s.whole("up_to", 10000), .scan = s.whole("scan", 200000),
              .now = GetCurrentTimestamp(), .raised = 0, .looked = 0};
    uint64 tag = hash_bytes_extended(reinterpret_cast<unsigned char *>(VARDATA(s.given)), VARSIZE(s.given) - VARHDRSZ, 0);
    position at = restore(s.memory, tag);
    int raised = raise_from(r, &at);
    return {psprintf("{\"raised\": %d}", raised), raised >= r.up_to ? 1 : 0, keep(at, tag)};
}

void check_rule(JsonbValue *value, place where) {
    if (value->type != jbvBinary) refuse(where, "must be an object", rule_hint);
    read_rule(JsonbValueToJsonb(value), where.field, rule_use::waiting);
}

constexpr task_setting known[] = {
    {"ceiling", task_setting::whole, PG_INT32_MIN, PG_INT32_MAX, nullptr},
    {"by", task_setting::whole, 1, PG_INT32_MAX, nullptr},
    {"interval", task_setting::span, 1, 1e9, nullptr},
    {"rule", task_setting::custom, 0, 0, check_rule},
    {"up_to", task_setting::whole, 1, 1e6, nullptr},
    {"scan", task_setting::whole, 10, 1e9, nullptr},
};

}  // namespace

extern const task reprioritize_task;
constinit const task reprioritize_task{"reprioritize", 60 * USECS_PER_SEC, known, run_reprioritize, nullptr};

namespace {

int reprioritize(FunctionCallInfo fcinfo) {
    place here{nullptr, 0, nullptr};
    const char *names[] = {"ceiling", "raise_by", "every"};
    for (int i = 0; i < 3; i++) check_given(fcinfo, i, names[i]);
    check_given(fcinfo, 4, "up_to");
    rule which{};
    if (!fcinfo->args[3].isnull) which = read_rule(PG_GETARG_JSONB_P(3), "rule", rule_use::waiting);
    raising r{.ceiling = PG_GETARG_INT32(0), .by = PG_GETARG_INT32(1), .interval = microseconds(PG_GETARG_INTERVAL_P(2)),
              .which = fcinfo->args[3].isnull ? nullptr : &which, .up_to = PG_GETARG_INT32(4), .scan = PG_INT64_MAX,
              .now = GetCurrentTimestamp(), .raised = 0, .looked = 0};
    if (r.by < 1) refuse(here.at("raise_by"), "must be at least 1", "Give how much to add to the priority.");
    if (r.interval < USECS_PER_SEC) refuse(here.at("every"), "must be at least 1 second", "Give an interval, such as '5 min'.");
    if (r.up_to < 1) refuse(here.at("up_to"), "must be at least 1", "Call again for more.");
    require(role_kind::admin);
    position at{};
    return raise_from(r, &at);
}

}  // namespace

}  // namespace chancy

extern "C" {

CHANCY_FUNCTION(chancy_reprioritize) {
    using namespace chancy;
    PreventCommandIfReadOnly("chancy.reprioritize()");
    PG_RETURN_INT32(with_memory("chancy reprioritize", [=] { return reprioritize(fcinfo); }));
}
}
