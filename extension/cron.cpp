// cron: the calls that make, change and show schedules. They write chancy.cron at once, in a block too.
#include "cron.hpp"

#include "background.hpp"
#include "next_run.hpp"
#include "packed.hpp"
#include "push.hpp"
#include "role.hpp"
#include "rows.hpp"
#include "sql_job.hpp"
#include "worker.hpp"

extern "C" {
#include "utils/json.h"
}

namespace chancy {

namespace {

constexpr place here{nullptr, 0, nullptr};

bytes check_key(FunctionCallInfo fcinfo) {
    check_given(fcinfo, 0, "key");
    bytes key = argument_text(fcinfo, 0);
    check_text(here.at("key"), key, max_name);
    return key;
}

bool has_field(Jsonb *object, const char *name) {
    JsonbValue key;
    key.type = jbvString;
    key.val.string.val = const_cast<char *>(name);
    key.val.string.len = strlen(name);
    JsonbValue *found = findJsonbValueFromContainer(&object->root, JB_FOBJECT, &key);
    return found != nullptr && found->type != jbvNull;
}

// The job as push takes it. A tick whose key is taken by the job of an earlier one is that job, unless they may overlap.
Jsonb *read_job(Jsonb *given, schedule *s, new_job *job, sql_call *call) {
    check_object(given, here.at("job"));
    place where{"job", -1, nullptr};
    s->sql = is_sql_schedule(given);
    if (s->sql) given = read_sql_schedule(given, where, call);
    if (has_field(given, "scheduled_at")) refuse(where.at("scheduled_at"), "does not go with a schedule", "A job is due at its tick.");
    bool own_key = has_field(given, "unique_key");
    if (s->overlap && own_key) refuse(where.at("unique_key"), "does not go with overlap", "Jobs of one key do not overlap.");
    if (s->missed == missed_rule::all && !s->overlap)
        refuse(here.at("missed"), "needs overlap", "Jobs of one key are one job: overlap => true makes a job of each tick.");
    if (!s->overlap && !own_key) {
        StringInfoData key;
        initStringInfo(&key);
        appendStringInfoString(&key, "{\"unique_key\": ");
        escape_json(&key, to_cstring(s->key));
        appendStringInfoChar(&key, '}');
        given = DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(given), DirectFunctionCall1(jsonb_in, CStringGetDatum(key.data))));
    }
    read_job_object(&given->root, where, make_defaults(), job, s->sql ? &sql_schedule_fields : nullptr);
    return given;
}

schedule read_arguments(FunctionCallInfo fcinfo, sql_call *call) {
    static const char *const names[] = {"key", "expression", "job", "time_zone", "missed", "grace", "skipped_times", "repeated_times", "overlap", "paused"};
    schedule s{};
    s.key = check_key(fcinfo);
    for (int i = 1; i < 10; i++) check_given(fcinfo, i, names[i]);
    s.expression = argument_text(fcinfo, 1);
    s.time_zone = argument_text(fcinfo, 3);
    read_expression(s.expression, &s.ticks.cron);
    read_time_zone(s.time_zone, &s.ticks.where);
    read_missed(argument_text(fcinfo, 4), &s.missed, &s.most);
    s.grace = check_duration(fcinfo, 5, "grace");
    s.ticks.gap = read_gap(argument_text(fcinfo, 6));
    s.ticks.overlap = read_overlap(argument_text(fcinfo, 7));
    s.overlap = PG_GETARG_BOOL(8);
    s.paused = PG_GETARG_BOOL(9);
    new_job job;
    s.job = read_job(PG_GETARG_JSONB_P(2), &s, &job, call);
    s.packed = pack_job(job);
    s.for_python = honoured_by_python(s, job);
    return s;
}

// Has the schedule the same ticks as before? Then what is due stays due: schedules are often made anew at each start.
bool same_ticks(const schedule &a, const schedule &b) {
    return a.expression == b.expression && a.time_zone == b.time_zone && a.ticks.gap == b.ticks.gap && a.ticks.overlap == b.ticks.overlap &&
           !a.paused && a.due != DT_NOEND;
}

TimestampTz schedule_cron(FunctionCallInfo fcinfo) {
    sql_call call;
    schedule s = read_arguments(fcinfo, &call);
    require(role_kind::admin);
    with_table("cron", true, [&](table &cron) {
        upsert(cron, "cron_pkey", F_TEXTEQ, text_datum(s.key), [&](bool existing) {
            schedule before;
            bool same = false;
            if (existing) {
                slot_getallattrs(cron.held);
                same = read_schedule(cron.held->tts_values, cron.held->tts_isnull, &before) && same_ticks(before, s);
            }
            s.due = same ? before.due : tick_after(s, GetCurrentTimestamp());
            fill_schedule(cron, s);
            return true;
        });
    });
    keep_call(s.key, s.sql ? &call : nullptr);
    note_locks();
    CommandCounterIncrement();
    wake_maintenance();
    return s.paused ? DT_NOEND : s.due;
}

