#include "change.hpp"

#include "buffer.hpp"
#include "event.hpp"
#include "next_run.hpp"
#include "role.hpp"
#include "tally.hpp"
#include "workflow.hpp"

namespace chancy {

const char *name(verdict v) {
    static const char *const names[] = {"open",    "reserved", "created",  "duplicate", "replaced",  "withdrawn", "applied",
                                        "stale",   "finished", "locked",   "conflict",  "missing"};
    return names[static_cast<int>(v)];
}

void give_way(const char *what) {
    ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
                    errmsg("could not wait for %s: this transaction holds locks of the queue already", what),
                    errhint("Retry the transaction. In a transaction block leave chancy.push_mode at auto: it waits safely.")));
    pg_unreachable();
}

namespace {

struct writer {
    table &jobs;
    const policy &how;
    lookup by_id, by_key;
    TimestampTz now;
    tallies counts;
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
    char *data = static_cast<char *>(palloc(std::max(b.size, 1)));
    memcpy(data, b.data, b.size);
    return {data, b.size};
}

// Finds the row, without a lock. Where several changes name one row, only their order can tell what
// the fence says.
void locate(writer &w, change &c, bool alone) {
    if (!find_job(w.jobs, w.by_id, c.id, w.jobs.found)) {
        c.is = verdict::missing;
        return;
    }
    job_row row = read_job(w.jobs.found);
    check_queue(w.how.may, row.queue);
    if (alone && !may_apply(c, w.jobs.found)) return;
    c.has_next = row.has_next;
    if (row.key.data != nullptr) c.key = copy(row.key);
    c.queue = copy(row.queue);
    c.row = ExecCopySlotHeapTuple(w.jobs.found);
}

// Pass 1: a row's key never changes, so with all rows found the order is known before the first lock.
void locate_all(writer &w, std::span<change> changes) {
    change **by_id = static_cast<change **>(palloc_extended(sizeof(change *) * changes.size(), MCXT_ALLOC_HUGE));
    int count = 0;
    for (change &c : changes)
        if (c.kind != change_kind::push && c.is == verdict::open) by_id[count++] = &c;
    std::sort(by_id, by_id + count, [](const change *a, const change *b) { return compare(a->id, b->id) < 0; });
    auto same = [&](int i, int j) { return j >= 0 && j < count && compare(by_id[i]->id, by_id[j]->id) == 0; };
    for (int i = 0; i < count; i++) {
        CHECK_FOR_INTERRUPTS();
        locate(w, *by_id[i], !same(i, i - 1) && !same(i, i + 1));
    }
}

// Fills jobs.next from the row in slot and what the change says.
state fill(writer &w, change &c, TupleTableSlot *slot) {
    state after = state::failed;
    copy_row(w.jobs, slot);
    c.is_step = marks_step(DatumGetJsonbP(slot->tts_values[jobs_meta - 1]));
    switch (c.kind) {
        case change_kind::result:
            write_result(w.jobs, slot, c, &after);
            break;
        case change_kind::cancel:
            write_cancel(w.jobs, slot, w.now);
            break;
        case change_kind::retry:
            write_retry(w.jobs, slot, c.kwargs, w.now);
            after = state::pending;
            break;
        case change_kind::push:
            break;
    }
    return after;
}

// Locks the newest version of the row at tid, in jobs.held.
TM_Result lock(writer &w, ItemPointer tid, bool skip) {
    TM_Result locked = TM_WouldBlock;
    if (skip || w.how.wait == waiting::never || w.how.deadline != 0)
        locked = lock_row(w.jobs, tid, LockTupleNoKeyExclusive, LockWaitSkip);
    if (locked != TM_WouldBlock || skip) return locked;
    if (w.how.wait == waiting::never) give_way("a job that another transaction is changing");
    // Scans keep their pages pinned, and VACUUM would wait for the pins as long as we wait here.
    if (w.by_id.scan != nullptr) index_rescan(w.by_id.scan, &w.by_id.key, 1, nullptr, 0);
    if (w.by_key.scan != nullptr) index_rescan(w.by_key.scan, &w.by_key.key, 1, nullptr, 0);
    ExecClearTuple(w.jobs.found);
    wait_until(w.how.deadline, [&] { locked = lock_row(w.jobs, tid, LockTupleNoKeyExclusive, LockWaitBlock); });
    return locked;
}

// before: the row as it was.
void applied(writer &w, change &c, state after, TupleTableSlot *before) {
    c.is = verdict::applied;
    tell_state(c, after);
    c.delayed = is_waiting(after) && DatumGetTimestampTz(w.jobs.next->tts_values[jobs_scheduled_at - 1]) > GetCurrentTimestamp();
    if (c.kind == change_kind::cancel) {
        w.counts.of(c.queue, view(before->tts_values[jobs_func - 1]), happened::cancelled).count++;
    } else if (c.kind == change_kind::result) {
        constexpr happened what[] = {happened::succeeded, happened::failed, happened::failed, happened::snoozed, happened::released};
        w.counts.add_run(before, after == state::retrying ? happened::retrying : what[static_cast<int>(c.result->is)]);
    }
}

// A finished job becomes pending: after its row, which is in jobs.held, the slot of its key.
void enter_slot(writer &w, change &c) {
    for (;;) {
        key_state seen = probe_key(w.jobs, w.by_key, c.key, false, w.how);
        if (seen.live) {
            c.is = verdict::conflict;
            tell_state(c, read_job(w.jobs.held).is);
            return;
        }
        if (TransactionIdIsValid(seen.entering)) {
            if (wait_for_entry(w.jobs, w.by_key, seen, w.how)) continue;
            c.is = verdict::locked;
            return;
        }
        state after = fill(w, c, w.jobs.held);
        end_attempt(w.jobs, w.jobs.held, &after);
        if (update_speculatively(w.jobs, &w.jobs.held->tts_tid)) return applied(w, c, after, w.jobs.held);
    }
}

// Makes a change to the row in jobs.held.
void write_held(writer &w, change &c) {
    state after = fill(w, c, w.jobs.held);
    bool next = end_attempt(w.jobs, w.jobs.held, &after);
    HeapTuple ended = next ? ExecCopySlotHeapTuple(w.jobs.held) : nullptr;
    TM_Result done = update(w.jobs, &w.jobs.held->tts_tid, true);
    if (done != TM_Ok) elog(ERROR, "a locked job changed (%d)", done);
    applied(w, c, after, w.jobs.held);
    if (next) push_next_run(w.jobs, ended);
}

// Locks the row of a change and makes it.
void change_row(writer &w, change &c) {
    bool enters = c.kind == change_kind::retry && c.key.data != nullptr;
    if (!enters && !c.has_next) {
        // Nobody holds most rows: then one call locks and writes. What pass 1 read is the newest
        // version exactly if the call says TM_Ok.
        ExecStoreHeapTuple(c.row, w.jobs.copy, false);
        state after = fill(w, c, w.jobs.copy);
        if (update(w.jobs, &c.row->t_self, false) == TM_Ok) return applied(w, c, after, w.jobs.copy);
    }
    TM_Result locked = lock(w, &c.row->t_self, c.skip);
    if (locked != TM_Ok) {
        c.is = locked == TM_WouldBlock ? verdict::locked : verdict::missing;
        return;
    }
    if (!may_apply(c, w.jobs.held)) return;
    if (enters) return enter_slot(w, c);
    write_held(w, c);
}

void make_push(writer &w, change &c, bool late) {
    if (c.key.data == nullptr) {  // it meets nobody
        fill_job(w.jobs, c.id, *c.job, DT_NOBEGIN);
        insert_together(w.jobs);
        c.is = verdict::created;
    } else {
        insert_job(w.jobs, w.by_key, c, w.how, late);
    }
    if (c.is == verdict::created) w.counts.of(c.job->queue, c.job->func, happened::pushed).count++;
}

void make(writer &w, change &c, bool late = false) {
    if (w.how.at != nullptr) *w.how.at = &c;
    if (c.kind == change_kind::push)
        make_push(w, c, late);
    else
        change_row(w, c);
}

// The live job that a push of the group may change is one of the rows to lock: false when there is none.
bool find_live(writer &w, std::span<change *> group, key_state *live) {
    auto changes = [](const change *c) {
        return c->kind == change_kind::push && (c->job->mode == on_conflict::replace || c->job->mode == on_conflict::rerun);
    };
    auto push = std::find_if(group.begin(), group.end(), changes);
    if (push == group.end()) return false;
    *live = probe_key(w.jobs, w.by_key, (*push)->key, false, w.how);
    return live->live;
}

// Several changes of one key, or of one keyless row: first all its rows are locked, by id, then the
// changes are made in the order of calls, each seeing what the one before wrote.
void make_group(writer &w, std::span<change *> group) {
    bool rows = group[0]->kind != change_kind::push;  // pushes come last
    key_state live;
    bool lock_live = rows && find_live(w, group, &live);
    for (size_t i = 0; i < group.size(); i++) {
        change &c = *group[i];
        if (c.kind == change_kind::push || (i > 0 && compare(group[i - 1]->id, c.id) == 0)) continue;
        if (lock_live && compare(live.id, c.id) <= 0) {
            if (compare(live.id, c.id) < 0) lock(w, &live.tid, false);
            lock_live = false;
        }
        if (w.how.at != nullptr) *w.how.at = &c;
        if (lock(w, &c.row->t_self, c.skip) == TM_WouldBlock)
            for (change *same : group)
                if (compare(same->id, c.id) == 0) same->is = verdict::locked;
    }
    if (lock_live) lock(w, &live.tid, false);
    std::sort(group.begin(), group.end(), [](const change *a, const change *b) { return a->order < b->order; });
    for (change *c : group) {
        if (c->is != verdict::open) continue;
        CHECK_FOR_INTERRUPTS();
        CommandCounterIncrement();
        if (c->kind != change_kind::push) locate(w, *c, true);
        if (c->is == verdict::open) make(w, *c, rows);
    }
}

// Pass 2: the one order. Keys bytewise; of a key the rows by id, then its slot.
bool before(const change *a, const change *b) {
    int by_key = compare(a->key, b->key);
    if (by_key != 0) return by_key < 0;
    // An empty key (Python's; push refuses it) is a key all the same.
    if ((a->key.data == nullptr) != (b->key.data == nullptr)) return a->key.data == nullptr;
    bool a_slot = a->kind == change_kind::push, b_slot = b->kind == change_kind::push;
    if (a_slot != b_slot) return b_slot;
    if (a_slot) return a->order < b->order;
    int by_id = compare(a->id, b->id);
    return by_id != 0 ? by_id < 0 : a->order < b->order;
}

bool same_group(const change *a, const change *b) {
    if ((a->key.data == nullptr) != (b->key.data == nullptr)) return false;
    if (a->key.data != nullptr) return compare(a->key, b->key) == 0;
    return a->kind != change_kind::push && b->kind != change_kind::push && compare(a->id, b->id) == 0;
}

}  // namespace

