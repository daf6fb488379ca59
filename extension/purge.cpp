// queue: delete_queue. First the rows of the queues are locked, in name order; that may wait. Then jobs
// are deleted, which never waits: a job that runs or is held refuses the whole (55006).
#include "buffer.hpp"
#include "compat.hpp"
#include "event.hpp"
#include "purge.hpp"
#include "fetch.hpp"
#include "queue.hpp"

namespace chancy {

// A foreign key of the user's that points here would be skipped by a direct delete.
void check_deletable(Relation rel) {
    if (rel->trigdesc == nullptr) return;
    for (int i = 0; i < rel->trigdesc->numtriggers; i++) {
        Trigger *trigger = &rel->trigdesc->triggers[i];
        if (trigger->tgenabled == TRIGGER_DISABLED || !TRIGGER_FOR_DELETE(trigger->tgtype)) continue;
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("chancy.%s has the trigger \"%s\", which a direct delete cannot honour",
                               RelationGetRelationName(rel), trigger->tgname),
                        errhint("Drop it or its foreign key, or delete the queue without its jobs.")));
    }
}

namespace {

[[noreturn]] void refuse_in_use(bytes queue, const char *what) {
    ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE), errmsg("queue \"%s\" is in use: %s", to_cstring(queue), what),
                    errhint("Pause it, let its jobs end or cancel them, and try again.")));
    pg_unreachable();
}

}  // namespace

TM_Result delete_row(Relation rel, ItemPointer tid, bool wait) {
    TM_FailureData failure;
    return table_tuple_delete(rel, tid, GetCurrentCommandId(true), SnapshotSelf, InvalidSnapshot, wait, &failure, false);
}

namespace {

// Locks and deletes the queue's row; false when there is none.
bool delete_queue_row(table &queues, bytes name, const policy &how) {
    for (;;) {
        CHECK_FOR_INTERRUPTS();
        lookup by_name = begin_lookup(queues, "queues_pkey", F_TEXTEQ, C_COLLATION_OID, SnapshotSelf);
        seek(by_name, text_datum(name));
        bool found = index_getnext_slot(by_name.scan, ForwardScanDirection, queues.found);
        ItemPointerData tid = queues.found->tts_tid;
        end_lookup(by_name);
        if (!found) return false;
        TM_Result locked = lock_row(queues, &tid, LockTupleExclusive, LockWaitSkip);
        if (locked == TM_WouldBlock) {
            if (how.wait == waiting::never) give_way("a queue that another transaction is changing");
            wait_until(how.deadline, [&] { locked = lock_row(queues, &tid, LockTupleExclusive, LockWaitBlock); });
        }
        if (locked != TM_Ok) continue;  // deleted meanwhile: look again
        tid = queues.held->tts_tid;
        if (delete_row(queues.rel, &tid, true) == TM_Ok) return true;
    }
}

bool is_running_in(table &jobs, bytes queue) {
    lookup running = begin_lookup(jobs, "jobs_running", F_TEXTEQ, C_COLLATION_OID, SnapshotSelf);
    seek(running, text_datum(queue));
    bool any = index_getnext_slot(running.scan, ForwardScanDirection, jobs.found);
    end_lookup(running);
    return any;
}

// One pass over the table; returns how many were deleted.
int64 purge_pass(table &jobs, const deleted_queue &q) {
    int64 deleted = 0;
    TableScanDesc scan = table_beginscan(jobs.rel, SnapshotSelf, 0, nullptr);
    while (table_scan_getnextslot(scan, ForwardScanDirection, jobs.found)) {
        CHECK_FOR_INTERRUPTS();
        job_row row = read_job(jobs.found);
        if (!(row.queue == q.name)) continue;
        // What the transaction pushed after the call stays.
        if (is_ours(jobs.found) && id_tick(row.id) > q.last_tick &&
            DatumGetTimestampTz(jobs.found->tts_values[jobs_created_at - 1]) == GetCurrentTransactionStartTimestamp())
            continue;
        if (row.is == state::running) refuse_in_use(q.name, "one of its jobs runs");
        ItemPointerData tid = jobs.found->tts_tid;
        deleted++;
        if (delete_row(jobs.rel, &tid, false) == TM_Ok) continue;
        // Our own transaction may hold it: it pushed a duplicate of it.
        if (lock_row(jobs, &tid, LockTupleExclusive, LockWaitSkip) != TM_Ok || delete_row(jobs.rel, &tid, true) != TM_Ok)
            refuse_in_use(q.name, "another transaction holds one of its jobs");
    }
    table_endscan(scan);
    CommandCounterIncrement();
    return deleted;
}

// A row that is updated while the scan is under way may be missed by it: until a pass finds nothing.
void purge_jobs(table &jobs, const deleted_queue &q) {
    while (purge_pass(jobs, q) > 0) continue;
    if (is_running_in(jobs, q.name)) refuse_in_use(q.name, "one of its jobs runs");
}

}  // namespace

void delete_queues(std::span<deleted_queue> deletes, const policy &how) {
    std::sort(deletes.begin(), deletes.end(), [](const deleted_queue &a, const deleted_queue &b) { return compare(a.name, b.name) < 0; });
    change naming{};  // only tells error messages which call it is
    auto name_call = [&](const deleted_queue &q) {
        naming.call = q.call;
        if (how.at != nullptr) *how.at = &naming;
    };
    with_jobs([&](table &jobs) {
        for (deleted_queue &q : deletes) {
            name_call(q);
            if (q.purge_jobs) check_deletable(jobs.rel);
            if (is_running_in(jobs, q.name)) refuse_in_use(q.name, "one of its jobs runs");
        }
        with_table("queues", true, [&](table &queues) {
            check_deletable(queues.rel);
            for (deleted_queue &q : deletes) {
                name_call(q);
                q.existed = delete_queue_row(queues, q.name, how);
                CommandCounterIncrement();
            }
        });
        for (deleted_queue &q : deletes) {
            name_call(q);
            forget_counter(q.name);
            if (q.purge_jobs) purge_jobs(jobs, q);
            if (q.existed) emit("queue.deleted", "q", q.name);
        }
    });
    if (how.at != nullptr) *how.at = nullptr;
    note_locks();
    CommandCounterIncrement();
}

}  // namespace chancy
