// unique: what a push does when its key is taken.
//
// A key is taken while a job of it is live, and until unique_until of one that is finished. keep leaves what is there;
// reject is an error; replace gives the waiting job the new content; rerun wants a run that starts after its commit.
// A job that runs cannot be changed any more: rerun and replace note the next run in its row (next_run.cpp).
#include "next_run.hpp"

#include "role.hpp"
#include "setting.hpp"
#include "worker.hpp"

namespace chancy {

namespace {

constexpr const char *mode_names[] = {"keep", "replace", "reject", "rerun"};
constexpr int64 longest_period = INT64CONST(3660) * USECS_PER_DAY;

}  // namespace

const char *mode_name(on_conflict mode) { return mode_names[static_cast<int>(mode)]; }

on_conflict parse_on_conflict(bytes text, place where) {
    for (int i = 0; i < 4; i++)
        if (text == view(mode_names[i])) return static_cast<on_conflict>(i);
    refuse(where, psprintf("is not a known mode: \"%s\"", shown(text)), "Known: keep, replace, reject, rerun.");
}

int64 parse_period(const Interval *period, place where) {
    int64 span = microseconds(period);
    if (span < USECS_PER_SEC || span > longest_period)
        refuse(where, "must be from 1 second to 10 years", "Give an interval, such as '15 min'.");
    return span;
}

namespace {

// ---- the period

// Until when a finished job keeps the key taken, and its id; 0: none does.
TimestampTz find_holder(table &jobs, bytes key, pg_uuid_t *id) {
    if (!has_periods()) return 0;  // the common case costs nothing
    TimestampTz until = 0;
    lookup by_key = begin_lookup(jobs, "jobs_unique_until", F_TEXTEQ, C_COLLATION_OID, SnapshotSelf);
    seek(by_key, text_datum(key));
    while (until == 0 && index_getnext_slot(by_key.scan, ForwardScanDirection, jobs.held)) {  // the latest comes first
        job_row row = read_job(jobs.held);
        if (is_live(row.is)) continue;
        until = DatumGetTimestampTz(jobs.held->tts_values[jobs_unique_until - 1]);
        *id = row.id;
        if (until <= GetCurrentTimestamp()) return end_lookup(by_key), 0;
    }
    end_lookup(by_key);
    return until;
}

// ---- meeting a live job

// Locks exactly this version of the live job, into jobs.held. TM_Ok: it is the newest one, and nobody changes it (of
// KEY SHARE only the former holds). TM_WouldBlock: held, and we pass by. Otherwise it has changed, and nothing is locked.
TM_Result lock_live(table &jobs, lookup &by_key, const key_state &seen, LockTupleMode mode, const policy &how, bool late) {
    auto lock = [&](LockWaitPolicy busy) {
        TM_FailureData failure;
        ItemPointerData tid = seen.tid;
        return table_tuple_lock(jobs.rel, &tid, SnapshotSelf, jobs.held, GetCurrentCommandId(true), mode, busy, 0, &failure);
    };
    TM_Result locked = lock(LockWaitSkip);
    if (locked != TM_WouldBlock || how.wait == waiting::passes) return locked;
    if (how.wait == waiting::never || late) give_way("a job that another transaction is changing");
    // A scan keeps its page pinned, and VACUUM would wait for the pin as long as we wait here.
    index_rescan(by_key.scan, &by_key.key, 1, nullptr, 0);
    ExecClearTuple(jobs.found);
    wait_until(how.deadline, [&] { locked = lock(LockWaitBlock); });
    return locked;
}

// Has somebody updated, committed or not, the version in jobs.held? KEY SHARE does not exclude that.
bool is_superseded(table &jobs) {
    auto *held = reinterpret_cast<BufferHeapTupleTableSlot *>(jobs.held);
    LockBuffer(held->buffer, BUFFER_LOCK_SHARE);
    HeapTupleHeader row = held->base.tuple->t_data;
    bool updated = (row->t_infomask & HEAP_XMAX_INVALID) == 0 && !HEAP_XMAX_IS_LOCKED_ONLY(row->t_infomask);
    TransactionId updater = updated ? HeapTupleHeaderGetUpdateXid(row) : InvalidTransactionId;
    LockBuffer(held->buffer, BUFFER_LOCK_UNLOCK);
    return updated && (TransactionIdIsInProgress(updater) || TransactionIdDidCommit(updater));
}

// Fills jobs.next from the live job's row in slot and the push that met it.
void fill_met(table &jobs, TupleTableSlot *slot, const change &c, state is, TimestampTz not_before) {
    const new_job &job = *c.job;
    copy_row(jobs, slot);
    bool replace = job.mode == on_conflict::replace;
    if (replace && is_waiting(is)) return overlay(jobs, job, not_before);
    if (!replace) set(jobs, jobs_rerun, BoolGetDatum(true));
    if (is == state::running && (replace || jobs.next->tts_isnull[jobs_next_run - 1]))
        set(jobs, jobs_next_run, make_next_run(&job, job.mode));
}

void check_replaceable(const change &c, bytes queue) {
    if (c.job->may == nullptr || permits(*c.job->may, queue)) return;
    ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                    errmsg("%s is the key of a job in queue \"%s\", which this role may not replace",
                           path(place{c.job->list, c.element, "unique_key"}), to_cstring(queue)),
                    errhint("The grant functions list a role's queues; NULL means all.")));
}

