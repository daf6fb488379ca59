// recovery: jobs whose worker is gone run again.
//
// A worker is gone when its heartbeat has expired. One that is not in the table may never have announced
// itself, or a crash has emptied the table (it is unlogged): its jobs are left alone until they have run, and
// the table has stood, for the grace period. One that was last seen before the server started may have expired while it could not
// renew: it has the grace period too.
//
// A worker whose heartbeat expired may be back at this moment: its renewal not committed yet, or committed after we looked, and the
// jobs that it has claimed since before our eyes. So a job that it has had for less time than a heartbeat of its lasts is left alone. Who dies has
// its jobs taken away that long after its death at the latest, as before. A job that outlives its workers too often fails: it may be
// what kills them. Rows that somebody holds are passed by; nothing here waits.
#include "recovery.hpp"

#include "buffer.hpp"
#include "event.hpp"
#include "maintenance.hpp"
#include "next_run.hpp"
#include "rows.hpp"
#include "tally.hpp"
#include "worker.hpp"
#include "workflow.hpp"

namespace chancy {

namespace {

enum class presence : uint8 { alive, expired, cut_off, unknown };

struct sighting {
    presence is;
    int64 term;  // how long its heartbeat lasts
};

sighting find_worker(bytes worker, TimestampTz now) {
    constexpr int last_seen = 4, expires_at = 5;
    sighting found{presence::unknown, 0};
    with_row("workers", F_TEXTEQ, text_datum(worker), [&](HeapTuple row, TupleDesc desc) {
        bool null;
        TimestampTz expires = DatumGetTimestampTz(heap_getattr(row, expires_at, desc, &null));
        TimestampTz seen = DatumGetTimestampTz(heap_getattr(row, last_seen, desc, &null));
        found = {expires > now ? presence::alive : seen >= PgStartTime ? presence::expired : presence::cut_off, expires - seen};
    });
    return found;
}

// Fills jobs.next; true when the job may run again.
bool fill_recovered(table &jobs, const job_row &row, int32 max_recoveries, TimestampTz now) {
    int32 recoveries = DatumGetInt32(jobs.found->tts_values[jobs_recoveries - 1]) + 1;
    bool again = recoveries <= max_recoveries;
    copy_row(jobs, jobs.found);
    set(jobs, jobs_recoveries, Int32GetDatum(recoveries));
    set_state(jobs, again ? state::pending : state::failed);
    if (again) {
        set_null(jobs, jobs_taken_by);
        state after = state::pending;
        end_attempt(jobs, jobs.found, &after);
    } else {
        set(jobs, jobs_completed_at, TimestampTzGetDatum(now));
        const char *text = psprintf("its worker died %d times in a row; the last was %s", recoveries,
                                    to_cstring(row.taken_by));
        set(jobs, jobs_errors, append_error(jobs.found->tts_values[jobs_errors - 1], row.attempts, view(text)));
    }
    return again;
}

}  // namespace

recovery recover(table &jobs, int32 max_recoveries, int64 grace, int32 up_to) {
    TimestampTz now = GetCurrentTimestamp();
    bool settled = now - up_since() >= grace, reconnected = now - PgStartTime >= grace;
    recovery done{};
    pg_uuid_t *failed_steps = static_cast<pg_uuid_t *>(palloc(sizeof(pg_uuid_t)));
    size_t failed_count = 0;
    tallies counts{now, nullptr, 0, 0};
    bytes last{nullptr, 0};
    sighting worker{presence::alive, 0};
    lookup running = begin_lookup(jobs, "jobs_running", InvalidOid, InvalidOid, SnapshotSelf);
    index_rescan(running.scan, nullptr, 0, nullptr, 0);
    while (done.recovered + done.failed < up_to && index_getnext_slot(running.scan, ForwardScanDirection, jobs.found)) {
        CHECK_FOR_INTERRUPTS();
        job_row row = read_job(jobs.found);
        if (row.is != state::running || row.taken_by.data == nullptr) continue;
        // The index is in order of queues, and of workers in each.
        if (last.data == nullptr || !(last == row.taken_by)) {
            last = view(pnstrdup(row.taken_by.data, row.taken_by.size));
            worker = find_worker(last, now);
        }
        if (worker.is == presence::alive || (worker.is == presence::cut_off && !reconnected)) continue;
        if (worker.is == presence::unknown && !settled) continue;
        if (now - row.started_at < (worker.is == presence::unknown ? grace : worker.term)) continue;
        bytes queue = view(pnstrdup(row.queue.data, row.queue.size));
        pg_uuid_t id = row.id;
        bool is_step = marks_step(DatumGetJsonbP(jobs.found->tts_values[jobs_meta - 1]));
        bool again = fill_recovered(jobs, row, max_recoveries, now);
        if (update(jobs, &jobs.found->tts_tid, false) != TM_Ok) continue;
        counts.of(queue, view(jobs.found->tts_values[jobs_func - 1]), again ? happened::recovered : happened::failed).count++;
        (again ? done.recovered : done.failed)++;
        // One that failed leaves a slot, where slots are counted.
        emit("queue.pushed", "q", queue);
        if (!again) tell_finished(id, state::failed);
        if (again || !is_step) continue;
        failed_steps = static_cast<pg_uuid_t *>(repalloc(failed_steps, sizeof(pg_uuid_t) * (failed_count + 1)));
        failed_steps[failed_count++] = id;
    }
    end_lookup(running);
    if (done.recovered + done.failed > 0) note_locks();
    CommandCounterIncrement();
    keep_tallies(counts);
    advance(jobs, std::span<const pg_uuid_t>{failed_steps, failed_count});
    return done;
}

namespace {

task_result run_recovery(const task_settings &s) {
    int32 most = s.whole("max_recoveries", 3);
    int64 grace = s.span("grace", 90 * USECS_PER_SEC);
    recovery done = with_jobs([=](table &jobs) { return recover(jobs, most, grace, max_batch); });
    return {psprintf("{\"recovered\": %d, \"failed\": %d}", done.recovered, done.failed), 0, {nullptr, 0}};
}

constexpr task_setting known[] = {
    {"max_recoveries", task_setting::whole, 0, PG_INT32_MAX, nullptr},
    {"grace", task_setting::span, 1, SECS_PER_DAY, nullptr},
};

}  // namespace

extern const task recovery_task;
constinit const task recovery_task{"recovery", 10 * USECS_PER_SEC, known, run_recovery, nullptr};

namespace {

recovery recover_jobs(FunctionCallInfo fcinfo) {
    place here{nullptr, 0, nullptr};
    check_given(fcinfo, 0, "max_recoveries");
    check_given(fcinfo, 2, "up_to");
    int32 max_recoveries = PG_GETARG_INT32(0), up_to = PG_GETARG_INT32(2);
    if (max_recoveries < 0) refuse(here.at("max_recoveries"), "must not be negative", "0 fails a job at its first recovery.");
    if (up_to < 1 || up_to > max_batch)
        refuse(here.at("up_to"), psprintf("must be from 1 to %d", max_batch), "Call again for more.");
    int64 grace = check_duration(fcinfo, 1, "grace");
    require(role_kind::admin);
    return with_jobs([=](table &jobs) { return recover(jobs, max_recoveries, grace, up_to); });
}

}  // namespace

}  // namespace chancy

extern "C" {

CHANCY_FUNCTION(chancy_recover_jobs) {
    using namespace chancy;
    PreventCommandIfReadOnly("chancy.recover_jobs()");
    rows out = begin_rows(fcinfo);
    recovery done = with_memory("chancy recover_jobs", [=] { return recover_jobs(fcinfo); });
    Datum values[] = {Int32GetDatum(done.recovered), Int32GetDatum(done.failed)};
    bool nulls[] = {false, false};
    out.put(values, nulls);
    return 0;
}
}