void withdraw(std::span<change> changes) {
    int pushes = 0, cancels = 0;
    for (change &c : changes) {
        pushes += c.kind == change_kind::push;
        cancels += c.kind == change_kind::cancel;
    }
    if (pushes == 0 || cancels == 0) return;
    change **first = static_cast<change **>(palloc_extended(sizeof(change *) * pushes, MCXT_ALLOC_HUGE));
    change **end = first;
    for (change &c : changes)
        if (c.kind == change_kind::push) *end++ = &c;
    std::sort(first, end, [](const change *a, const change *b) { return compare(a->id, b->id) < 0; });
    for (change &c : changes) {
        if (c.kind != change_kind::cancel) continue;
        change **push =
            std::lower_bound(first, end, c.id, [](const change *a, const pg_uuid_t &id) { return compare(a->id, id) < 0; });
        if (push == end || compare((*push)->id, c.id) != 0 || (*push)->order > c.order) continue;
        (*push)->is = c.is = verdict::withdrawn;
    }
}

void check_queues(std::span<change> changes, const permit &may) {
    if (may.all) return;
    with_jobs([=](table &jobs) {
        lookup by_id = begin_id_lookup(jobs, SnapshotSelf);
        for (change &c : changes) {
            CHECK_FOR_INTERRUPTS();
            if (find_job(jobs, by_id, c.id, jobs.found)) check_queue(may, read_job(jobs.found).queue);
        }
        end_lookup(by_id);
    });
}

