// progress: what handlers report of their jobs: how far they are, and what a later attempt needs to go on.
//
// A report is fenced as a result is: the job is running, taken by this worker, with this started_at. It is checked without
// a lock on the job, so a report may be written just after its attempt has ended; the row remembers the attempt that wrote it,
// and gives way to later ones only, so that never does harm. Nothing here waits: a row that somebody holds is told as locked.
#include "progress.hpp"

#include "change.hpp"
#include "event.hpp"
#include "purge.hpp"
#include "role.hpp"
#include "rows.hpp"
#include "task.hpp"

extern "C" {
#include "mb/pg_wchar.h"
}

namespace chancy {

namespace {

enum progress_column : int {
    progress_job_id = 1, progress_started_at, progress_percent, progress_message, progress_checkpoint, progress_reported_at
};

constexpr int max_message = 1024;  // bytes
constexpr const char *report_keys = "id, started_at, percent, message, checkpoint";

struct report {
    pg_uuid_t id;
    TimestampTz started_at;
    bool has_percent;
    double percent;
    bytes message;      // data null when absent
    Jsonb *checkpoint;  // null when absent
    const char *refused;
};

double read_percent(JsonbValue *value, place where) {
    const char *hint = "Give a JSON number from 0 to 100.";
    if (value->type != jbvNumeric) refuse(where, "must be a number", hint);
    double percent = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(value->val.numeric)));
    if (!(percent >= 0 && percent <= 100)) refuse(where, "must be from 0 to 100", hint);
    return percent;
}

report read_report(JsonbContainer *object, place where) {
    report r{};
    bool has_id = false, has_start = false;
    each_field(object, [&](bytes name, JsonbValue *value) {
        bool given = value->type != jbvNull;
        if (name == view("id")) {
            if ((has_id = given)) r.id = json_uuid(value, where.at("id"));
        } else if (name == view("started_at")) {
            if ((has_start = given)) r.started_at = json_time(value, where.at("started_at"));
        } else if (name == view("percent")) {
            if ((r.has_percent = given)) r.percent = read_percent(value, where.at("percent"));
        } else if (name == view("message")) {
            if (given) r.message = json_text(value, where.at("message"));
        } else if (name == view("checkpoint")) {
            if (given) r.checkpoint = json_any(value);
        } else {
            refuse_field(where, name, report_keys);
        }
    });
    if (!has_id) refuse(where.at("id"), "is missing", "Give the id that fetch_jobs returned.");
    if (!has_start) refuse(where.at("started_at"), "is missing", "Give the started_at that fetch_jobs returned: it names the attempt.");
    if (r.message.size > max_message) r.message.size = pg_mbcliplen(r.message.data, r.message.size, max_message);
    return r;
}

void fill_report(table &progress, const report &r, TimestampTz now) {
    set(progress, progress_job_id, UUIDPGetDatum(&r.id));
    set(progress, progress_started_at, TimestampTzGetDatum(r.started_at));
    if (r.has_percent) set(progress, progress_percent, Float8GetDatum(r.percent));
    if (r.message.data != nullptr) set(progress, progress_message, text_datum(r.message));
    if (r.checkpoint != nullptr) set(progress, progress_checkpoint, JsonbPGetDatum(r.checkpoint));
    set(progress, progress_reported_at, TimestampTzGetDatum(now));
}

// Why it was not written, or null.
const char *write_report(table &progress, const report &r, TimestampTz now) {
    found_row row = find_for_write(progress, "progress_pkey", F_UUID_EQ, UUIDPGetDatum(&r.id));
    bool written;
    if (row.exists) {
        if (TransactionIdIsValid(row.inserter)) return "locked";
        if (lock_row(progress, &row.tid, LockTupleNoKeyExclusive, LockWaitSkip) != TM_Ok) return "locked";
        copy_row(progress, progress.held);
        TimestampTz attempt = DatumGetTimestampTz(progress.held->tts_values[progress_started_at - 1]);
        if (attempt > r.started_at) return "stale";
        if (attempt < r.started_at) {  // what an earlier attempt told of itself; its checkpoint stays
            set_null(progress, progress_percent);
            set_null(progress, progress_message);
        }
        fill_report(progress, r, now);
        ItemPointerData tid = progress.held->tts_tid;
        written = update(progress, &tid, true) == TM_Ok;
    } else {
        new_row(progress);
        fill_report(progress, r, now);
        written = insert_speculatively(progress);
    }
    CommandCounterIncrement();
    return written ? nullptr : "locked";
}

