// maintenance: what has to be done from time to time.
//
// There is no leader: whoever calls maintain() claims each due task by locking its row in task_runs, without
// waiting, so two calls at once share the work and a task runs at most once per interval. Whether a task is due is
// looked up without a lock first: a call that finds nothing to do writes nothing.
#include "maintenance.hpp"

#include "buffer.hpp"
#include "rows.hpp"

extern "C" {
#include "utils/json.h"
}

namespace chancy {

namespace {

enum run_column : int { run_name = 1, run_last, run_again, run_did, run_error, run_failed, run_memory };

// What is known of a task's runs; times are 0 when there is none.
struct run_row {
    TimestampTz last, again, failed;
    const char *did, *error;
    bytes memory;
};

template <typename Column>
run_row read_run(Column column) {
    auto time = [&](int n) {
        bool null;
        Datum value = column(n, &null);
        return null ? 0 : DatumGetTimestampTz(value);
    };
    run_row r{time(run_last), time(run_again), time(run_failed), nullptr, nullptr, {nullptr, 0}};
    bool null;
    Datum value = column(run_did, &null);
    if (!null) r.did = JsonbToCString(nullptr, &DatumGetJsonbP(value)->root, -1);
    value = column(run_error, &null);
    if (!null) r.error = text_to_cstring(DatumGetTextPP(value));
    value = column(run_memory, &null);
    if (!null) r.memory = view(PG_DETOAST_DATUM_COPY(value));
    return r;
}

// As committed now, without a lock.
run_row look_at_run(const char *name) {
    run_row r{};
    with_row("task_runs", F_TEXTEQ, text_datum(view(name)), [&](HeapTuple row, TupleDesc desc) {
        r = read_run([=](int n, bool *null) { return heap_getattr(row, n, desc, null); });
    });
    return r;
}

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
        new_row(runs);
        set(runs, run_name, text_datum(view(name)));
        set(runs, run_last, TimestampTzGetDatum(initial));
        if (!insert_speculatively(runs)) return false;
        CommandCounterIncrement();
        tid = runs.next->tts_tid;
    }
    return lock_row(runs, &tid, LockTupleNoKeyExclusive, LockWaitSkip) == TM_Ok;
}

run_row claimed_run(table &runs) {
    slot_getallattrs(runs.held);
    return read_run([&](int n, bool *null) {
        *null = runs.held->tts_isnull[n - 1];
        return runs.held->tts_values[n - 1];
    });
}

TimestampTz due_at(const task &t, const task_settings &s, const run_row &r, TimestampTz now) {
    if (!s.enabled) return DT_NOEND;
    TimestampTz at = r.again != 0 ? r.again : r.last + s.every;
    if (r.last > now) at = now;  // the clock was set back
    return t.from == nullptr ? at : std::max(at, t.from(s));
}

// Runs a task so that its failure is told and the others go on.
ran run_apart(const task &t, const task_settings &s, task_result *result) {
    MemoryContext context = CurrentMemoryContext;
    ResourceOwner resources = CurrentResourceOwner;
    const char *volatile error_text = nullptr;
    BeginInternalSubTransaction(nullptr);
    MemoryContextSwitchTo(context);
    PG_TRY();
    {
        *result = t.run(s);
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
        error_text = error->message;
    }
    PG_END_TRY();
    MemoryContextSwitchTo(context);
    CurrentResourceOwner = resources;
    if (error_text == nullptr) return {true, result->did, nullptr, false};
    StringInfoData json;
    initStringInfo(&json);
    appendStringInfoString(&json, "{\"error\": ");
    escape_json(&json, error_text);
    appendStringInfoChar(&json, '}');
    *result = {json.data, 0, {nullptr, 0}};
    return {true, json.data, error_text, false};
}

void note_run(table &runs, TimestampTz now, const ran &run, const task_result &result) {
    copy_row(runs, runs.held);
    set(runs, run_last, TimestampTzGetDatum(now));
    set_null(runs, run_again);
    if (result.again > 0) set(runs, run_again, TimestampTzGetDatum(now + result.again));
    set(runs, run_did, DirectFunctionCall1(jsonb_in, CStringGetDatum(result.did)));
    if (run.error != nullptr) {
        set(runs, run_error, text_datum(view(run.error)));
        set(runs, run_failed, TimestampTzGetDatum(now));
    }
    set_null(runs, run_memory);
    if (result.memory.data != nullptr) set(runs, run_memory, text_datum(result.memory));  // a bytea is laid out as a text
    ItemPointerData tid = runs.held->tts_tid;
    if (update(runs, &tid, true) != TM_Ok) elog(ERROR, "a locked row of chancy.task_runs changed");
    CommandCounterIncrement();
}

}  // namespace

