// workflow: push, add steps, cancel, retry; what is noted; and results of earlier steps.
//
// In the order of resources workflows come first, by id, then jobs. So a call locks the workflows that it is about, which
// may wait; writes them and their steps, which nobody else writes meanwhile; and then its jobs are pushed, cancelled and
// retried with all others of the transaction (change.cpp).
#include "workflow.hpp"

#include "buffer.hpp"
#include "packed.hpp"
#include "role.hpp"
#include "rows.hpp"
#include "statement.hpp"
#include "steps.hpp"
#include "worker.hpp"

namespace chancy {

namespace {

constexpr const char *mark_workflow = "workflow_id", *mark_name = "workflow_step";
constexpr place here{nullptr, 0, nullptr};

JsonbValue *member(Jsonb *object, const char *name) {
    JsonbValue key;
    key.type = jbvString;
    key.val.string.val = const_cast<char *>(name);
    key.val.string.len = strlen(name);
    return JB_ROOT_IS_OBJECT(object) && JB_ROOT_COUNT(object) > 0 ? findJsonbValueFromContainer(&object->root, JB_FOBJECT, &key) : nullptr;
}

Jsonb *concat(Jsonb *a, Jsonb *b) {
    return DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(a), JsonbPGetDatum(b)));
}

void put(JsonbParseState **state, const char *name, bytes value) {
    JsonbValue v;
    v.type = jbvString;
    v.val.string.val = const_cast<char *>(name);
    v.val.string.len = strlen(name);
    pushJsonbValue(state, WJB_KEY, &v);
    v.val.string.val = const_cast<char *>(value.data);
    v.val.string.len = value.size;
    pushJsonbValue(state, WJB_VALUE, &v);
}

}  // namespace

Jsonb *mark_step(Jsonb *meta, const pg_uuid_t &workflow, bytes step) {
    JsonbParseState *state = nullptr;
    pushJsonbValue(&state, WJB_BEGIN_OBJECT, nullptr);
    put(&state, mark_workflow, view(DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&workflow)))));
    put(&state, mark_name, step);
    return concat(meta, JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, nullptr)));
}

bool marks_step(Jsonb *meta) { return member(meta, mark_workflow) != nullptr; }

Jsonb *without_mark(Jsonb *meta) {
    if (!marks_step(meta)) return meta;
    for (const char *key : {mark_workflow, mark_name})
        meta = DatumGetJsonbP(DirectFunctionCall2(jsonb_delete, JsonbPGetDatum(meta), text_datum(view(key))));
    return meta;
}

Jsonb *keep_mark(Jsonb *before, Jsonb *given) {
    JsonbValue *workflow = member(before, mark_workflow), *step = member(before, mark_name);
    if (workflow == nullptr || workflow->type != jbvString) return given;
    JsonbParseState *state = nullptr;
    pushJsonbValue(&state, WJB_BEGIN_OBJECT, nullptr);
    put(&state, mark_workflow, {workflow->val.string.val, workflow->val.string.len});
    if (step != nullptr && step->type == jbvString) put(&state, mark_name, {step->val.string.val, step->val.string.len});
    return concat(given, JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, nullptr)));
}

namespace {

// ---- the calls' moment

struct change_list {
    change *items;
    size_t count, capacity;
    int order;

