// workflow: what follows from the end of a step.
//
// Whoever writes the end of a step's job pushes, in the same transaction, the steps that were waiting for it. A waiting
// step is not told of every dependency's end: it waits for one of them that has not ended (waits_for), and whoever ends
// that one looks for the next, from the back; when there is none, the step is pushed. So the fan-in of ten thousand steps
// is touched by few of their ends, and no counter has to be shared. The workflow itself waits for one of its steps in
// the same way.
//
// Nothing here waits for a lock. Locks: the workflow's row FOR SHARE by who writes its steps, FOR NO KEY UPDATE by who
// writes it; the row of a step that is written. Who makes a step wait for X holds X, the job's row FOR SHARE, or the step's
// row while it has no job, so that X cannot end unseen before this is committed: its end would have to wait, or be told
// as locked. What cannot be locked is noted in workflow_todo, and the next fetch or turn of maintenance does it.
#include "advance.hpp"

#include "buffer.hpp"
#include "compat.hpp"
#include "event.hpp"
#include "packed.hpp"

namespace chancy {

void note(turn &n, const pg_uuid_t &workflow, int32 step, bool poll) {
    if (!poll && step == n.noted) {
        n.busy = true;
        return;
    }
    with_table("workflow_todo", false, [&](table &todo) {
        new_row(todo);
        set(todo, todo_workflow, UUIDPGetDatum(&workflow));
        if (step != 0) set(todo, todo_step, Int32GetDatum(step));
        set(todo, todo_poll, BoolGetDatum(poll));
        insert(todo);
    });
    if (!poll && n.queue.data != nullptr) emit("queue.pushed", "q", n.queue);
}

fate fate_of_job(turn &n, const pg_uuid_t &id, bool hold) {
    table &jobs = n.t.jobs;
    if (!find_job(jobs, n.t.job_by_id, id, jobs.found)) return fate::failed;  // somebody deleted it
    state is = read_job(jobs.found).is;
    if (is_live(is) && hold) {
        TM_Result locked = lock_row(jobs, &jobs.found->tts_tid, LockTupleShare, LockWaitSkip);
        if (locked == TM_WouldBlock) return fate::busy;
        if (locked != TM_Ok) return fate::failed;
        is = read_job(jobs.held).is;
    }
    return is == state::succeeded ? fate::succeeded : is == state::failed ? fate::failed : fate::open;
}

fate fate_of(turn &n, int32 id, bool hold) {
    step_row s;
    if (!find_step(n.t, id, &s)) return fate::failed;  // somebody deleted it
    if (hold && !s.has_job && !s.skipped) {
        TM_Result locked = try_step(n.t, &s);
        if (locked == TM_WouldBlock) return fate::busy;
        if (locked != TM_Ok) return fate::failed;
    }
    if (s.skipped) return fate::failed;
    if (!s.has_job) return fate::open;
    return fate_of_job(n, s.job, hold);
}

namespace {

// Pushes the job of the step; busy when somebody is just pushing its key.
step_turn push_step(turn &n, HeapTuple row, step_row &s) {
    bool null;
    TupleDesc desc = RelationGetDescr(n.t.steps.rel);
    new_job job = unpack_job(DatumGetJsonbP(heap_getattr(row, steps_job_data, desc, &null)));
    bytes step_name = view(heap_getattr(row, steps_step_id, desc, &null));
    // Python checks no lengths.
    bool good = job.func.data != nullptr && job.func.size > 0 && job.func.size <= max_name && job.queue.size > 0 &&
                job.queue.size <= max_queue && (job.key.data == nullptr || (job.key.size > 0 && job.key.size <= max_name));
    if (!good) return step_turn::skipped;
    job.meta = mark_step(job.meta, s.workflow, step_name);
    change c{};
    c.kind = change_kind::push;
    c.job = &job;
    c.key = job.key;
    make_ids({&c, 1});
    if (c.key.data != nullptr && n.by_key.scan == nullptr) n.by_key = begin_key_lookup(n.t.jobs);
    permit all{true, nullptr, 0};
    insert_job(n.t.jobs, n.by_key, c, {waiting::passes, 0, all, nullptr}, true);
    if (c.is == verdict::locked) return step_turn::busy;
    s.job = c.id;
    s.has_job = true;
    if (c.is == verdict::duplicate) note(n, s.workflow, s.id, true);
    if (c.is == verdict::created && job.scheduled_at <= n.t.now && !(n.told.data != nullptr && n.told == job.queue)) {
        emit("queue.pushed", "q", job.queue);
        n.told = job.queue;
    }
    return step_turn::pushed;
}

}  // namespace

step_turn advance_step(turn &n, step_row s) {
    HeapTuple row = ExecCopySlotHeapTuple(n.t.steps.held);
    std::span<int32> after = dependency_ids(row, RelationGetDescr(n.t.steps.rel));
    constexpr int most_busy = 32;
    int passed = 0;  // busy dependencies
    const step_row before = s;
    s.waits_for = 0;
    for (int i = std::min<int>(s.waits_at, after.size() - 1); i >= 0 && s.waits_for == 0 && passed < most_busy; i--) {
        CHECK_FOR_INTERRUPTS();
        fate f = fate_of(n, after[i], true);
        if (f == fate::open) s.waits_for = after[i];
        if (f == fate::busy) passed++;
        if (f == fate::failed) s.doomed = true;
        if (passed == 0 && f != fate::open) s.waits_at = i - 1;
    }
    step_turn is = step_turn::waits;
    if (s.waits_for == 0) {
        is = passed > 0 ? step_turn::busy : s.doomed && s.when == run_when::succeeded ? step_turn::skipped : push_step(n, row, s);
        s.skipped = is == step_turn::skipped;
    }
    if (is == step_turn::busy) {
        // Whoever comes for it again finds it by what it waits for, and goes on from here: not over ten thousand steps again.
        s.waits_for = before.waits_for;
        if (s.waits_at == before.waits_at && s.doomed == before.doomed) return is;
    }
    write_step(n.t, row, s);
    return is;
}

namespace {

// Ends the workflow in the given way. Locked by us.
void finish(turn &n, workflow_row &w, workflow_status status) {
    w.status = status;
    w.waits_for = 0;
    write_workflow(n.t, w);
    tell_workflow("workflow.updated", w);
}

// Compensation: the jobs that undo succeeded steps, one after the other, the last step's first. False: nothing to undo, or
// it is done already.
bool make_undo(turn &n, workflow_row &w) {
    step_list steps = steps_of_workflow(n.t, w.id);
    for (int i = 0; i < steps.count; i++)
        if (steps.items[i].undoes != 0) return false;
    TupleDesc desc = RelationGetDescr(n.t.steps.rel);
    int32 before = 0;
    bytes before_name{};
    for (int i = steps.count - 1; i >= 0; i--) {
        CHECK_FOR_INTERRUPTS();
        if (fate_of(n, steps.items[i].id, false) != fate::succeeded) continue;
        bool null;
        find_step(n.t, steps.items[i].id, &steps.items[i]);
        HeapTuple row = ExecCopySlotHeapTuple(n.t.steps.found);
        Datum undo = heap_getattr(row, steps_undo, desc, &null);
        if (null) continue;
        bool no_name;
        bytes undone = view(heap_getattr(row, steps_step_id, desc, &no_name));
        bytes name = view(psprintf("undo:%.*s", undone.size, undone.data));
        int32 id = *take_step_ids(1);
        bytes *after = static_cast<bytes *>(palloc(sizeof(bytes)));
        int32 *after_id = static_cast<int32 *>(palloc(sizeof(int32)));
        *after = before_name;
        *after_id = before;
        size_t count = before != 0 ? 1 : 0;
        insert_step(n.t, id, {w.id, name, DatumGetJsonbP(undo), nullptr, run_when::finished, {after, count}, {after_id, count},
                              before, steps.items[i].id, nullptr});
        CommandCounterIncrement();
        if (before == 0) {
            step_row first;
            // Nobody else sees it yet; only a key that is busy keeps it from being pushed.
            if (!find_step(n.t, id, &first) || try_step(n.t, &first) != TM_Ok) elog(ERROR, "a new step is gone");
            if (advance_step(n, first) == step_turn::busy) note(n, w.id, 0, false);
        }
        before = id;
        before_name = name;
    }
    return before != 0;
}

}  // namespace

void advance_workflow(turn &n, workflow_row &w, int32 ended) {
    for (;;) {
        bool compensating = w.status == workflow_status::compensating, busy = false;
        w.waits_for = 0;
        ScanKeyData keys[2];
        ScanKeyEntryInitialize(&keys[0], 0, 1, BTEqualStrategyNumber, InvalidOid, InvalidOid, F_UUID_EQ, UUIDPGetDatum(&w.id));
        ScanKeyEntryInitialize(&keys[1], 0, 2, BTLessEqualStrategyNumber, InvalidOid, InvalidOid, F_INT4LE, Int32GetDatum(w.waits_at));
        IndexScanDesc walk = compat::begin_index_scan(n.t.steps.rel, n.t.steps.index("workflow_steps_workflow"), SnapshotSelf, 2);
        index_rescan(walk, keys, 2, nullptr, 0);
        while (w.waits_for == 0 && index_getnext_slot(walk, BackwardScanDirection, n.t.walked)) {
            CHECK_FOR_INTERRUPTS();
            step_row s = read_step(n.t.walked);
            // What compensation has kept from being pushed does not run any more.
            bool never = compensating && s.undoes == 0 && !s.has_job;
            fate f = never ? fate::failed : fate_of(n, s.id, true);
            if (f == fate::open) w.waits_for = s.id;
            if (f == fate::busy) busy = true;
            if (f == fate::failed && (!compensating || s.undoes != 0)) w.doomed = true;
            if (!busy && f != fate::open) w.waits_at = s.id - 1;
        }
        index_endscan(walk);
        if (w.waits_for != 0) return write_workflow(n.t, w);
        if (busy) {
            w.waits_for = ended;
            write_workflow(n.t, w);
            return note(n, w.id, ended, false);
        }
        if (!compensating) return finish(n, w, w.doomed ? workflow_status::failed : workflow_status::completed);
        if (!make_undo(n, w)) return finish(n, w, w.doomed ? workflow_status::failed : workflow_status::compensated);
        w.waits_at = PG_INT32_MAX;
    }
}

void fail(turn &n, workflow_row &w) {
    if (w.policy == failure_policy::fail) return finish(n, w, workflow_status::failed);
    w.status = workflow_status::compensating;
    w.waits_at = PG_INT32_MAX;
    w.doomed = false;
    write_workflow(n.t, w);
    tell_workflow("workflow.updated", w);
    advance_workflow(n, w, 0);
}

}  // namespace chancy
