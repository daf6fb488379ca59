// fetch: claim waiting jobs.
//
// The claim walks the fetch index itself (low_water.cpp), and updates each due row without waiting: no
// planner, no sort of the backlog. Any foreign holder of a row makes it pass by, a duplicate push's
// KEY SHARE too: so a waiting job runs only after those who pushed it again have committed.
#include "fetch.hpp"

#include "buffer.hpp"
#include "compat.hpp"
#include "concurrency.hpp"
#include "hot.hpp"
#include "next_run.hpp"
#include "rows.hpp"
#include "tally.hpp"
#include "wakeup.hpp"
#include "workflow.hpp"

namespace chancy {

void check_fetch(bytes queue, bytes worker, int32 up_to) {
    place here{nullptr, 0, nullptr};
    check_text(here.at("queue"), queue, max_queue);
    check_text(here.at("worker_id"), worker, max_name);
    if (up_to < 1 || up_to > max_batch)
        refuse(here.at("up_to"), psprintf("must be from 1 to %d", max_batch), "Ask for what can start soon.");
}

queue_settings read_queue(bytes queue, TimestampTz now) {
    constexpr int state_column = 2, rate_limit = 9, rate_limit_window = 10, resume_at = 11, max_running = 13,
                  max_running_per_key = 14, rate_limit_burst = 15;
    queue_settings row{};
    with_row("queues", F_TEXTEQ, text_datum(queue), [&](HeapTuple found, TupleDesc desc) {
        auto number = [&](int column) {
            bool null;
            int32 n = DatumGetInt32(heap_getattr(found, column, desc, &null));
            return null ? 0 : std::max(n, 0);
        };
        bool null, no_time;
        bool active = view(heap_getattr(found, state_column, desc, &null)) == view("active");
        TimestampTz resume = DatumGetTimestampTz(heap_getattr(found, resume_at, desc, &no_time));
        row.open = active || (!no_time && resume <= now);
        row.limits.max_running = number(max_running);
        row.limits.max_running_per_key = number(max_running_per_key);
        int32 rate = number(rate_limit), window = number(rate_limit_window);
        if (rate == 0 || window == 0) return;
        row.limits.rate = rate;
        row.limits.window = window;
        row.limits.burst = std::min(number(rate_limit_burst), rate);
    });
    return row;
}

namespace {

bool is_due(const job_row &row, bytes queue, TimestampTz now) {
    return is_waiting(row.is) && row.scheduled_at <= now && row.attempts < row.max_attempts && row.queue == queue;
}

enum class claim : uint8 { done, held, lost };

// Do only lockers hold the row in jobs.found, and no updater that may still commit?
bool only_locked(table &jobs) {
    auto *found = reinterpret_cast<BufferHeapTupleTableSlot *>(jobs.found);
    HeapTupleHeader row = found->base.tuple->t_data;
    LockBuffer(found->buffer, BUFFER_LOCK_SHARE);
    bool locked_only = HEAP_XMAX_IS_LOCKED_ONLY(row->t_infomask);
    TransactionId updater = locked_only ? InvalidTransactionId : HeapTupleHeaderGetUpdateXid(row);
    LockBuffer(found->buffer, BUFFER_LOCK_UNLOCK);
    return locked_only || !TransactionIdIsInProgress(updater);
}

void fill_claim(table &jobs, TupleTableSlot *from, Datum worker) {
    TimestampTz before = read_job(from).started_at;
    copy_row(jobs, from);
    set_state(jobs, state::running);
    set(jobs, jobs_taken_by, worker);
    // Strictly rising per row, whatever the clock does: it is the fencing token.
    set(jobs, jobs_started_at, TimestampTzGetDatum(std::max(GetCurrentTimestamp(), before + 1)));
}

claim claim_row(table &jobs, const job_row &row, Datum worker, TimestampTz now) {
    fill_claim(jobs, jobs.found, worker);
    switch (update(jobs, &jobs.found->tts_tid, false)) {
        case TM_Ok:
            return claim::done;
        case TM_BeingModified:
            break;
        default:
            return claim::lost;
    }
    // Our own transaction may be the holder (it pushed a duplicate before). A foreign one is passed by,
    // unless duplicates have kept the job from running for too long: NO KEY UPDATE goes with their KEY SHARE.
    LockTupleMode mode = only_locked(jobs) && passed_for_long(row.id, now) ? LockTupleNoKeyExclusive : LockTupleExclusive;
    TM_Result locked = lock_row(jobs, &jobs.found->tts_tid, LockTupleExclusive, LockWaitSkip);
    // Those whom this run passes may have wanted one that begins after their commit.
    bool passes = locked == TM_WouldBlock && mode == LockTupleNoKeyExclusive;
    if (passes) locked = lock_row(jobs, &jobs.found->tts_tid, mode, LockWaitSkip);
    switch (locked) {
        case TM_Ok:
            note_locks();
            break;
        case TM_WouldBlock:
            return claim::held;
        default:
            return claim::lost;
    }
    job_row newest = read_job(jobs.held);
    if (!is_due(newest, row.queue, now)) return claim::lost;
    fill_claim(jobs, jobs.held, worker);
    if (passes && newest.rerun) note_rerun(jobs);
    return update(jobs, &jobs.held->tts_tid, true) == TM_Ok ? claim::done : claim::lost;
}

}  // namespace

bool claim_found(claims &c, const job_row &row) {
    if (!is_due(row, c.queue, c.now)) return false;
    // Not committed, or about to be changed: by another fetch, mostly.
    if (TransactionIdIsValid(c.seen.xmin) || TransactionIdIsValid(c.seen.xmax)) {
        c.passed++;
        return false;
    }
    switch (claim_row(c.jobs, row, c.worker, c.now)) {
        case claim::done:
            forget_passed(row.id);
            remember_place(row.id, &c.jobs.next->tts_tid);
            c.into[c.count++] = ExecCopySlotHeapTuple(c.jobs.next);
            return true;
        case claim::held:
            c.passed++;
            break;
        case claim::lost:
            break;
    }
    return false;
}

void sort_claims(claims &c) {
    TupleDesc desc = RelationGetDescr(c.jobs.rel);
    std::sort(c.into, c.into + c.count, [desc](HeapTuple a, HeapTuple b) {
        bool null;
        int32 x = DatumGetInt32(heap_getattr(a, jobs_priority, desc, &null)), y = DatumGetInt32(heap_getattr(b, jobs_priority, desc, &null));
        if (x != y) return x > y;
        return compare(*DatumGetUUIDP(heap_getattr(a, jobs_id, desc, &null)), *DatumGetUUIDP(heap_getattr(b, jobs_id, desc, &null))) < 0;
    });
}

namespace {

void claim_within(claims &c, const queue_limits &limits) {
    if (!limits.concurrency()) return claim_due(c);
    if (!take_turn(c.queue)) {
        c.passed++;  // another fetch counts and claims just now: look again soon
        return;
    }
    claim_limited(c, limits);
    end_turn(c.queue);
}

}  // namespace

fetched fetch(table &jobs, bytes queue, bytes worker, int32 up_to) {
    TimestampTz now = GetCurrentTimestamp();
    queue_settings settings = read_queue(queue, now);
    const queue_limits &limits = settings.limits;
    if (!settings.open) {
        write_kept_tallies();
        return {};
    }
    claims c{jobs, queue, text_datum(worker), now, up_to, static_cast<HeapTuple *>(palloc(sizeof(HeapTuple) * up_to)), 0, 0, false, is_asleep(queue), 0, {}};
    InitDirtySnapshot(c.seen);
    // What results had to leave of workflows; what is busy still is worth another look soon, as a held job is.
    c.passed = advance_noted(jobs, 16, false).busy;
    int64 wait = 0;
    if (limits.rate == 0) {
        claim_within(c, limits);
    } else {
        with_table("queue_rate_limits", true, [&, queue](table &counters) {
            allowance a = take_counter(counters, queue, limits);
            if (a.busy) c.passed++;  // look again soon
            if (a.left < c.up_to) wait = a.wait;
            if ((c.up_to = std::min(c.up_to, a.left)) == 0) return;
            claim_within(c, limits);
            if (c.count > 0) add_to_counter(counters, a, queue, c.count);
            if (c.count < a.left) wait = 0;
        });
    }
    if (wait == 0 && c.count < c.up_to) wait = c.unswept;
    if (c.count > 0) note_locks();
    else write_kept_tallies();
    CommandCounterIncrement();
    bool exhausted = limits.concurrency() && c.passed == 0 && (c.count < up_to || c.blocked);
    bool again = c.count < up_to && !c.asleep;
    if (again) fall_asleep(queue);
    return {{c.into, static_cast<size_t>(c.count)}, c.passed, wait, exhausted, again};
}

namespace {

void fetch_jobs(FunctionCallInfo fcinfo, const rows &out) {
    check_given(fcinfo, 0, "queue");
    check_given(fcinfo, 1, "worker_id");
    check_given(fcinfo, 2, "up_to");
    bytes queue = argument_text(fcinfo, 0), worker = argument_text(fcinfo, 1);
    int32 up_to = PG_GETARG_INT32(2);
    check_fetch(queue, worker, up_to);
    check_queue(require(role_kind::worker), queue);
    with_jobs([=](table &jobs) {
        for (HeapTuple job : fetch(jobs, queue, worker, up_to).jobs) tuplestore_puttuple(out.store, job);
    });
}

}  // namespace

}  // namespace chancy

extern "C" {

CHANCY_FUNCTION(chancy_fetch_jobs) {
    PreventCommandIfReadOnly("chancy.fetch_jobs()");
    chancy::rows out = chancy::begin_rows(fcinfo);
    chancy::with_memory("chancy fetch_jobs", [=] { chancy::fetch_jobs(fcinfo, out); });
    return 0;
}

}