    change &add(change_kind kind, const workflow_change &w) {
        make_room(items, count, capacity);
        change &c = items[count++] = {};
        c.kind = kind;
        c.call = w.call;
        c.order = order++;
        return c;
    }
};

// Locks the row in the one order; false when there is none.
bool lock_workflow(workflow_tables &t, const pg_uuid_t &id, const policy &how) {
    workflow_row w;
    for (;;) {
        CHECK_FOR_INTERRUPTS();
        if (!find_workflow(t, id, &w)) return false;
        TM_Result locked = try_workflow(t, &w, LockTupleNoKeyExclusive);
        if (locked == TM_WouldBlock) {
            if (how.wait == waiting::never) give_way("a workflow that another transaction is changing");
            index_rescan(t.workflow_by_id.scan, &t.workflow_by_id.key, 1, nullptr, 0);
            ExecClearTuple(t.workflows.found);
            wait_until(how.deadline, [&] { locked = lock_row(t.workflows, &w.tid, LockTupleNoKeyExclusive, LockWaitBlock); });
        }
        if (locked == TM_Ok) return true;
    }
}

[[noreturn]] void refuse_workflow(int code, const char *problem, const char *hint) {
    ereport(ERROR, (errcode(code), errmsg("%s", problem), errhint("%s", hint)));
    pg_unreachable();
}

// Do the steps go with those that are there? Asked before the workflow is locked, too.
void check_add(workflow_tables &t, const workflow_change &w) {
    workflow_row row;
    if (!find_workflow(t, w.id, &row)) refuse_workflow(ERRCODE_NO_DATA_FOUND, "there is no such workflow", "push_workflow returns the id.");
    if (row.status != workflow_status::running && !(row.status == workflow_status::none && row.pending))
        refuse_workflow(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "the workflow does not run any more",
                        "Add steps before it ends: from one of its steps, say, in the transaction of its result.");
    for (const new_step &step : w.steps.steps) {
        CHECK_FOR_INTERRUPTS();
        if (find_step_named(t, w.id, step.name) != 0)
            refuse({"steps", step.element, "step"}, psprintf("is there already: \"%s\"", shown(step.name)), "Each step has a name of its own.");
        for (size_t k = 0; k < step.after.size(); k++)
            if (step.dependencies[k] < 0 && find_step_named(t, w.id, step.after[k]) == 0)
                refuse(place{"steps", step.element, nullptr}.at(psprintf("after[%zu]", k)),
                       psprintf("is not a step: \"%s\"", shown(step.after[k])), "A step waits for steps of the same workflow.");
    }
}

void insert_steps(workflow_tables &t, const workflow_change &w, change_list &list) {
    std::span<new_step> steps = w.steps.steps;
    int32 *ids = take_step_ids(steps.size());
    for (size_t i = 0; i < steps.size(); i++) {
        CHECK_FOR_INTERRUPTS();
        new_step &step = steps[i];
        size_t count = step.after.size();
        auto *after = static_cast<int32 *>(palloc_extended(sizeof(int32) * (count + 1), MCXT_ALLOC_HUGE));
        bool all_new = true;
        for (size_t k = 0; k < count; k++) {
            int32 d = step.dependencies[k];
            after[k] = d >= 0 ? ids[d] : find_step_named(t, w.id, step.after[k]);
            all_new = all_new && d >= 0;
        }
        step_input row{w.id, step.name, pack_job(step.job), step.undo != nullptr ? pack_job(*step.undo) : nullptr, step.when,
                       step.after, {after, count}, 0, 0, nullptr};
        // Its dependencies are seen by nobody before we commit. Of a step that is there already, settle.cpp must make sure.
        if (count > 0 && all_new) row.waits_for = after[count - 1];
        if (count == 0) {
            change &c = list.add(change_kind::push, w);
            c.element = step.element;
            c.job = static_cast<new_job *>(palloc(sizeof(new_job)));
            *c.job = step.job;
            c.job->meta = mark_step(step.job.meta, w.id, step.name);
            c.key = step.job.key;
            make_ids({&c, 1});
            pg_uuid_t *reserved = static_cast<pg_uuid_t *>(palloc(sizeof(pg_uuid_t)));
            *reserved = c.id;
            row.job_id = reserved;
        }
        insert_step(t, ids[i], row);
    }
    CommandCounterIncrement();
    // The workflow waits for the last step: the others come before it.
    workflow_row row;
    if (!find_workflow(t, w.id, &row)) elog(ERROR, "a locked workflow is gone");
    row.status = workflow_status::running;
    row.waits_for = ids[steps.size() - 1];
    row.waits_at = PG_INT32_MAX;
    write_workflow(t, row);
    if (w.kind == workflow_kind::push) tell_workflow("workflow.created", row);
}

// Adds what is to be done with the jobs of the workflow; to how many.
int add_changes(workflow_tables &t, const workflow_change &w, change_kind kind, change_list &list) {
    step_list steps = steps_of_workflow(t, w.id);
    int added = 0;
    for (int i = 0; i < steps.count; i++) {
        if (!steps.items[i].has_job) continue;
        if (kind == change_kind::retry) {
            // Only what failed runs again.
            if (!find_job(t.jobs, t.job_by_id, steps.items[i].job, t.jobs.found) || read_job(t.jobs.found).is != state::failed) continue;
        }
        list.add(kind, w).id = steps.items[i].job;
        added++;
    }
    return added;
}

bool has_undone(workflow_tables &t, const pg_uuid_t &workflow) {
    step_list steps = steps_of_workflow(t, workflow);
    for (int i = 0; i < steps.count; i++)
        if (steps.items[i].undoes != 0) return true;
    return false;
}

// The row is locked, or new.
void begin_one(workflow_tables &t, workflow_change &w, bool exists, change_list &list) {
    if (w.kind == workflow_kind::push) {
        insert_workflow(t, w);
        CommandCounterIncrement();
        insert_steps(t, w, list);
        w.applied = true;
        return;
    }
    workflow_row row;
    if (w.kind == workflow_kind::add) check_add(t, w);
    if (!exists || !find_workflow(t, w.id, &row)) return;
    switch (w.kind) {
        case workflow_kind::add:
            insert_steps(t, w, list);
            w.applied = true;
            break;
        case workflow_kind::cancel:
            w.applied = is_under_way(row.status) || (row.status == workflow_status::none && row.pending);
            if (!w.applied) break;
            row.status = workflow_status::cancelled;
            row.waits_for = 0;
            write_workflow(t, row);
            tell_workflow("workflow.updated", row);
            add_changes(t, w, change_kind::cancel, list);
            break;
        case workflow_kind::retry:
            w.applied = (row.status == workflow_status::failed || row.status == workflow_status::cancelled) && !has_undone(t, w.id);
            if (!w.applied && (row.status != workflow_status::none || row.pending)) break;
            // One that only Python has seen has failed if one of its jobs has.
            if (add_changes(t, w, change_kind::retry, list) > 0) w.applied = true;
            if (w.applied) reopen(t, row);
            break;
        case workflow_kind::push:
            break;
    }
}

// Locks the workflows, writes them and their steps, and returns changes, and behind them the workflows' own.
std::span<change> begin(table &jobs, std::span<workflow_change> workflows, std::span<change> changes, const policy &how) {
    change naming{};  // only tells error messages which call it is
    change_list list{nullptr, 0, 0, static_cast<int>(changes.size())};
    for (change &c : changes) list.order = std::max(list.order, c.order + 1);
    with_workflows(jobs, [&](workflow_tables &t) {
        auto *by_id = static_cast<workflow_change **>(palloc(sizeof(workflow_change *) * workflows.size()));
        for (size_t i = 0; i < workflows.size(); i++) by_id[i] = &workflows[i];
        std::sort(by_id, by_id + workflows.size(), [](const workflow_change *a, const workflow_change *b) {
            int order = compare(a->id, b->id);
            return order != 0 ? order < 0 : a < b;
        });
        auto *exists = static_cast<bool *>(palloc0(sizeof(bool) * workflows.size()));
        auto name_call = [&](const workflow_change &w) {
            naming.call = w.call;
            if (how.at != nullptr) *how.at = &naming;
        };
        for (size_t i = 0; i < workflows.size(); i++) {
            name_call(*by_id[i]);
            size_t at = by_id[i] - workflows.data();
            bool pushed = i > 0 && compare(by_id[i - 1]->id, by_id[i]->id) == 0 && exists[by_id[i - 1] - workflows.data()];
            if (by_id[i]->kind == workflow_kind::add && !pushed) check_add(t, *by_id[i]);
            exists[at] = by_id[i]->kind == workflow_kind::push || pushed || lock_workflow(t, by_id[i]->id, how);
        }
        for (size_t i = 0; i < workflows.size(); i++) {
            name_call(workflows[i]);
            begin_one(t, workflows[i], exists[i], list);
        }
        if (how.at != nullptr) *how.at = nullptr;
    });
    note_locks();
    auto *all = static_cast<change *>(palloc_extended(sizeof(change) * (changes.size() + list.count + 1), MCXT_ALLOC_HUGE));
    std::copy(list.items, list.items + list.count, std::copy(changes.begin(), changes.end(), all));
    return {all, changes.size() + list.count};
}

// After the jobs. reserved: the ids that own pushes had.
void end(table &jobs, std::span<workflow_change> workflows, std::span<change> own, const pg_uuid_t *reserved) {
    with_workflows(jobs, [&](workflow_tables &t) {
        for (size_t i = 0; i < own.size(); i++) {
            if (own[i].kind != change_kind::push) continue;
            if (own[i].is == verdict::duplicate) adopt_job(t, reserved[i], &own[i].id);
            if (own[i].is == verdict::withdrawn) adopt_job(t, reserved[i], nullptr);
        }
    });
    for (const workflow_change &w : workflows)
        if (w.applied && (w.kind == workflow_kind::add || w.kind == workflow_kind::retry)) look_at_workflow(jobs, w.id);
    CommandCounterIncrement();
}

}  // namespace