// The fence, without a lock.
const char *check_attempt(table &jobs, lookup &by_id, const report &r, bytes worker, const permit &may) {
    if (!find_job(jobs, by_id, r.id, jobs.found)) return "missing";
    job_row row = read_job(jobs.found);
    check_queue(may, row.queue);
    bool ours = row.is == state::running && row.taken_by.data != nullptr && row.taken_by == worker && row.started_at == r.started_at;
    return ours ? nullptr : "stale";
}

std::span<report> read_reports(Jsonb *batch) {
    size_t count = batch_size(batch, "reports");
    auto *reports = static_cast<report *>(palloc_extended(sizeof(report) * (count + 1), MCXT_ALLOC_HUGE));
    each_object(batch, "reports", [&](int i, JsonbContainer *object) { reports[i] = read_report(object, {"reports", i, nullptr}); });
    return {reports, count};
}

void report_progress(FunctionCallInfo fcinfo, const rows &out) {
    check_given(fcinfo, 0, "worker_id");
    check_given(fcinfo, 1, "reports");
    bytes worker = argument_text(fcinfo, 0);
    check_text({nullptr, 0, "worker_id"}, worker, max_name);
    std::span<report> reports = read_reports(PG_GETARG_JSONB_P(1));
    permit may = require(role_kind::worker);
    TimestampTz now = GetCurrentTimestamp();
    with_jobs([&, may](table &jobs) {
        lookup by_id = begin_id_lookup(jobs, SnapshotSelf);
        for (report &r : reports) r.refused = check_attempt(jobs, by_id, r, worker, may);
        end_lookup(by_id);
    });
    bool watching = anybody_watches();
    with_table("progress", true, [=](table &progress) {
        for (report &r : reports) {
            CHECK_FOR_INTERRUPTS();
            if (r.refused == nullptr) r.refused = write_report(progress, r, now);
            if (r.refused == nullptr && watching) tell_progress(r.id);
        }
    });
    int ord = 0;
    for (report &r : reports) {
        Datum values[] = {Int32GetDatum(++ord), UUIDPGetDatum(&r.id), BoolGetDatum(r.refused == nullptr),
                          r.refused == nullptr ? 0 : text_datum(view(r.refused))};
        bool nulls[] = {false, false, false, r.refused == nullptr};
        out.put(values, nulls);
    }
}

// Null when there is none, or the job is not the worker's.
Jsonb *get_checkpoint(FunctionCallInfo fcinfo) {
    check_given(fcinfo, 0, "worker_id");
    check_given(fcinfo, 1, "id");
    bytes worker = argument_text(fcinfo, 0);
    permit may = require(role_kind::worker);
    bool ours = false;
    with_row("jobs", F_UUID_EQ, PG_GETARG_DATUM(1), [&, may](HeapTuple row, TupleDesc desc) {
        bool null;
        check_queue(may, view(heap_getattr(row, jobs_queue, desc, &null)));
        if (!(view(heap_getattr(row, jobs_state, desc, &null)) == view(name(state::running)))) return;
        Datum taken_by = heap_getattr(row, jobs_taken_by, desc, &null);
        ours = !null && view(taken_by) == worker;
    });
    Jsonb *found = nullptr;
    if (!ours) return found;
    MemoryContext context = CurrentMemoryContext;
    with_row("progress", F_UUID_EQ, PG_GETARG_DATUM(1), [&](HeapTuple row, TupleDesc desc) {
        bool null;
        Datum checkpoint = heap_getattr(row, progress_checkpoint, desc, &null);
        MemoryContext inner = MemoryContextSwitchTo(context);
        if (!null) found = DatumGetJsonbPCopy(checkpoint);
        MemoryContextSwitchTo(inner);
    });
    return found;
}

