// pruner: delete finished jobs.
//
// Age counts from completion. Never a live job, nor one that an unfinished workflow still refers to: its next
// steps depend on how that job ended. What somebody holds is passed by; nothing here waits. sweep.cpp tells
// which jobs are looked at.
#include "pruner.hpp"

#include "buffer.hpp"
#include "purge.hpp"
#include "statement.hpp"
#include "task.hpp"

extern "C" {
#include "common/hashfn.h"
}

namespace chancy {

namespace {

// Does an unfinished workflow refer to the job?
bool is_needed(const pg_uuid_t &id) {
    Relation steps = table_open(table_oid("workflow_steps"), AccessShareLock);
    bool needed = false;
    if (RelationGetNumberOfBlocks(steps) > 0) {
        AttrNumber job = get_attnum(RelationGetRelid(steps), "job_id"), workflow = get_attnum(RelationGetRelid(steps), "workflow_id");
        Oid index = get_relname_relid("workflow_steps_job", schema());
        ScanKeyData key;
        ScanKeyInit(&key, job, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(&id));
        SysScanDesc scan = systable_beginscan(steps, index, OidIsValid(index), SnapshotSelf, 1, &key);
        while (HeapTuple step = needed ? nullptr : systable_getnext(scan)) {
            bool null;
            Datum of = heap_getattr(step, workflow, RelationGetDescr(steps), &null);
            if (null) continue;
            with_row("workflows", F_UUID_EQ, of, [&](HeapTuple row, TupleDesc desc) {
                auto text = [=](const char *column) {
                    bool none;
                    Datum value = heap_getattr(row, get_attnum(table_oid("workflows"), column), desc, &none);
                    return none ? bytes{nullptr, 0} : view(value);
                };
                // state is Python's word, and does not know of compensation.
                bytes state = text("state"), status = text("status");
                needed = !(state == view("completed") || state == view("failed")) || (status.data != nullptr && status == view("compensating"));
            });
        }
        systable_endscan(scan);
    }
    table_close(steps, AccessShareLock);
    return needed;
}

constexpr int64 look_again = 10 * USECS_PER_MINUTE;  // at a job that a workflow needs, or that is still to be followed by another

// Until unique_until a finished job keeps its key taken.
TimestampTz key_taken_until(TupleTableSlot *slot) {
    return slot->tts_isnull[jobs_unique_until - 1] ? DT_NOBEGIN : DatumGetTimestampTz(slot->tts_values[jobs_unique_until - 1]);
}

}  // namespace

pruned prune_job(pruning &p, int64 newer_in_queue, int64 newer_in_func) {
    p.looked++;
    job_row row = read_job(p.jobs.found);
    // It may end any moment, and is as old as nothing then.
    if (is_live(row.is)) return {false, p.now + least_age(p.r)};
    Datum *values = p.jobs.found->tts_values;
    TimestampTz completed = p.jobs.found->tts_isnull[jobs_completed_at - 1] ? DT_NOEND : DatumGetTimestampTz(values[jobs_completed_at - 1]);
    job_facts job{row.queue, view(values[jobs_func - 1]), view(name(row.is)), completed, newer_in_queue, newer_in_func};
    if (!matches(p.r, job, p.now)) return {false, earliest_match(p.r, job, p.now)};
    if (TimestampTz until = key_taken_until(p.jobs.found); until > p.now) return {false, until};
    if (row.has_next || is_needed(row.id)) return {false, p.now + look_again};
    ItemPointerData tid = p.jobs.found->tts_tid;
    if (delete_row(p.jobs.rel, &tid, false) != TM_Ok) return {false, p.now};
    p.deleted++;
    return {true, 0};
}

namespace {

// Memory is good for one rule and one length of segments.
struct tagged {
    uint64 tag;
    char rest[FLEXIBLE_ARRAY_MEMBER];
};

uint64 tag_of(Jsonb *rule, int64 scan) {
    return hash_bytes_extended(reinterpret_cast<unsigned char *>(VARDATA(rule)), VARSIZE(rule) - VARHDRSZ, scan);
}

bytes untag(bytes memory, uint64 tag) {
    if (memory.data == nullptr || memory.size < static_cast<int>(sizeof(uint64))) return {nullptr, 0};
    // Copied, for its alignment.
    char *copy = static_cast<char *>(palloc(memory.size));
    memcpy(copy, memory.data, memory.size);
    if (reinterpret_cast<tagged *>(copy)->tag != tag) return {nullptr, 0};
    return {copy + sizeof(uint64), memory.size - static_cast<int>(sizeof(uint64))};
}

bytes tag_memory(bytes memory, uint64 tag) {
    if (memory.data == nullptr) return {nullptr, 0};
    char *both = static_cast<char *>(palloc_extended(memory.size + sizeof(uint64), MCXT_ALLOC_HUGE));
    memcpy(both, &tag, sizeof tag);
    memcpy(both + sizeof tag, memory.data, memory.size);
    return {both, memory.size + static_cast<int>(sizeof(uint64))};
}

constexpr int64 no_bound = PG_INT64_MAX;

// In one turn; leaves in *memory where to go on.
int prune(Jsonb *given, int32 up_to, int64 scan, bytes *memory, bool *more) {
    rule r = read_rule(given, "rule", rule_use::finished);
    uint64 tag = tag_of(given, scan);
    bool counting = counts(r, false) || counts(r, true);
    int deleted = with_jobs([&, up_to, scan](table &jobs) {
        check_deletable(jobs.rel);
        pruning p{jobs, r, GetCurrentTimestamp(), up_to, scan};
        bytes before = untag(*memory, tag);
        bytes after = counting ? count_down(p, before) : scan == no_bound ? walk_all(p, before) : sweep(p, before);
        *memory = tag_memory(after, tag);
        *more = p.deleted >= up_to || p.cut;
        return p.deleted;
    });
    if (deleted > 0) note_locks();
    CommandCounterIncrement();
    return deleted;
}

// Metrics that nobody has written for so long.
int64 prune_metrics(int64 age) {
    parameter before{TIMESTAMPTZOID, TimestampTzGetDatum(GetCurrentTimestamp() - age), false};
    return run_as_owner(
        "DELETE FROM chancy.metrics m USING (SELECT o.metric_key, o.resolution, o.worker_id FROM chancy.metrics o"
        " WHERE o.updated_at OPERATOR(pg_catalog.<) $1 LIMIT 10000 FOR UPDATE SKIP LOCKED) AS old"
        " WHERE m.metric_key OPERATOR(pg_catalog.=) old.metric_key AND m.resolution OPERATOR(pg_catalog.=) old.resolution"
        " AND m.worker_id OPERATOR(pg_catalog.=) old.worker_id",
        {&before, 1});
}

task_result run_pruner(const task_settings &s) {
    StringInfoData did;
    initStringInfo(&did);
    task_result result{nullptr, 0, s.memory};
    int deleted = 0;
    if (JsonbValue *rule = s.find("rule")) {
        bool more = false;
        deleted = prune(JsonbValueToJsonb(rule), s.whole("up_to", 10000), s.whole("scan", 200000), &result.memory, &more);
        if (more) result.again = 1;
    }
    appendStringInfo(&did, "{\"deleted\": %d", deleted);
    if (s.find("metrics") != nullptr) appendStringInfo(&did, ", \"metrics\": " INT64_FORMAT, prune_metrics(s.span("metrics", 0)));
    appendStringInfoChar(&did, '}');
    result.did = did.data;
    return result;
}

void check_rule(JsonbValue *value, place where) {
    if (value->type != jbvBinary) refuse(where, "must be an object", rule_hint);
    read_rule(JsonbValueToJsonb(value), where.field, rule_use::finished);
}

constexpr task_setting known[] = {
    {"rule", task_setting::custom, 0, 0, check_rule},
    {"up_to", task_setting::whole, 1, 1e6, nullptr},
    {"scan", task_setting::whole, 10, 1e9, nullptr},
    {"metrics", task_setting::span, 60, 1e9, nullptr},
};

}  // namespace

extern const task pruner_task;
constinit const task pruner_task{"pruner", 60 * USECS_PER_SEC, known, run_pruner, nullptr};

namespace {

// Where the last call of prune_jobs in this session stopped: one with the same rule goes on there, so that many small batches do not walk
// the same jobs again and again. In TopMemoryContext.
bytes last_walk{nullptr, 0};
bool walked_in_transaction = false;
TimestampTz walked_at = 0;
constexpr int64 remembered = 60 * USECS_PER_SEC;

void forget_walk() {
    if (last_walk.data != nullptr) pfree(const_cast<char *>(last_walk.data));
    last_walk = {nullptr, 0};
}

// What was rolled back has not been walked.
void at_transaction(XactEvent event, void *) {
    if (event == XACT_EVENT_ABORT && walked_in_transaction) forget_walk();
    if (event == XACT_EVENT_ABORT || event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE) walked_in_transaction = false;
}

void remember_walk(bytes memory) {
    static bool registered = false;
    if (!registered) RegisterXactCallback(at_transaction, nullptr);
    registered = true;
    forget_walk();
    walked_in_transaction = true;
    walked_at = GetCurrentTimestamp();
    if (memory.data == nullptr) return;
    char *kept = static_cast<char *>(MemoryContextAllocHuge(TopMemoryContext, memory.size));
    memcpy(kept, memory.data, memory.size);
    last_walk = {kept, memory.size};
}

int prune_jobs(FunctionCallInfo fcinfo) {
    check_given(fcinfo, 0, "rule");
    check_given(fcinfo, 1, "up_to");
    int32 up_to = PG_GETARG_INT32(1);
    if (up_to < 1) refuse({nullptr, 0, "up_to"}, "must be at least 1", "Call again for more.");
    require(role_kind::admin);
    bytes memory = GetCurrentTimestamp() - walked_at < remembered ? last_walk : bytes{nullptr, 0};
    bool more;
    int deleted = prune(PG_GETARG_JSONB_P(0), up_to, no_bound, &memory, &more);
    remember_walk(memory);
    return deleted;
}

}  // namespace

}  // namespace chancy

extern "C" {

CHANCY_FUNCTION(chancy_prune_jobs) {
    using namespace chancy;
    PreventCommandIfReadOnly("chancy.prune_jobs()");
    PG_RETURN_INT32(with_memory("chancy prune_jobs", [=] { return prune_jobs(fcinfo); }));
}
}
