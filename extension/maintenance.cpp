// maintenance: what has to be done from time to time.
//
// There is no leader: whoever calls maintain() claims each due task by locking its row in task_runs, without
// waiting, so two calls at once share the work and a task runs at most once per interval.
#include "maintenance.hpp"

#include "buffer.hpp"
#include "event.hpp"
#include "pruner.hpp"
#include "recovery.hpp"
#include "rows.hpp"
#include "worker.hpp"

extern "C" {
#include "utils/json.h"
}

namespace chancy {

namespace {

enum run_column : int { run_name = 1, run_last };

// The row of the name, locked by us in runs.held; made when there is none, with last_run as given. False
// when somebody else holds it or is making it.
bool claim_run(table &runs, const char *name, TimestampTz initial) {
    SnapshotData dirty;
    InitDirtySnapshot(dirty);
    lookup by_name = begin_lookup(runs, "task_runs_pkey", F_TEXTEQ, C_COLLATION_OID, &dirty);
    seek(by_name, text_datum(view(name)));
    bool found = index_getnext_slot(by_name.scan, ForwardScanDirection, runs.found);
    bool foreign = found && TransactionIdIsValid(dirty.xmin);
    ItemPointerData tid = runs.found->tts_tid;
    end_lookup(by_name);
    if (foreign) return false;
    if (!found) {
        ExecClearTuple(runs.next);
        memset(runs.next->tts_isnull, true, RelationGetDescr(runs.rel)->natts);
        set(runs, run_name, text_datum(view(name)));
        set(runs, run_last, TimestampTzGetDatum(initial));
        if (!insert_speculatively(runs)) return false;
        CommandCounterIncrement();
        tid = runs.next->tts_tid;
    }
    return lock_row(runs, &tid, LockTupleNoKeyExclusive, LockWaitSkip) == TM_Ok;
}

TimestampTz last_run(table &runs) {
    slot_getallattrs(runs.held);
    return DatumGetTimestampTz(runs.held->tts_values[run_last - 1]);
}

void note_run(table &runs, TimestampTz now) {
    copy_row(runs, runs.held);
    set(runs, run_last, TimestampTzGetDatum(now));
    ItemPointerData tid = runs.held->tts_tid;
    if (update(runs, &tid, true) != TM_Ok) elog(ERROR, "a locked row of chancy.task_runs changed");
    CommandCounterIncrement();
}

// What the user set for a task, over its default.
struct task_settings {
    bool enabled;
    int64 every;  // microseconds
    Jsonb *settings;
};

task_settings read_settings(const char *task, task_settings defaults) {
    constexpr int every = 2, enabled = 3, settings = 4;
    with_row("tasks", F_TEXTEQ, text_datum(view(task)), [&](HeapTuple row, TupleDesc desc) {
        bool null;
        Datum value = heap_getattr(row, every, desc, &null);
        if (!null) defaults.every = microseconds(DatumGetIntervalP(value));
        value = heap_getattr(row, enabled, desc, &null);
        if (!null) defaults.enabled = DatumGetBool(value);
        defaults.settings = DatumGetJsonbPCopy(heap_getattr(row, settings, desc, &null));
    });
    return defaults;
}

double setting_of(const task_settings &s, const char *name, double fallback) {
    bool given = s.settings != nullptr && JB_ROOT_IS_OBJECT(s.settings);
    return std::clamp(given ? json_number(&s.settings->root, name, fallback) : fallback, 0.0, 1e9);
}

// Runs a task so that its failure is told and the others go on.
const char *run_apart(const char *(*run)(const task_settings &), const task_settings &s) {
    MemoryContext context = CurrentMemoryContext;
    ResourceOwner resources = CurrentResourceOwner;
    const char *volatile did = nullptr;
    BeginInternalSubTransaction(nullptr);
    MemoryContextSwitchTo(context);
    PG_TRY();
    {
        did = run(s);
        ReleaseCurrentSubTransaction();
    }
    PG_CATCH();
    {
        MemoryContextSwitchTo(context);
        ErrorData *error = CopyErrorData();
        RollbackAndReleaseCurrentSubTransaction();
        MemoryContextSwitchTo(context);
        CurrentResourceOwner = resources;
        // Classes 57 (cancelled, shut down), 53 and 58 (resources, system) are not the task's own fault.
        int category = ERRCODE_TO_CATEGORY(error->sqlerrcode);
        if (category == ERRCODE_TO_CATEGORY(ERRCODE_QUERY_CANCELED) ||
            category == ERRCODE_TO_CATEGORY(ERRCODE_INSUFFICIENT_RESOURCES) ||
            category == ERRCODE_TO_CATEGORY(ERRCODE_SYSTEM_ERROR))
            PG_RE_THROW();
        FlushErrorState();
        StringInfoData json;
        initStringInfo(&json);
        appendStringInfoString(&json, "{\"error\": ");
        escape_json(&json, error->message);
        appendStringInfoChar(&json, '}');
        did = json.data;
    }
    PG_END_TRY();
    MemoryContextSwitchTo(context);
    CurrentResourceOwner = resources;
    return did;
}

// Each task returns what it did as JSON text, or null when it did nothing.
const char *run_recovery(const task_settings &s) {
    int32 most = static_cast<int32>(setting_of(s, "max_recoveries", 3));
    int64 grace = static_cast<int64>(setting_of(s, "grace", 90) * USECS_PER_SEC);
    recovery done = with_jobs([=](table &jobs) { return recover(jobs, most, grace, max_batch); });
    return psprintf("{\"recovered\": %d, \"failed\": %d}", done.recovered, done.failed);
}

const char *run_pruner(const task_settings &s) {
    JsonbValue key;
    key.type = jbvString;
    key.val.string.val = const_cast<char *>("rule");
    key.val.string.len = 4;
    JsonbValue *rule = s.settings == nullptr ? nullptr : findJsonbValueFromContainer(&s.settings->root, JB_FOBJECT, &key);
    if (rule == nullptr) return "{\"deleted\": 0}";
    return psprintf("{\"deleted\": %d}", prune(JsonbValueToJsonb(rule), static_cast<int32>(setting_of(s, "up_to", 10000))));
}

// Workers that expired a day ago: recovery has long seen to their jobs.
const char *run_workers(const task_settings &s) {
    TimestampTz before = GetCurrentTimestamp() - static_cast<int64>(setting_of(s, "keep", SECS_PER_DAY) * USECS_PER_SEC);
    int deleted = 0;
    Relation workers = table_open(table_oid("workers"), RowExclusiveLock);
    TableScanDesc scan = table_beginscan(workers, SnapshotSelf, 0, nullptr);
    TupleTableSlot *slot = table_slot_create(workers, nullptr);
    while (table_scan_getnextslot(scan, ForwardScanDirection, slot)) {
        bool null;
        CHECK_FOR_INTERRUPTS();
        if (DatumGetTimestampTz(slot_getattr(slot, 5, &null)) >= before) continue;
        TM_FailureData failure;
        ItemPointerData tid = slot->tts_tid;
        deleted += table_tuple_delete(workers, &tid, GetCurrentCommandId(true), SnapshotSelf, InvalidSnapshot, false, &failure,
                                      false) == TM_Ok;
    }
    ExecDropSingleTupleTableSlot(slot);
    table_endscan(scan);
    table_close(workers, NoLock);
    return psprintf("{\"deleted\": %d}", deleted);
}

struct task {
    const char *name;
    task_settings defaults;
    const char *(*run)(const task_settings &);
};

constexpr task all_tasks[] = {
    {"recovery", {true, 10 * USECS_PER_SEC, nullptr}, run_recovery},
    {"pruner", {true, 60 * USECS_PER_SEC, nullptr}, run_pruner},
    {"workers", {true, 60 * USECS_PER_SEC, nullptr}, run_workers},
};

void maintain(const rows &out) {
    require(role_kind::worker);
    with_table("task_runs", true, [&](table &runs) {
        TimestampTz now = GetCurrentTimestamp();
        for (const task &t : all_tasks) {
            task_settings s = read_settings(t.name, t.defaults);
            if (!s.enabled || !claim_run(runs, t.name, 0) || now - last_run(runs) < s.every) continue;
            note_run(runs, now);
            const char *did = run_apart(t.run, s);
            Datum values[] = {text_datum(view(t.name)), DirectFunctionCall1(jsonb_in, CStringGetDatum(did))};
            bool nulls[] = {false, false};
            out.put(values, nulls);
        }
    });
    CommandCounterIncrement();
}

}  // namespace

TimestampTz up_since() {
    return with_table("task_runs", true, [](table &runs) {
        TimestampTz now = GetCurrentTimestamp();
        // Somebody else is noting it just now: then it is not long.
        return claim_run(runs, "up", now) ? last_run(runs) : now;
    });
}

}  // namespace chancy

extern "C" {

CHANCY_FUNCTION(chancy_maintain) {
    using namespace chancy;
    PreventCommandIfReadOnly("chancy.maintain()");
    rows out = begin_rows(fcinfo);
    with_memory("chancy maintain", [=] { maintain(out); });
    return 0;
}
}