void apply_workflows(table &jobs, std::span<workflow_change> workflows, std::span<change> changes, const policy &how) {
    if (workflows.empty()) {
        withdraw(changes);
        return apply(jobs, changes, how);
    }
    std::span<change> all = begin(jobs, workflows, changes, how), own = all.subspan(changes.size());
    auto *reserved = static_cast<pg_uuid_t *>(palloc_extended(sizeof(pg_uuid_t) * (own.size() + 1), MCXT_ALLOC_HUGE));
    for (size_t i = 0; i < own.size(); i++) reserved[i] = own[i].id;
    withdraw(all);
    apply(jobs, all, how);
    std::copy(all.begin(), all.begin() + changes.size(), changes.begin());
    end(jobs, workflows, own, reserved);
}

namespace {

// ---- the calls

bool call_now(workflow_change *w) {
    permit all{true, nullptr, 0};
    with_jobs([=](table &jobs) { apply_workflows(jobs, {w, 1}, {}, {waiting::allowed, 0, all, nullptr}); });
    return w->applied;
}

void check_queues_of(const graph &g) {
    permit may = require(role_kind::producer);
    for (const new_step &step : g.steps) {
        check_queue(may, step.job.queue);
        if (step.undo != nullptr) check_queue(may, step.undo->queue);
    }
}

failure_policy policy_of(bytes text) {
    for (failure_policy p : {failure_policy::fail, failure_policy::go_on, failure_policy::compensate})
        if (text == view(name(p))) return p;
    refuse(here.at("on_failure"), psprintf("is not known: \"%s\"", shown(text)), "Known: \"fail\", \"continue\", \"compensate\".");
}

workflow_change *make_call(workflow_kind kind) {
    auto *w = static_cast<workflow_change *>(palloc0(sizeof(workflow_change)));
    w->kind = kind;
    return w;
}

// True, false, or neither when it is decided at commit.
struct answer {
    bool known, is;
};

answer finish_call(moment m, const char *name, workflow_change *w) {
    if (m == moment::commit) {
        buffer_workflow(name, *w);
        return {false, false};
    }
    return {true, call_now(w)};
}

pg_uuid_t push_workflow(moment m, FunctionCallInfo fcinfo) {
    check_given(fcinfo, 0, "name");
    check_given(fcinfo, 1, "steps");
    check_given(fcinfo, 2, "on_failure");
    workflow_change *w = make_call(workflow_kind::push);
    w->name = copy_argument_text(fcinfo, 0);
    check_text(here.at("name"), w->name, max_name);
    w->policy = policy_of(argument_text(fcinfo, 2));
    // What is buffered points into the batch, so that has to live as long.
    w->steps = read_graph(PG_GETARG_JSONB_P_COPY(1), false);
    check_queues_of(w->steps);
    change id{};
    make_ids({&id, 1});
    w->id = id.id;
    finish_call(m, "push_workflow", w);
    return w->id;
}

void add_steps(moment m, FunctionCallInfo fcinfo) {
    check_given(fcinfo, 0, "workflow_id");
    check_given(fcinfo, 1, "steps");
    workflow_change *w = make_call(workflow_kind::add);
    w->id = *PG_GETARG_UUID_P(0);
    w->steps = read_graph(PG_GETARG_JSONB_P_COPY(1), true);
    check_queues_of(w->steps);
    finish_call(m, "add_steps", w);
}

answer change_workflow(moment m, FunctionCallInfo fcinfo, workflow_kind kind, const char *name) {
    check_given(fcinfo, 0, "workflow_id");
    require(role_kind::admin);
    workflow_change *w = make_call(kind);
    w->id = *PG_GETARG_UUID_P(0);
    return finish_call(m, name, w);
}

}  // namespace

}  // namespace chancy

