// workflow: which steps and workflows move on: those that waited for what a transaction ended, and those that were noted
// since they were busy then. How they move on: advance.cpp.
#include "advance.hpp"
#include "buffer.hpp"
#include "event.hpp"
#include "purge.hpp"

namespace chancy {

namespace {

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
            if (s.waits_for != 0 && fate_of(n, s.waits_for, false) == fate::open) continue;
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
        return c.is == verdict::applied && (c.kind == change_kind::retry || (c.is_step && !is_live(c.after)));
    };
    if (std::none_of(changes.begin(), changes.end(), matters)) return;
    with_workflows(jobs, [&](workflow_tables &t) {
        turn n{t, {}, -1, false, {}, {}};
        found_list found{};
        for (const change &c : changes)
            if (matters(c)) {
                size_t before = found.count;
                found.add_steps_of(n, c.id, c.after);
                n.queue = c.queue;
                // A job that does not know of its steps, since it was live before them, will not tell of its next end either.
                for (size_t i = before; i < found.count && !c.is_step; i++) note(n, found.items[i].workflow, found.items[i].step, true);
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
        fate f = fate_of(n, step, false);
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