// Changes the schedule of the key; false when there is none.
template <typename Change>
bool change_schedule(FunctionCallInfo fcinfo, Change change) {
    bytes key = check_key(fcinfo);
    require(role_kind::admin);
    bool found = with_table("cron", true, [&](table &cron) {
        if (!lock_for_write(cron, "cron_pkey", F_TEXTEQ, text_datum(key))) return false;
        slot_getallattrs(cron.held);
        schedule s;
        bool understood = read_schedule(cron.held->tts_values, cron.held->tts_isnull, &s);
        change(cron, s, understood);
        return true;
    });
    note_locks();
    CommandCounterIncrement();
    return found;
}

void write(table &cron, const schedule &s) {
    copy_row(cron, cron.held);
    fill_schedule(cron, s);
    ItemPointerData tid = cron.held->tts_tid;
    if (update(cron, &tid, true) != TM_Ok) elog(ERROR, "a locked row of chancy.cron changed");
}

bool pause_cron(FunctionCallInfo fcinfo) {
    return change_schedule(fcinfo, [](table &cron, schedule &s, bool) {
        s.paused = true;
        s.for_python = false;
        write(cron, s);
    });
}

bool resume_cron(FunctionCallInfo fcinfo) {
    bool found = change_schedule(fcinfo, [](table &cron, schedule &s, bool understood) {
        if (!s.paused) return;
        if (!understood) read_expression(s.expression, &s.ticks.cron);  // refuses it
        s.paused = false;
        s.for_python = honoured_by_python(s, job_of(s, 0));
        s.due = tick_after(s, GetCurrentTimestamp());
        write(cron, s);
    });
    wake_maintenance();
    return found;
}

bool unschedule_cron(FunctionCallInfo fcinfo) {
    bytes key = check_key(fcinfo);
    require(role_kind::admin);
    bool found = with_table("cron", true, [&](table &cron) {
        if (!lock_for_write(cron, "cron_pkey", F_TEXTEQ, text_datum(key))) return false;
        ItemPointerData tid = cron.held->tts_tid;
        TM_FailureData failure;
        TM_Result done = table_tuple_delete(cron.rel, &tid, GetCurrentCommandId(true), SnapshotSelf, InvalidSnapshot, true, &failure, false);
        if (done != TM_Ok) elog(ERROR, "a locked row of chancy.cron changed");
        return true;
    });
    if (found) keep_call(key, nullptr);
    note_locks();
    CommandCounterIncrement();
    return found;
}

// The job of the schedule now; false when there is none.
bool push_cron(moment m, FunctionCallInfo fcinfo, pg_uuid_t *id) {
    bytes key = check_key(fcinfo);
    require(role_kind::admin);
    new_job *job = static_cast<new_job *>(palloc(sizeof(new_job)));
    bool sql = false;
    bool found = with_row("cron", F_TEXTEQ, text_datum(key), [=, &sql](HeapTuple row, TupleDesc desc) {
        Datum *values = static_cast<Datum *>(palloc(sizeof(Datum) * desc->natts));
        bool *nulls = static_cast<bool *>(palloc(sizeof(bool) * desc->natts));
        heap_deform_tuple(heap_copytuple(row), desc, values, nulls);
        schedule s;
        read_schedule(values, nulls, &s);
        *job = job_of(s, 0);
        sql = s.sql;
    });
    if (!found) return false;
    sql_call call;
    if (sql && !find_call(key, &call))
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errmsg("what schedule \"%s\" calls is not known", shown(key)),
                        errhint("Somebody wrote it into the table. Call schedule_cron.")));
    const change &c = push_all(m, "push_cron", {job, 1})[0];
    *id = c.id;
    // A reserved id that does not become the job's names no job, and is forgotten.
    if (sql && (c.is == verdict::created || c.is == verdict::reserved)) record_call(c.id, call);
    return true;
}