// Of jobs that are gone, and of those that succeeded some time ago: up to so many rows in one run, then on from there.
task_result run_progress(const task_settings &s) {
    TimestampTz before = GetCurrentTimestamp() - s.span("keep", SECS_PER_HOUR * USECS_PER_SEC);
    int left = s.whole("up_to", 10000), deleted = 0;
    pg_uuid_t last{};
    if (s.memory.size == UUID_LEN) memcpy(last.data, s.memory.data, UUID_LEN);
    bool more = false;
    with_table("progress", true, [&](table &progress) {
        with_jobs([&](table &jobs) {
            lookup by_id = begin_id_lookup(jobs, SnapshotSelf);
            lookup on = begin_lookup(progress, "progress_pkey", F_UUID_EQ, InvalidOid, SnapshotSelf);
            ScanKeyEntryInitialize(&on.key, 0, 1, BTGreaterStrategyNumber, InvalidOid, InvalidOid, F_UUID_GT, UUIDPGetDatum(&last));
            index_rescan(on.scan, &on.key, 1, nullptr, 0);
            while ((more = index_getnext_slot(on.scan, ForwardScanDirection, progress.found)) && left-- > 0) {
                CHECK_FOR_INTERRUPTS();
                slot_getallattrs(progress.found);
                pg_uuid_t id = *DatumGetUUIDP(progress.found->tts_values[progress_job_id - 1]);
                TimestampTz reported = DatumGetTimestampTz(progress.found->tts_values[progress_reported_at - 1]);
                ItemPointerData tid = progress.found->tts_tid;
                last = id;
                bool exists = find_job(jobs, by_id, id, jobs.found);
                if (exists && (read_job(jobs.found).is != state::succeeded || reported >= before)) continue;
                deleted += delete_row(progress.rel, &tid, false) == TM_Ok;
            }
            end_lookup(on);
            end_lookup(by_id);
        });
    });
    CommandCounterIncrement();
    const char *did = psprintf("{\"deleted\": %d}", deleted);
    if (!more) return {did, 0, {nullptr, 0}};
    char *memory = static_cast<char *>(palloc(UUID_LEN));
    memcpy(memory, last.data, UUID_LEN);
    return {did, 0, {memory, UUID_LEN}};
}

constexpr task_setting known[] = {
    {"keep", task_setting::span, 0, 1e9, nullptr},
    {"up_to", task_setting::whole, 1, 1e6, nullptr},
};

}  // namespace

void forget_progress(const pg_uuid_t &id) {
    with_table("progress", true, [=](table &progress) {
        found_row row = find_for_write(progress, "progress_pkey", F_UUID_EQ, UUIDPGetDatum(&id));
        if (row.exists && !TransactionIdIsValid(row.inserter)) delete_row(progress.rel, &row.tid, false);
    });
}

extern const task progress_task;
constinit const task progress_task{"progress", 60 * USECS_PER_SEC, known, run_progress, nullptr};

}  // namespace chancy

extern "C" {

CHANCY_FUNCTION(chancy_report_progress) {
    using namespace chancy;
    PreventCommandIfReadOnly("chancy.report_progress()");
    rows out = begin_rows(fcinfo);
    with_memory("chancy report_progress", [=] { report_progress(fcinfo, out); });
    return 0;
}

CHANCY_FUNCTION(chancy_get_checkpoint) {
    Jsonb *found = chancy::get_checkpoint(fcinfo);
    if (found == nullptr) PG_RETURN_NULL();
    PG_RETURN_JSONB_P(found);
}
}