extern "C" {

CHANCY_FUNCTION(chancy_push_workflow) {
    using namespace chancy;
    PreventCommandIfReadOnly("chancy.push_workflow()");
    pg_uuid_t *id = static_cast<pg_uuid_t *>(palloc(sizeof(pg_uuid_t)));
    moment m = when();
    *id = with_call_memory(m, "chancy push_workflow", [=] { return push_workflow(m, fcinfo); });
    PG_RETURN_UUID_P(id);
}

CHANCY_FUNCTION(chancy_add_steps) {
    using namespace chancy;
    PreventCommandIfReadOnly("chancy.add_steps()");
    moment m = when();
    with_call_memory(m, "chancy add_steps", [=] { add_steps(m, fcinfo); });
    PG_RETURN_VOID();
}

// NULL: decided at commit.
CHANCY_FUNCTION(chancy_cancel_workflow) {
    using namespace chancy;
    PreventCommandIfReadOnly("chancy.cancel_workflow()");
    moment m = when();
    answer a = with_call_memory(m, "chancy cancel_workflow", [=] { return change_workflow(m, fcinfo, workflow_kind::cancel, "cancel_workflow"); });
    if (!a.known) PG_RETURN_NULL();
    PG_RETURN_BOOL(a.is);
}

CHANCY_FUNCTION(chancy_retry_workflow) {
    using namespace chancy;
    PreventCommandIfReadOnly("chancy.retry_workflow()");
    moment m = when();
    answer a = with_call_memory(m, "chancy retry_workflow", [=] { return change_workflow(m, fcinfo, workflow_kind::retry, "retry_workflow"); });
    if (!a.known) PG_RETURN_NULL();
    PG_RETURN_BOOL(a.is);
}
}