ran run_if_due(table &runs, const task &t) {
    TimestampTz now = GetCurrentTimestamp();
    task_settings s = read_settings(t);
    if (due_at(t, s, look_at_run(t.name), now) > now) return {};
    if (!claim_run(runs, t.name, 0)) return {};
    run_row before = claimed_run(runs);
    if (due_at(t, s, before, now) > now) return {};
    note_locks();
    s.memory = before.memory;
    task_result result{};
    ran run = run_apart(t, s, &result);
    bool failed_before = before.failed != 0 && before.failed == before.last;
    run.news = run.error != nullptr && !(failed_before && strcmp(before.error, run.error) == 0);
    note_run(runs, now, run, result);
    return run;
}

TimestampTz next_due() {
    TimestampTz now = GetCurrentTimestamp(), next = DT_NOEND;
    for (const task *t : tasks()) next = std::min(next, due_at(*t, read_settings(*t), look_at_run(t->name), now));
    return next;
}

TimestampTz up_since() {
    return with_runs([](table &runs) {
        TimestampTz now = GetCurrentTimestamp();
        // Somebody else is noting it just now: then it is not long.
        return claim_run(runs, "up", now) ? claimed_run(runs).last : now;
    });
}

namespace {

void maintain(const rows &out) {
    require(role_kind::worker);
    with_runs([&](table &runs) {
        for (const task *t : tasks()) {
            ran run = run_if_due(runs, *t);
            if (!run.any) continue;
            Datum values[] = {text_datum(view(t->name)), DirectFunctionCall1(jsonb_in, CStringGetDatum(run.did))};
            bool nulls[] = {false, false};
            out.put(values, nulls);
        }
    });
    CommandCounterIncrement();
}

void list_tasks(const rows &out) {
    require(role_kind::reader);
    TimestampTz now = GetCurrentTimestamp();
    for (const task *t : tasks()) {
        task_settings s = read_settings(*t);
        run_row r = look_at_run(t->name);
        TimestampTz due = due_at(*t, s, r, now);
        Datum every = DirectFunctionCall7(make_interval, 0, 0, 0, 0, 0, 0, Float8GetDatum(static_cast<double>(s.every) / USECS_PER_SEC));
        auto json = [](const char *text) { return DirectFunctionCall1(jsonb_in, CStringGetDatum(text)); };
        Datum values[] = {text_datum(view(t->name)),
                          BoolGetDatum(s.enabled),
                          every,
                          s.given == nullptr ? json("{}") : JsonbPGetDatum(s.given),
                          TimestampTzGetDatum(r.last),
                          TimestampTzGetDatum(due),
                          r.did == nullptr ? 0 : json(r.did),
                          r.error == nullptr ? 0 : text_datum(view(r.error)),
                          TimestampTzGetDatum(r.failed)};
        bool nulls[] = {false, false, false, false, r.last == 0, TIMESTAMP_IS_NOEND(due), r.did == nullptr, r.error == nullptr, r.failed == 0};
        // Never run: due now.
        if (r.last == 0 && due < now) values[5] = TimestampTzGetDatum(now);
        out.put(values, nulls);
    }
}

}  // namespace

}  // namespace chancy

extern "C" {

CHANCY_FUNCTION(chancy_maintain) {
    using namespace chancy;
    PreventCommandIfReadOnly("chancy.maintain()");
    rows out = begin_rows(fcinfo);
    with_memory("chancy maintain", [=] { maintain(out); });
    return 0;
}

CHANCY_FUNCTION(chancy_next_maintenance) {
    using namespace chancy;
    require(role_kind::worker);
    TimestampTz due = with_memory("chancy next_maintenance", [] { return next_due(); });
    if (TIMESTAMP_IS_NOEND(due)) PG_RETURN_NULL();
    PG_RETURN_TIMESTAMPTZ(std::max(due, GetCurrentTimestamp()));
}

CHANCY_FUNCTION(chancy_list_tasks) {
    using namespace chancy;
    rows out = begin_rows(fcinfo);
    with_memory("chancy list_tasks", [=] { list_tasks(out); });
    return 0;
}
}
