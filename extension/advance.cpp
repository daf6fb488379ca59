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
#include "buffer.hpp"
#include "compat.hpp"
#include "event.hpp"
#include "packed.hpp"
#include "purge.hpp"
#include "rows.hpp"
#include "steps.hpp"

namespace chancy {

namespace {

enum class fate : uint8 { open, busy, succeeded, failed };
enum class step_turn : uint8 { waits, pushed, skipped, busy };

enum todo_column : int { todo_workflow = 1, todo_step, todo_poll };

// One call's work.
struct turn {
    workflow_tables &t;
    lookup by_key;  // of jobs; opened when a step has a key
    int32 noted;    // the step that stands in workflow_todo already; 0: the whole workflow; -1: nothing
    bool busy;      // what is noted is still to be done
    bytes queue;    // of a job that ended: its workers are woken to see to what is noted
    bytes told;     // the queue that the last event was for
};

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

// hold: a step that has not ended is locked, so that it does not before we commit.
fate fate_of(turn &n, int32 id, bool hold, bool pushed_only) {
    step_row s;
    if (!find_step(n.t, id, &s)) return fate::failed;  // somebody deleted it
    if (hold && !s.has_job && !s.skipped && !pushed_only) {
        TM_Result locked = try_step(n.t, &s);
        if (locked == TM_WouldBlock) return fate::busy;
        if (locked != TM_Ok) return fate::failed;
    }
    if (s.skipped) return fate::failed;
    if (!s.has_job) return fate::open;
    return fate_of_job(n, s.job, hold);
}

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

// The step, locked by us in steps.held, has no dependency that it waits for: it finds another one, or it is its turn.
step_turn advance_step(turn &n, step_row s) {
    HeapTuple row = ExecCopySlotHeapTuple(n.t.steps.held);
    std::span<int32> after = dependency_ids(row, RelationGetDescr(n.t.steps.rel));
    constexpr int most_busy = 32;
    int passed = 0;  // busy dependencies
    s.waits_for = 0;
    for (int i = std::min<int>(s.waits_at, after.size() - 1); i >= 0 && s.waits_for == 0 && passed < most_busy; i--) {
        CHECK_FOR_INTERRUPTS();
        fate f = fate_of(n, after[i], true, false);
        if (f == fate::open) s.waits_for = after[i];
        if (f == fate::busy) passed++;
        if (f == fate::failed) s.doomed = true;
        if (passed == 0 && f != fate::open) s.waits_at = i - 1;
    }
    step_turn is = step_turn::waits;
    if (s.waits_for == 0) {
        if (passed > 0) return step_turn::busy;
        is = s.doomed && s.when == run_when::succeeded ? step_turn::skipped : push_step(n, row, s);
        if (is == step_turn::busy) return is;
        s.skipped = is == step_turn::skipped;
    }
    write_step(n.t, row, s);
    return is;
}

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
        if (fate_of(n, steps.items[i].id, false, false) != fate::succeeded) continue;
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

// The workflow, locked by us, waits for no step: it finds another one, or it has ended.
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
            fate f = never ? fate::failed : fate_of(n, s.id, true, false);
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

// A step has failed, and the policy says that the workflow does not go on. Locked by us.
void fail(turn &n, workflow_row &w) {
    if (w.policy == failure_policy::fail) return finish(n, w, workflow_status::failed);
    w.status = workflow_status::compensating;
    w.waits_at = PG_INT32_MAX;
    w.doomed = false;
    write_workflow(n.t, w);
    tell_workflow("workflow.updated", w);
    advance_workflow(n, w, 0);
}

bool stops(const workflow_row &w) { return w.status == workflow_status::running && w.policy != failure_policy::go_on; }

struct ended_step {
    int32 id;
    bool failed;
};

struct ended_list {
    ended_step *items;
    int count, capacity;
    void add(ended_step e) {
        make_room(items, count, capacity);
        items[count++] = e;
    }
};

// Pushes what waited for the step; adds what is skipped therefore. shared: we hold the workflow's row.
void settle_step(turn &n, workflow_row &w, ended_step x, bool *shared, ended_list *more) {
    step_list waiting = steps_waiting_for(n.t, x.id);
    bool busy = false;
    if (waiting.count > 0 && !*shared) {
        TM_Result locked = try_workflow(n.t, &w, LockTupleShare);
        *shared = locked == TM_Ok;
        busy = locked == TM_WouldBlock;
    }
    for (int i = 0; i < waiting.count && *shared; i++) {
        CHECK_FOR_INTERRUPTS();
        step_row s = waiting.items[i];
        if (!is_under_way(w.status) || (s.undoes != 0) != (w.status == workflow_status::compensating)) continue;
        TM_Result locked = try_step(n.t, &s);
        busy = busy || locked == TM_WouldBlock;
        if (locked != TM_Ok || s.has_job || s.skipped || s.waits_for != x.id) continue;
        switch (advance_step(n, s)) {
            case step_turn::skipped:
                more->add({s.id, true});
                break;
            case step_turn::busy:
                busy = true;
                break;
            default:
                break;
        }
    }
    if (busy) note(n, w.id, x.id, false);
}

// What follows from the end of steps of one workflow.
void settle(turn &n, const pg_uuid_t &workflow, ended_list ended) {
    workflow_row w;
    if (!find_workflow(n.t, workflow, &w)) return;
    if (w.status == workflow_status::none) {
        if (w.pending) note(n, workflow, 0, false);
        return;
    }
    bool shared = false;
    if (w.status == workflow_status::failed || w.status == workflow_status::cancelled) {
        // Somebody may just be retrying it, who does not see these ends.
        TM_Result locked = try_workflow(n.t, &w, LockTupleShare);
        shared = locked == TM_Ok;
        for (int i = 0; i < ended.count && locked == TM_WouldBlock; i++) note(n, workflow, ended.items[i].id, false);
        if (!shared) return;
    }
    for (int i = 0; i < ended.count && is_under_way(w.status); i++) {
        ended_step x = ended.items[i];
        if (x.failed && stops(w)) {
            TM_Result locked = try_workflow(n.t, &w, LockTupleNoKeyExclusive);
            if (locked == TM_WouldBlock) note(n, workflow, x.id, false);
            if (locked != TM_Ok) continue;
            shared = true;
            if (stops(w)) fail(n, w);
            continue;
        }
        settle_step(n, w, x, &shared, &ended);
        if (w.waits_for != x.id || !is_under_way(w.status)) continue;
        TM_Result locked = try_workflow(n.t, &w, LockTupleNoKeyExclusive);
        if (locked == TM_WouldBlock) note(n, workflow, x.id, false);
        if (locked != TM_Ok || w.waits_for != x.id || !is_under_way(w.status)) continue;
        shared = true;
        advance_workflow(n, w, x.id);
    }
}

// Finds the ids of the dependencies of a step that Python pushed. Locked by us, in steps.held.
void adopt_step(turn &n, step_row &s) {
    bool null;
    HeapTuple row = ExecCopySlotHeapTuple(n.t.steps.held);
    Jsonb *names = DatumGetJsonbP(heap_getattr(row, steps_dependencies, RelationGetDescr(n.t.steps.rel), &null));
    size_t count = JB_ROOT_IS_ARRAY(names) ? JB_ROOT_COUNT(names) : 0;
    auto *ids = static_cast<Datum *>(palloc(sizeof(Datum) * (count + 1)));
    for (size_t i = 0; i < count; i++) {
        JsonbValue *name = getIthJsonbValueFromContainer(&names->root, i);
        ids[i] = Int32GetDatum(name->type == jbvString ? find_step_named(n.t, s.workflow, {name->val.string.val, name->val.string.len}) : 0);
    }
    ExecStoreHeapTuple(row, n.t.steps.copy, false);
    copy_row(n.t.steps, n.t.steps.copy);
    set(n.t.steps, steps_dependency_ids,
        PointerGetDatum(construct_array(ids, static_cast<int>(count), INT4OID, sizeof(int32), true, TYPALIGN_INT)));
    set(n.t.steps, steps_waits_at, Int32GetDatum(static_cast<int32>(count) - 1));
    ItemPointerData tid = row->t_self;
    if (update(n.t.steps, &tid, true) != TM_Ok) elog(ERROR, "a locked step changed");
    CommandCounterIncrement();
    s.tid = n.t.steps.next->tts_tid;
    if (try_step(n.t, &s) != TM_Ok) elog(ERROR, "a locked step is gone");
}

bool any_failed(turn &n, const step_list &steps) {
    for (int i = 0; i < steps.count; i++)
        if (steps.items[i].has_job && steps.items[i].undoes == 0 && fate_of_job(n, steps.items[i].job, false) == fate::failed) return true;
    return false;
}

}  // namespace

void reopen(workflow_tables &t, workflow_row &w) {
    step_list steps = steps_of_workflow(t, w.id);
    for (int i = 0; i < steps.count; i++) {
        step_row s = steps.items[i];
        if (s.has_job || (!s.skipped && !s.doomed)) continue;
        if (try_step(t, &s) != TM_Ok) continue;
        HeapTuple row = ExecCopySlotHeapTuple(t.steps.held);
        s.skipped = s.doomed = false;
        s.waits_for = 0;
        s.waits_at = static_cast<int32>(dependency_ids(row, RelationGetDescr(t.steps.rel)).size()) - 1;
        write_step(t, row, s);
    }
    w.status = workflow_status::running;
    w.waits_for = 0;
    w.waits_at = PG_INT32_MAX;
    w.doomed = false;
    write_workflow(t, w);
    tell_workflow("workflow.updated", w);
}

void adopt_job(workflow_tables &t, const pg_uuid_t &reserved, const pg_uuid_t *job) {
    turn n{t, {}, -1, false, {}, {}};
    step_list steps = steps_of_job(t, reserved);
    for (int i = 0; i < steps.count; i++) {
        step_row s = steps.items[i];
        if (try_step(t, &s) != TM_Ok) continue;
        HeapTuple row = ExecCopySlotHeapTuple(t.steps.held);
        s.has_job = job != nullptr;
        if (job != nullptr) {
            s.job = *job;
            note(n, s.workflow, s.id, true);
        }
        write_step(t, row, s);
    }
}

namespace {

// Looks at a whole workflow: takes it on, if Python pushed it, runs it on, if what had failed was retried, and sees
// to every step. The workflow is locked by us.
void look_at(turn &n, workflow_row &w) {
    step_list steps = steps_of_workflow(n.t, w.id);
    if (w.status == workflow_status::none) {
        if (!w.pending) return;
        w.status = workflow_status::running;
        write_workflow(n.t, w);
    }
    if (w.status == workflow_status::failed && w.policy != failure_policy::compensate && !any_failed(n, steps)) {
        reopen(n.t, w);
        steps = steps_of_workflow(n.t, w.id);
    }
    if (!is_under_way(w.status)) return;
    for (int i = 0; i < steps.count; i++) {
        step_row &s = steps.items[i];
        if (s.adopted) continue;
        if (try_step(n.t, &s) == TM_Ok) adopt_step(n, s);
    }
    if (stops(w) && any_failed(n, steps)) {
        fail(n, w);
        if (!is_under_way(w.status)) return;
    }
    bool busy = false;
    for (bool again = true; again;) {
        again = false;  // a step that is skipped may stand behind one that waits for it
        for (int i = 0; i < steps.count; i++) {
            CHECK_FOR_INTERRUPTS();
            step_row &s = steps.items[i];
            if (s.has_job || s.skipped || (s.undoes != 0) != (w.status == workflow_status::compensating)) continue;
            if (s.waits_for != 0 && fate_of(n, s.waits_for, false, false) == fate::open) continue;
            TM_Result locked = try_step(n.t, &s);
            busy = busy || locked == TM_WouldBlock;
            if (locked != TM_Ok || s.has_job || s.skipped) continue;
            step_turn is = advance_step(n, s);
            busy = busy || is == step_turn::busy;
            again = again || is == step_turn::skipped;
            find_step(n.t, s.id, &s);
        }
    }
    if (busy) note(n, w.id, 0, false);
    w.waits_at = PG_INT32_MAX;
    if (w.status == workflow_status::running) w.doomed = false;
    advance_workflow(n, w, 0);
}

void look_if_free(turn &n, const pg_uuid_t &workflow) {
    workflow_row w;
    if (!find_workflow(n.t, workflow, &w)) return;
    TM_Result locked = try_workflow(n.t, &w, LockTupleNoKeyExclusive);
    if (locked == TM_WouldBlock) note(n, workflow, 0, false);
    if (locked == TM_Ok) look_at(n, w);
}

void end_turn(turn &n) {
    if (n.by_key.scan != nullptr) end_lookup(n.by_key);
}

struct found_step {
    pg_uuid_t workflow;
    int32 step;
    state after;
};

// The steps of all workflows whose jobs these are.
void settle_all(turn &n, std::span<found_step> found) {
    std::sort(found.begin(), found.end(), [](const found_step &a, const found_step &b) {
        int order = compare(a.workflow, b.workflow);
        return order != 0 ? order < 0 : a.step < b.step;
    });
    for (size_t i = 0, end; i < found.size(); i = end) {
        ended_list ended{};
        bool again = false;  // a step's job runs again
        for (end = i; end < found.size() && compare(found[end].workflow, found[i].workflow) == 0; end++) {
            if (is_live(found[end].after))
                again = true;
            else
                ended.add({found[end].step, found[end].after == state::failed});
        }
        if (ended.count > 0) settle(n, found[i].workflow, ended);
        if (again) look_if_free(n, found[i].workflow);
    }
}

struct found_list {
    found_step *items;
    size_t count, capacity;
    void add_steps_of(turn &n, const pg_uuid_t &job, state after) {
        step_list steps = steps_of_job(n.t, job);
        for (int i = 0; i < steps.count; i++) {
            make_room(items, count, capacity);
            items[count++] = {steps.items[i].workflow, steps.items[i].id, after};
        }
    }
};

}  // namespace

void advance(table &jobs, std::span<change> changes) {
    auto matters = [](const change &c) {
        return c.is_step && c.is == verdict::applied && (!is_live(c.after) || c.kind == change_kind::retry);
    };
    if (std::none_of(changes.begin(), changes.end(), matters)) return;
    with_workflows(jobs, [&](workflow_tables &t) {
        turn n{t, {}, -1, false, {}, {}};
        found_list found{};
        for (const change &c : changes)
            if (matters(c)) {
                found.add_steps_of(n, c.id, c.after);
                n.queue = c.queue;
            }
        settle_all(n, {found.items, found.count});
        end_turn(n);
    });
    CommandCounterIncrement();
}

void advance(table &jobs, std::span<const pg_uuid_t> ended) {
    if (ended.empty()) return;
    with_workflows(jobs, [&](workflow_tables &t) {
        turn n{t, {}, -1, false, {}, {}};
        found_list found{};
        for (const pg_uuid_t &id : ended) found.add_steps_of(n, id, state::failed);
        settle_all(n, {found.items, found.count});
        end_turn(n);
    });
    CommandCounterIncrement();
}

void look_at_workflow(table &jobs, const pg_uuid_t &workflow) {
    with_workflows(jobs, [&](workflow_tables &t) {
        turn n{t, {}, -1, false, {}, {}};
        look_if_free(n, workflow);
        end_turn(n);
    });
}

namespace {

// True when nothing is left to be done.
bool see_to(workflow_tables &t, const pg_uuid_t &workflow, int32 step, bool poll) {
    turn n{t, {}, step, false, {}, {}};
    if (step == 0) {
        look_if_free(n, workflow);
    } else {
        fate f = fate_of(n, step, false, false);
        if (f == fate::open) return !poll;
        ended_list ended{};
        ended.add({step, f == fate::failed});
        settle(n, workflow, ended);
    }
    end_turn(n);
    return !n.busy;
}

}  // namespace

advanced advance_noted(table &jobs, int up_to, bool polls) {
    advanced made{};
    Relation rel = table_open(table_oid("workflow_todo"), AccessShareLock);
    bool pages = RelationGetNumberOfBlocks(rel) > 0;
    table_close(rel, AccessShareLock);
    if (!pages) return made;  // as mostly
    with_table("workflow_todo", false, [&](table &todo) {
        TableScanDesc scan = table_beginscan(todo.rel, SnapshotSelf, 0, nullptr);
        while (made.done + made.busy < up_to && table_scan_getnextslot(scan, ForwardScanDirection, todo.found)) {
            CHECK_FOR_INTERRUPTS();
            slot_getallattrs(todo.found);
            bool poll = DatumGetBool(todo.found->tts_values[todo_poll - 1]);
            if (poll && !polls) continue;
            ItemPointerData tid = todo.found->tts_tid;
            if (lock_row(todo, &tid, LockTupleExclusive, LockWaitSkip) != TM_Ok) continue;  // somebody is at it
            pg_uuid_t workflow = *DatumGetUUIDP(todo.found->tts_values[todo_workflow - 1]);
            int32 step = todo.found->tts_isnull[todo_step - 1] ? 0 : DatumGetInt32(todo.found->tts_values[todo_step - 1]);
            bool done = with_workflows(jobs, [=](workflow_tables &t) { return see_to(t, workflow, step, poll); });
            if (done) delete_row(todo.rel, &tid, true);
            if (done || !poll) (done ? made.done : made.busy)++;
        }
        table_endscan(scan);
    });
    if (made.done + made.busy > 0) note_locks();
    CommandCounterIncrement();
    return made;
}

bool is_step_under_way(const pg_uuid_t &job) {
    return with_jobs([&](table &jobs) {
        return with_workflows(jobs, [&](workflow_tables &t) {
            step_list steps = steps_of_job(t, job);
            for (int i = 0; i < steps.count; i++) {
                workflow_row w;
                if (!find_workflow(t, steps.items[i].workflow, &w)) continue;
                if (is_under_way(w.status) || (w.status == workflow_status::none && w.pending)) return true;
            }
            return false;
        });
    });
}

}  // namespace chancy