// replace and rerun meet the live job that a probe found. False: it has changed meanwhile, so look again.
bool change_live(table &jobs, lookup &by_key, change &c, const key_state &seen, const policy &how, bool late) {
    auto decided = [&](verdict v) {
        c.is = v;
        c.id = seen.id;
        return true;
    };
    job_row row = read_job(jobs.found);
    bool rerun = c.job->mode == on_conflict::rerun, ours = is_ours(jobs.found);
    if (TransactionIdIsValid(seen.changing))
        return wait_for_change(jobs, by_key, seen, how, late) ? false : decided(verdict::locked);
    if (!rerun && is_waiting(row.is)) check_replaceable(c, row.queue);
    // A run that is yet to come is what rerun wants: it only must not begin before our commit. Our own version cannot.
    bool comes = rerun && (is_waiting(row.is) || (row.rerun && row.has_next));
    if (comes && (ours || !setting.duplicate_lock)) return decided(verdict::duplicate);
    if (comes && row.rerun) {
        TM_Result locked = lock_live(jobs, by_key, seen, LockTupleKeyShare, how, late);
        if (locked == TM_WouldBlock) return decided(verdict::locked);
        return locked == TM_Ok && !is_superseded(jobs) && decided(verdict::duplicate);
    }
    pg_uuid_t holder;
    TimestampTz until = rerun ? 0 : find_holder(jobs, c.key, &holder);
    c.delayed = until != 0;
    TupleTableSlot *slot = jobs.found;
    if (ours) {
        CommandCounterIncrement();
    } else {
        TM_Result locked = lock_live(jobs, by_key, seen, LockTupleNoKeyExclusive, how, late);
        if (locked == TM_WouldBlock) return decided(verdict::locked);
        if (locked != TM_Ok) return false;
        slot = jobs.held;
    }
    state is = read_job(slot).is;
    fill_met(jobs, slot, c, is, until != 0 ? until : DT_NOBEGIN);
    ItemPointerData tid = seen.tid;
    TM_Result done = update(jobs, &tid, true);
    if (done != TM_Ok) elog(ERROR, "a locked job changed (%d)", done);
    return decided(!rerun && is_waiting(is) ? verdict::replaced : verdict::duplicate);
}

[[noreturn]] void reject(const change &c, const pg_uuid_t &id) {
    char *text = DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&id)));
    ereport(ERROR, (errcode(ERRCODE_UNIQUE_VIOLATION),
                    errmsg("%s is taken: \"%s\"", path(place{c.job->list, c.element, "unique_key"}), shown(c.key)),
                    errdetail("Job %s has it.", text), errhint("With on_conflict \"keep\" that job's id is returned instead.")));
    pg_unreachable();
}

}  // namespace

namespace {

// Keys pushed by this backend, one after another, that were not taken. After a hundred the next one is inserted at once: that looks
// at the key too, and costs a dead row where it is taken.
int new_in_a_row = 0;

bool insert_unseen(table &jobs, change &c) {
    if (new_in_a_row < 100 || has_periods()) return false;
    fill_job(jobs, c.id, *c.job, DT_NOBEGIN);
    if (insert_speculatively(jobs)) return true;
    new_in_a_row = 0;
    return false;
}

}  // namespace

void insert_job(table &jobs, lookup &by_key, change &c, const policy &how, bool late) {
    if (c.key.data == nullptr) {
        fill_job(jobs, c.id, *c.job, DT_NOBEGIN);
        insert(jobs);
        c.is = verdict::created;
        return;
    }
    if (insert_unseen(jobs, c)) {
        c.is = verdict::created;
        return;
    }
    on_conflict mode = c.job->mode;
    if (mode == on_conflict::reject && how.wait == waiting::passes) mode = on_conflict::keep;
    auto kept = [&](const pg_uuid_t &id) {
        if (mode == on_conflict::reject) reject(c, id);
        c.is = verdict::duplicate;
        c.id = id;
    };
    for (;;) {
        key_state seen = probe_key(jobs, by_key, c.key, mode == on_conflict::keep, how);
        if (seen.live) {
            new_in_a_row = 0;
            if (mode == on_conflict::keep || mode == on_conflict::reject) return kept(seen.id);
            if (change_live(jobs, by_key, c, seen, how, late)) return;
            continue;
        }
        if (TransactionIdIsValid(seen.entering)) {
            if (wait_for_entry(jobs, by_key, seen, how)) continue;
            c.is = verdict::locked;
            return;
        }
        pg_uuid_t holder;
        TimestampTz until = find_holder(jobs, c.key, &holder);
        if (until != 0 && (mode == on_conflict::keep || mode == on_conflict::reject)) return kept(holder);
        fill_job(jobs, c.id, *c.job, until != 0 ? until : DT_NOBEGIN);
        if (insert_speculatively(jobs)) {
            new_in_a_row++;
            c.is = verdict::created;
            c.delayed = until != 0;
            return;
        }
    }
}

}  // namespace chancy
