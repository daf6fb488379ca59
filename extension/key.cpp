// The slot of a key. Push looks first (rule 4): it probes the key with a dirty snapshot, as logical
// replication does to find its rows, and waits only for an uncommitted entry into the slot. Whoever
// is leaving it, uncommitted, counts as live: as if the push had come a moment earlier.
#include "change.hpp"
#include "setting.hpp"

namespace chancy {

namespace {
// One scan at a time: the snapshot belongs to the scan, which keeps a pointer to it.
SnapshotData dirty;
bool periods;
}  // namespace

bool has_periods() { return periods; }

lookup begin_key_lookup(table &jobs) {
    InitDirtySnapshot(dirty);
    // The index of a history without periods has no page but its first.
    periods = RelationGetNumberOfBlocks(jobs.index("jobs_unique_until")) > 1;
    return begin_lookup(jobs, "jobs_unique_key", F_TEXTEQ, C_COLLATION_OID, &dirty);
}

namespace {

// Holds the row in jobs.found FOR KEY SHARE, whatever becomes of an update of it that is not committed: its
// newer version is held too. False when a newer version is committed: the key must be probed again.
bool share_row(table &jobs, bool leaving, const policy &how) {
    TM_FailureData failure;
    ItemPointerData tid = jobs.found->tts_tid;
    TM_Result locked = TM_Ok;
    // Following an update waits, whatever the policy, for a transaction that has deleted the newer version
    // or locked it FOR UPDATE: it is the holder of this key's row, so the order stands; but who may not wait does not follow.
    uint8 follow = how.wait == waiting::allowed ? TUPLE_LOCK_FLAG_LOCK_UPDATE_IN_PROGRESS : 0;
    auto lock = [&] {
        locked = table_tuple_lock(jobs.rel, &tid, SnapshotSelf, jobs.held, GetCurrentCommandId(true), LockTupleKeyShare,
                                  LockWaitSkip, follow, &failure);
    };
    if (leaving)
        wait_until(how.deadline, lock);
    else
        lock();
    // A FOR UPDATE holder is about to delete it, or is a user's lock: live until that commits.
    if (locked == TM_WouldBlock) return true;
    if (locked != TM_Ok) return false;
    auto *held = reinterpret_cast<BufferHeapTupleTableSlot *>(jobs.held);
    LockBuffer(held->buffer, BUFFER_LOCK_SHARE);
    HeapTupleHeader row = held->base.tuple->t_data;
    // Not t_ctid: an update that was rolled back leaves it behind.
    bool updated = (row->t_infomask & HEAP_XMAX_INVALID) == 0 && !HEAP_XMAX_IS_LOCKED_ONLY(row->t_infomask);
    TransactionId updater = updated ? HeapTupleHeaderGetUpdateXid(row) : InvalidTransactionId;
    LockBuffer(held->buffer, BUFFER_LOCK_UNLOCK);
    return !updated || !TransactionIdDidCommit(updater);
}

}  // namespace

key_state probe_key(table &jobs, lookup &by_key, bytes key, bool share, const policy &how) {
    Datum datum = text_datum(key);
    for (;;) {
        CHECK_FOR_INTERRUPTS();
        key_state seen{};
        bool replaced = false;
        seek(by_key, datum);
        while (index_getnext_slot(by_key.scan, ForwardScanDirection, jobs.found)) {
            if (TransactionIdIsValid(dirty.xmin)) {
                // Uncommitted: somebody enters the slot, or it is the new version of a live row, whose
                // old version the scan finds too.
                seen.entering = dirty.xmin;
                seen.token = dirty.speculativeToken;
                seen.tid = jobs.found->tts_tid;
                continue;
            }
            job_row row = read_job(jobs.found);
            seen.live = true;
            seen.id = row.id;
            seen.tid = jobs.found->tts_tid;
            seen.changing = dirty.xmax;
            if (share && setting.duplicate_lock && is_waiting(row.is) && !is_ours(jobs.found)) replaced = !share_row(jobs, TransactionIdIsValid(dirty.xmax), how);
            break;
        }
        if (!replaced) return seen;
    }
}

namespace {

// A scan keeps its page pinned, and VACUUM would wait for the pin as long as we wait here.
void let_go(table &jobs, lookup &by_key) {
    index_rescan(by_key.scan, &by_key.key, 1, nullptr, 0);
    ExecClearTuple(jobs.found);
}

void wait_for(table &jobs, TransactionId xid, ItemPointerData tid, XLTW_Oper doing, const policy &how) {
    wait_until(how.deadline, [&] { XactLockTableWait(xid, jobs.rel, &tid, doing); });
}

}  // namespace

bool wait_for_entry(table &jobs, lookup &by_key, const key_state &seen, const policy &how) {
    let_go(jobs, by_key);
    // A token is held for the moment of an insert, and by nobody who waits for more than another token.
    if (seen.token != 0) {
        SpeculativeInsertionWait(seen.entering, seen.token);
        return true;
    }
    if (how.wait == waiting::passes) return false;
    if (how.wait == waiting::never) give_way("a key that another transaction is pushing");
    wait_for(jobs, seen.entering, seen.tid, XLTW_InsertIndex, how);
    return true;
}

bool wait_for_change(table &jobs, lookup &by_key, const key_state &seen, const policy &how, bool late) {
    let_go(jobs, by_key);
    if (how.wait == waiting::passes) return false;
    if (how.wait == waiting::never || late) give_way("a job that another transaction is changing");
    wait_for(jobs, seen.changing, seen.tid, XLTW_Lock, how);
    return true;
}

}  // namespace chancy
