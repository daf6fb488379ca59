#include "change.hpp"

#include "event.hpp"
#include "role.hpp"

namespace chancy {

namespace {

struct writer {
    table &jobs;
    waiting wait;
    lookup by_id, by_key;
    TimestampTz now;
};

// A result names an attempt (rule 8): what another attempt left behind is not touched.
verdict check_fence(const job_row &row, const change &c) {
    switch (c.kind) {
        case change_kind::result:
            return row.is == state::running && row.taken_by.data != nullptr && row.taken_by == c.result->worker &&
                           row.started_at == c.result->started_at
                       ? verdict::open
                       : verdict::stale;
        case change_kind::cancel:
            return is_live(row.is) ? verdict::open : verdict::finished;
        case change_kind::retry:
            return is_live(row.is) ? verdict::finished : verdict::open;
        case change_kind::push:
            break;
    }
    return verdict::open;
}

void tell_state(change &c, state s) {
    c.after = s;
    c.known = true;
}

// Checks the fence against the row in slot, and tells its state when it fails.
bool may_apply(change &c, TupleTableSlot *slot) {
    job_row row = read_job(slot);
    c.is = check_fence(row, c);
    if (c.is == verdict::open) return true;
    tell_state(c, row.is);
    return false;
}

bytes copy(bytes b) {
    char *data = static_cast<char *>(palloc(b.size));
    memcpy(data, b.data, b.size);
    return {data, b.size};
}

// Pass 1: finds the rows, without locks, and leaves out what the fence refuses. A row's key never
// changes, so the order is known before the first lock.
void locate(writer &w, std::span<change> changes, const permit &may) {
    change **by_id = static_cast<change **>(palloc(sizeof(change *) * changes.size()));
    int count = 0;
    for (change &c : changes)
        if (c.kind != change_kind::push) by_id[count++] = &c;
    std::sort(by_id, by_id + count, [](const change *a, const change *b) { return compare(a->id, b->id) < 0; });
    for (int i = 0; i < count; i++) {
        CHECK_FOR_INTERRUPTS();
        change &c = *by_id[i];
        if (!find_job(w.jobs, w.by_id, c.id, w.jobs.found)) {
            c.is = verdict::missing;
            continue;
        }
        job_row row = read_job(w.jobs.found);
        check_queue(may, row.queue);
        if (!may_apply(c, w.jobs.found)) continue;
        if (row.key.data != nullptr) c.key = copy(row.key);
        c.queue = copy(row.queue);
        c.row = ExecCopySlotHeapTuple(w.jobs.found);
    }
}

// Fills jobs.next from the row in slot and what the change says.
state fill(writer &w, change &c, TupleTableSlot *slot) {
    state after = state::failed;
    copy_row(w.jobs, slot);
    switch (c.kind) {
        case change_kind::result:
            write_result(w.jobs, slot, c, &after);
            break;
        case change_kind::cancel:
            write_cancel(w.jobs, slot, w.now);
            break;
        case change_kind::retry:
            write_retry(w.jobs, slot, w.now);
            after = state::pending;
            break;
        case change_kind::push:
            break;
    }
    return after;
}

// Locks the newest version of the row, in jobs.held, and checks the fence again. False when the
// change is decided: locked, missing or refused by the fence.
bool lock(writer &w, change &c) {
    switch (lock_row(w.jobs, &c.row->t_self, LockTupleNoKeyExclusive,
                     w.wait == waiting::allowed ? LockWaitBlock : LockWaitSkip)) {
        case TM_Ok:
            return may_apply(c, w.jobs.held);
        case TM_WouldBlock:
            c.is = verdict::locked;
            return false;
        default:
            c.is = verdict::missing;
            return false;
    }
}

// A finished job becomes pending: after its row, the slot of its key.
void enter_slot(writer &w, change &c) {
    for (;;) {
        key_state seen = probe_key(w.jobs, w.by_key, c.key, false);
        if (seen.live) {
            c.is = verdict::conflict;
            tell_state(c, read_job(w.jobs.held).is);
            return;
        }
        if (TransactionIdIsValid(seen.entering)) {
            wait_for_entry(w.jobs, w.by_key, seen);
            continue;
        }
        state after = fill(w, c, w.jobs.held);
        if (update_speculatively(w.jobs, &w.jobs.held->tts_tid)) {
            c.is = verdict::applied;
            tell_state(c, after);
            return;
        }
    }
}

void change_row(writer &w, change &c) {
    bool enters = c.kind == change_kind::retry && c.key.size > 0;
    if (!enters) {
        // Nobody holds most rows: then one call locks and writes. What pass 1 read is the newest
        // version exactly if the call says TM_Ok.
        ExecStoreHeapTuple(c.row, w.jobs.copy, false);
        state after = fill(w, c, w.jobs.copy);
        if (update(w.jobs, &c.row->t_self, false) == TM_Ok) {
            c.is = verdict::applied;
            tell_state(c, after);
            return;
        }
    }
    if (!lock(w, c)) return;
    if (enters) return enter_slot(w, c);
    state after = fill(w, c, w.jobs.held);
    TM_Result done = update(w.jobs, &w.jobs.held->tts_tid, true);
    if (done != TM_Ok) elog(ERROR, "a locked job changed (%d)", done);
    c.is = verdict::applied;
    tell_state(c, after);
}

}  // namespace

void apply(table &jobs, std::span<change> changes, waiting wait, const permit &may) {
    if (changes.empty()) return;
    bool keys = false, rows = false;
    for (change &c : changes) {
        keys = keys || c.key.size > 0 || c.kind == change_kind::retry;
        rows = rows || c.kind != change_kind::push;
    }
    writer w{jobs, wait, {}, {}, GetCurrentTimestamp()};
    if (rows) {
        w.by_id = begin_id_lookup(jobs, SnapshotSelf);
        locate(w, changes, may);
        end_lookup(w.by_id);
    }
    if (keys) w.by_key = begin_key_lookup(jobs);

    // Pass 2: the one order. Rows of a key come before its slot.
    change **order = static_cast<change **>(palloc(sizeof(change *) * changes.size()));
    int count = 0;
    for (change &c : changes)
        if (c.is == verdict::open) order[count++] = &c;
    std::sort(order, order + count, [](const change *a, const change *b) {
        int by_key = compare(a->key, b->key);
        if (by_key != 0) return by_key < 0;
        bool a_slot = a->kind == change_kind::push, b_slot = b->kind == change_kind::push;
        if (a_slot != b_slot) return b_slot;
        if (a_slot) return a->order < b->order;
        int by_id = compare(a->id, b->id);
        return by_id != 0 ? by_id < 0 : a->order < b->order;
    });
    for (int i = 0; i < count; i++) {
        CHECK_FOR_INTERRUPTS();
        change &c = *order[i];
        if (c.kind == change_kind::push)
            insert_job(jobs, w.by_key, c);
        else
            change_row(w, c);
    }

    if (keys) end_lookup(w.by_key);
    CommandCounterIncrement();
    tell(changes);
}

}  // namespace chancy