void list_cron(const rows &out) {
    require(role_kind::reader);
    each_schedule("cron_pkey", GetActiveSnapshot(), [&](Datum *row, bool *row_nulls) {
        schedule s;
        read_schedule(row, row_nulls, &s);
        Interval *grace = static_cast<Interval *>(palloc0(sizeof(Interval)));
        grace->time = s.grace;
        Datum values[] = {text_datum(s.key), text_datum(s.expression), text_datum(s.time_zone),
                          s.job != nullptr ? JsonbPGetDatum(s.job) : describe_job(unpack_job(s.packed)), text_datum(view(missed_text(s.missed, s.most))),
                          IntervalPGetDatum(grace), text_datum(view(name(s.ticks.gap))), text_datum(view(name(s.ticks.overlap))),
                          BoolGetDatum(s.overlap), BoolGetDatum(s.paused), TimestampTzGetDatum(s.last_run), TimestampTzGetDatum(s.due),
                          BoolGetDatum(s.for_python)};
        bool nulls[13] = {};
        nulls[10] = s.last_run == 0;
        nulls[11] = s.due == DT_NOEND;
        out.put(values, nulls);
        return true;
    });
}

void next_runs(FunctionCallInfo fcinfo, const rows &out) {
    static const char *const names[] = {"expression", "time_zone", "n", "after", "skipped_times", "repeated_times"};
    for (int i = 0; i < 6; i++) check_given(fcinfo, i, names[i]);
    schedule s{};
    read_expression(argument_text(fcinfo, 0), &s.ticks.cron);
    read_time_zone(argument_text(fcinfo, 1), &s.ticks.where);
    int32 n = PG_GETARG_INT32(2);
    if (n < 1 || n > 10000) refuse(here.at("n"), "must be from 1 to 10000", "Ask again, after the last one.");
    TimestampTz at = PG_GETARG_TIMESTAMPTZ(3);
    check_finite(here.at("after"), at);
    s.ticks.gap = read_gap(argument_text(fcinfo, 4));
    s.ticks.overlap = read_overlap(argument_text(fcinfo, 5));
    for (int i = 0; i < n; i++) {
        CHECK_FOR_INTERRUPTS();
        at = tick_after(s, at);
        if (at == DT_NOEND || at >= END_TIMESTAMP) break;
        int64_t east = s.ticks.where.offset(s.ticks.where.data, to_unix(at));
        Datum values[] = {TimestampTzGetDatum(at), TimestampGetDatum(at + east * USECS_PER_SEC)};
        bool nulls[] = {false, false};
        out.put(values, nulls);
    }
}

}  // namespace

}  // namespace chancy

extern "C" {

CHANCY_FUNCTION(chancy_schedule_cron) {
    PreventCommandIfReadOnly("chancy.schedule_cron()");
    TimestampTz next = chancy::with_memory("chancy schedule_cron", [=] { return chancy::schedule_cron(fcinfo); });
    if (next == DT_NOEND) PG_RETURN_NULL();
    PG_RETURN_TIMESTAMPTZ(next);
}

CHANCY_FUNCTION(chancy_unschedule_cron) {
    PreventCommandIfReadOnly("chancy.unschedule_cron()");
    PG_RETURN_BOOL(chancy::with_memory("chancy unschedule_cron", [=] { return chancy::unschedule_cron(fcinfo); }));
}

CHANCY_FUNCTION(chancy_pause_cron) {
    PreventCommandIfReadOnly("chancy.pause_cron()");
    PG_RETURN_BOOL(chancy::with_memory("chancy pause_cron", [=] { return chancy::pause_cron(fcinfo); }));
}

CHANCY_FUNCTION(chancy_resume_cron) {
    PreventCommandIfReadOnly("chancy.resume_cron()");
    PG_RETURN_BOOL(chancy::with_memory("chancy resume_cron", [=] { return chancy::resume_cron(fcinfo); }));
}

CHANCY_FUNCTION(chancy_push_cron) {
    using namespace chancy;
    PreventCommandIfReadOnly("chancy.push_cron()");
    pg_uuid_t *id = static_cast<pg_uuid_t *>(palloc(sizeof(pg_uuid_t)));
    moment m = when();
    bool found = with_call_memory(m, "chancy push_cron", [=] { return push_cron(m, fcinfo, id); });
    if (!found) PG_RETURN_NULL();
    PG_RETURN_UUID_P(id);
}

CHANCY_FUNCTION(chancy_list_cron) {
    chancy::rows out = chancy::begin_rows(fcinfo);
    chancy::with_memory("chancy list_cron", [=] { chancy::list_cron(out); });
    return 0;
}

CHANCY_FUNCTION(chancy_next_runs) {
    chancy::rows out = chancy::begin_rows(fcinfo);
    chancy::with_memory("chancy next_runs", [=] { chancy::next_runs(fcinfo, out); });
    return 0;
}
}
