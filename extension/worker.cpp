// worker: announce, renew, retire. A worker that does not renew in time loses its running jobs to
// recovery. The row is the worker's own, so nobody else writes it while it lives.
#include "worker.hpp"

#include "buffer.hpp"
#include "event.hpp"
#include "purge.hpp"
#include "statement.hpp"
#include "task.hpp"

namespace chancy {

namespace {

constexpr place here{nullptr, 0, nullptr};

enum workers_column : int {
    workers_id = 1, workers_tags, workers_queues, workers_last_seen, workers_expires_at, workers_owner
};

}  // namespace

int64 microseconds(const Interval *i) {
    double span = static_cast<double>(i->time) +
                  (static_cast<double>(i->day) + static_cast<double>(i->month) * 30) * static_cast<double>(USECS_PER_DAY);
    return static_cast<int64>(std::clamp(span, -1e15, 1e15));
}

// Refuses what is not from 1 s to 1 day; returns microseconds.
int64 check_duration(FunctionCallInfo fcinfo, int n, const char *name) {
    check_given(fcinfo, n, name);
    int64 span = microseconds(PG_GETARG_INTERVAL_P(n));
    if (span < USECS_PER_SEC || span > USECS_PER_DAY)
        refuse(here.at(name), "must be from 1 second to 1 day", "Give an interval, such as '90 s'.");
    return span;
}

namespace {

Datum own_name() { return text_datum(view(GetUserNameFromId(GetUserId(), false))); }

// A role that is limited to queues may not speak for another role's workers: it could let their jobs be recovered.
[[noreturn]] void refuse_worker(bytes worker) {
    ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                    errmsg("worker \"%s\" was announced by another role", to_cstring(worker)),
                    errhint("Choose a worker_id of your own.")));
    pg_unreachable();
}

}  // namespace

void check_speaks_for(const permit &may, bytes worker) {
    if (may.all) return;
    Datum role = own_name();
    bool own = false;
    with_row("workers", F_TEXTEQ, text_datum(worker), [&](HeapTuple row, TupleDesc desc) {
        bool null;
        Datum owner = heap_getattr(row, workers_owner, desc, &null);
        own = !null && view(owner) == view(role);
    });
    if (!own)
        ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                        errmsg("worker \"%s\" was not announced by this role", to_cstring(worker)),
                        errhint("Call chancy.heartbeat() first, with a worker_id of your own.")));
}

namespace {

}  // namespace

bool announce(const announcement &a) {
    return with_table("workers", true, [&](table &workers) {
        return upsert(workers, "workers_pkey", F_TEXTEQ, a.worker, [&](bool existing) {
            if (existing && !a.anybodys && (workers.next->tts_isnull[workers_owner - 1] ||
                                            !(view(workers.next->tts_values[workers_owner - 1]) == view(a.owner))))
                return false;
            set(workers, workers_id, a.worker);
            set(workers, workers_tags, a.tags);
            set(workers, workers_queues, a.queues);
            set(workers, workers_last_seen, TimestampTzGetDatum(a.seen));
            set(workers, workers_expires_at, TimestampTzGetDatum(a.expires));
            if (!existing && a.owner != 0) set(workers, workers_owner, a.owner);
            return true;
        });
    });
}

namespace {

TimestampTz heartbeat(FunctionCallInfo fcinfo) {
    check_given(fcinfo, 0, "worker_id");
    check_given(fcinfo, 1, "tags");
    check_given(fcinfo, 2, "queues");
    bytes worker = argument_text(fcinfo, 0);
    check_text(here.at("worker_id"), worker, max_name);
    for (int i : {1, 2})
        if (array_contains_nulls(PG_GETARG_ARRAYTYPE_P(i)))
            refuse(here.at(i == 1 ? "tags" : "queues"), "must not contain NULL", "Give texts.");
    TimestampTz now = GetCurrentTimestamp();
    TimestampTz expires = now + check_duration(fcinfo, 3, "timeout");
    permit may = require(role_kind::worker);
    bool written = announce({fcinfo->args[0].value, fcinfo->args[1].value, fcinfo->args[2].value, now, expires, own_name(), may.all});
    if (!written) refuse_worker(worker);
    note_locks();
    emit("worker.announced", "worker_id", worker);
    return expires;
}

bool retire_worker(FunctionCallInfo fcinfo) {
    check_given(fcinfo, 0, "worker_id");
    bytes worker = argument_text(fcinfo, 0);
    check_text(here.at("worker_id"), worker, max_name);
    permit may = require(role_kind::worker);
    parameter parameters[] = {
        given(fcinfo, 0, TEXTOID), {TEXTOID, own_name(), false}, {BOOLOID, BoolGetDatum(may.all), false}};
    bool gone = run_as_owner(
                    "DELETE FROM chancy.workers w WHERE w.worker_id OPERATOR(pg_catalog.=) $1"
                    " AND ($3 OR w.owner OPERATOR(pg_catalog.=) $2)",
                    parameters) > 0;
    note_locks();
    if (gone) emit("worker.retired", "worker_id", worker);
    return gone;
}

// Workers that expired long ago: recovery has seen to their jobs.
task_result run_workers(const task_settings &s) {
    TimestampTz before = GetCurrentTimestamp() - s.span("keep", USECS_PER_DAY);
    int deleted = 0;
    Relation workers = table_open(table_oid("workers"), RowExclusiveLock);
    TableScanDesc scan = table_beginscan(workers, SnapshotSelf, 0, nullptr);
    TupleTableSlot *slot = table_slot_create(workers, nullptr);
    while (table_scan_getnextslot(scan, ForwardScanDirection, slot)) {
        bool null;
        CHECK_FOR_INTERRUPTS();
        if (DatumGetTimestampTz(slot_getattr(slot, 5, &null)) >= before) continue;
        ItemPointerData tid = slot->tts_tid;
        deleted += delete_row(workers, &tid, false) == TM_Ok;
    }
    ExecDropSingleTupleTableSlot(slot);
    table_endscan(scan);
    table_close(workers, NoLock);
    return {psprintf("{\"deleted\": %d}", deleted), 0, {nullptr, 0}};
}

constexpr task_setting known[] = {{"keep", task_setting::span, 60, 1e9, nullptr}};

}  // namespace

extern const task workers_task;
constinit const task workers_task{"workers", 60 * USECS_PER_SEC, known, run_workers, nullptr};

}  // namespace chancy

extern "C" {

CHANCY_FUNCTION(chancy_heartbeat) {
    PreventCommandIfReadOnly("chancy.heartbeat()");
    PG_RETURN_TIMESTAMPTZ(chancy::heartbeat(fcinfo));
}

CHANCY_FUNCTION(chancy_retire_worker) {
    PreventCommandIfReadOnly("chancy.retire_worker()");
    PG_RETURN_BOOL(chancy::retire_worker(fcinfo));
}
}