void apply(table &jobs, std::span<change> changes, const policy &how) {
    bool keys = false, rows = false, pushes = false;
    for (change &c : changes) {
        if (c.is != verdict::open) continue;
        keys = keys || c.key.data != nullptr || c.kind == change_kind::retry;
        rows = rows || c.kind != change_kind::push;
        pushes = pushes || c.kind == change_kind::push;
    }
    if (pushes) check_added_columns(jobs);
    TimestampTz now = GetCurrentTimestamp();
    writer w{jobs, how, {}, {}, now, {now, nullptr, 0, 0}};
    if (rows) {
        w.by_id = begin_id_lookup(jobs, SnapshotSelf);
        locate_all(w, changes);
    }
    if (keys) w.by_key = begin_key_lookup(jobs);
    change **order = static_cast<change **>(palloc_extended(sizeof(change *) * (changes.size() + 1), MCXT_ALLOC_HUGE));
    size_t count = 0;
    for (change &c : changes)
        if (c.is == verdict::open) order[count++] = &c;
    std::sort(order, order + count, before);
    for (size_t i = 0, end; i < count; i = end) {
        CHECK_FOR_INTERRUPTS();
        for (end = i + 1; end < count && same_group(order[i], order[end]);) end++;
        if (end == i + 1)
            make(w, *order[i]);
        else
            make_group(w, {order + i, end - i});
    }
    insert_rest(jobs);
    if (keys) end_lookup(w.by_key);
    if (rows) end_lookup(w.by_id);
    if (keys || rows) note_locks();
    CommandCounterIncrement();
    keep_tallies(w.counts);
    tell(changes);
    advance(jobs, changes);
}

}  // namespace chancy
