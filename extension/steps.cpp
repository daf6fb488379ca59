// workflow: its rows. Looked up and written directly, as jobs are: results are the hot path.
#include "steps.hpp"

#include "compat.hpp"
#include "event.hpp"
#include "packed.hpp"

namespace chancy {

namespace {

constexpr const char *status_names[] = {nullptr, "running", "completed", "failed", "cancelled", "compensating", "compensated"};

// As Python reads it: its enumeration knows no other states.
const char *python_state(workflow_status s) {
    switch (s) {
        case workflow_status::none:
        case workflow_status::running:
            return "pending";
        case workflow_status::completed:
            return "completed";
        default:
            return "failed";
    }
}

bool is_null(TupleTableSlot *slot, int column) { return slot->tts_isnull[column - 1]; }
Datum value(TupleTableSlot *slot, int column) { return slot->tts_values[column - 1]; }
int32 int_or(TupleTableSlot *slot, int column, int32 fallback) {
    return is_null(slot, column) ? fallback : DatumGetInt32(value(slot, column));
}

void set_int(table &t, int column, int32 n, int32 none) {
    if (n == none)
        set_null(t, column);
    else
        set(t, column, Int32GetDatum(n));
}

Jsonb *json_names(std::span<bytes> names) {
    JsonbParseState *parse = nullptr;
    pushJsonbValue(&parse, WJB_BEGIN_ARRAY, nullptr);
    for (bytes name : names) {
        JsonbValue v;
        v.type = jbvString;
        v.val.string.val = const_cast<char *>(name.data);
        v.val.string.len = name.size;
        pushJsonbValue(&parse, WJB_ELEM, &v);
    }
    return JsonbValueToJsonb(pushJsonbValue(&parse, WJB_END_ARRAY, nullptr));
}

}  // namespace

workflow_row read_workflow(TupleTableSlot *slot) {
    slot_getallattrs(slot);
    workflow_row w{};
    w.id = *DatumGetUUIDP(value(slot, workflows_id));
    bytes name = view(value(slot, workflows_name)), state = view(value(slot, workflows_state));
    w.name = {pnstrdup(name.data, name.size), name.size};
    w.pending = state == view("pending") || state == view("running");
    bytes policy = view(value(slot, workflows_on_failure));
    w.policy = policy == view("continue")     ? failure_policy::go_on
               : policy == view("compensate") ? failure_policy::compensate
                                              : failure_policy::fail;
    if (!is_null(slot, workflows_status)) {
        bytes status = view(value(slot, workflows_status));
        w.status = workflow_status::failed;
        for (int i = 1; i < 7; i++)
            if (status == view(status_names[i])) w.status = static_cast<workflow_status>(i);
    }
    w.waits_for = int_or(slot, workflows_waits_for, 0);
    w.waits_at = int_or(slot, workflows_waits_at, PG_INT32_MAX);
    w.doomed = DatumGetBool(value(slot, workflows_doomed));
    w.tid = slot->tts_tid;
    return w;
}

step_row read_step(TupleTableSlot *slot) {
    slot_getallattrs(slot);
    step_row s{};
    s.id = DatumGetInt32(value(slot, steps_id));
    if (!is_null(slot, steps_workflow_id)) s.workflow = *DatumGetUUIDP(value(slot, steps_workflow_id));
    s.has_job = !is_null(slot, steps_job_id);
    if (s.has_job) s.job = *DatumGetUUIDP(value(slot, steps_job_id));
    s.adopted = !is_null(slot, steps_dependency_ids);
    s.doomed = DatumGetBool(value(slot, steps_doomed));
    s.skipped = DatumGetBool(value(slot, steps_skipped));
    s.when = view(value(slot, steps_run_when)) == view("finished") ? run_when::finished : run_when::succeeded;
    s.waits_for = int_or(slot, steps_waits_for, 0);
    s.waits_at = int_or(slot, steps_waits_at, -1);
    s.undoes = int_or(slot, steps_undoes, 0);
    s.tid = slot->tts_tid;
    return s;
}

workflow_tables open_workflows(table &jobs) {
    workflow_tables t{jobs, open("workflow_steps", true), open("workflows", true), {}, {}, {}, {}, {}, nullptr, GetCurrentTimestamp()};
    t.job_by_id = begin_id_lookup(jobs, SnapshotSelf);
    t.step_by_id = begin_lookup(t.steps, "workflow_steps_pkey", F_INT4EQ, InvalidOid, SnapshotSelf);
    t.step_by_job = begin_lookup(t.steps, "workflow_steps_job", F_UUID_EQ, InvalidOid, SnapshotSelf);
    t.step_by_watch = begin_lookup(t.steps, "workflow_steps_waits_for", F_INT4EQ, InvalidOid, SnapshotSelf);
    t.workflow_by_id = begin_lookup(t.workflows, "workflows_pkey", F_UUID_EQ, InvalidOid, SnapshotSelf);
    t.walked = table_slot_create(t.steps.rel, nullptr);
    return t;
}

void close_workflows(workflow_tables &t) {
    ExecDropSingleTupleTableSlot(t.walked);
    end_lookup(t.workflow_by_id);
    end_lookup(t.step_by_watch);
    end_lookup(t.step_by_job);
    end_lookup(t.step_by_id);
    end_lookup(t.job_by_id);
    close(t.workflows);
    close(t.steps);
}

bool find_workflow(workflow_tables &t, const pg_uuid_t &id, workflow_row *row) {
    if (!find(t.workflows, t.workflow_by_id, UUIDPGetDatum(&id), t.workflows.found)) return false;
    *row = read_workflow(t.workflows.found);
    return true;
}

bool find_step(workflow_tables &t, int32 id, step_row *row) {
    if (!find(t.steps, t.step_by_id, Int32GetDatum(id), t.steps.found)) return false;
    *row = read_step(t.steps.found);
    return true;
}

int32 find_step_named(workflow_tables &t, const pg_uuid_t &workflow, bytes name) {
    ScanKeyData keys[2];
    ScanKeyEntryInitialize(&keys[0], 0, 1, BTEqualStrategyNumber, InvalidOid, InvalidOid, F_UUID_EQ, UUIDPGetDatum(&workflow));
    ScanKeyEntryInitialize(&keys[1], 0, 2, BTEqualStrategyNumber, InvalidOid, DEFAULT_COLLATION_OID, F_TEXTEQ, text_datum(name));
    IndexScanDesc scan = compat::begin_index_scan(t.steps.rel, t.steps.index("workflow_steps_unique_idx"), SnapshotSelf, 2);
    index_rescan(scan, keys, 2, nullptr, 0);
    int32 id = index_getnext_slot(scan, ForwardScanDirection, t.steps.found) ? read_step(t.steps.found).id : 0;
    index_endscan(scan);
    return id;
}

void step_list::add(const step_row &s) {
    make_room(items, count, capacity);
    items[count++] = s;
}

namespace {

step_list gather(workflow_tables &t, lookup &by, Datum key) {
    step_list steps{};
    seek(by, key);
    while (index_getnext_slot(by.scan, ForwardScanDirection, t.steps.found)) steps.add(read_step(t.steps.found));
    return steps;
}

}  // namespace

step_list steps_of_job(workflow_tables &t, const pg_uuid_t &job) {
    step_list steps = gather(t, t.step_by_job, UUIDPGetDatum(&job));
    // Rarely a row is missed that somebody is just writing (table.cpp, find).
    if (steps.count == 0 && find(t.steps, t.step_by_job, UUIDPGetDatum(&job), t.steps.found)) steps.add(read_step(t.steps.found));
    return steps;
}

step_list steps_waiting_for(workflow_tables &t, int32 step) { return gather(t, t.step_by_watch, Int32GetDatum(step)); }

step_list steps_of_workflow(workflow_tables &t, const pg_uuid_t &workflow) {
    lookup by_workflow = begin_lookup(t.steps, "workflow_steps_workflow", F_UUID_EQ, InvalidOid, SnapshotSelf);
    step_list steps = gather(t, by_workflow, UUIDPGetDatum(&workflow));
    end_lookup(by_workflow);
    return steps;
}

TM_Result try_workflow(workflow_tables &t, workflow_row *row, LockTupleMode mode) {
    TM_Result locked = lock_row(t.workflows, &row->tid, mode, LockWaitSkip);
    if (locked == TM_Ok) *row = read_workflow(t.workflows.held);
    return locked;
}

TM_Result try_step(workflow_tables &t, step_row *row) {
    TM_Result locked = lock_row(t.steps, &row->tid, LockTupleNoKeyExclusive, LockWaitSkip);
    if (locked == TM_Ok) *row = read_step(t.steps.held);
    return locked;
}

void write_workflow(workflow_tables &t, workflow_row &row) {
    // Locked by us, so what we find is the newest version.
    workflow_row before;
    if (!find_workflow(t, row.id, &before)) elog(ERROR, "a locked workflow is gone");
    copy_row(t.workflows, t.workflows.found);
    set(t.workflows, workflows_state, text_datum(view(python_state(row.status))));
    set(t.workflows, workflows_status, text_datum(view(status_names[static_cast<int>(row.status)])));
    set(t.workflows, workflows_updated_at, TimestampTzGetDatum(t.now));
    set_int(t.workflows, workflows_waits_for, row.waits_for, 0);
    set_int(t.workflows, workflows_waits_at, row.waits_at, PG_INT32_MAX);
    set(t.workflows, workflows_doomed, BoolGetDatum(row.doomed));
    if (row.status == workflow_status::running || row.status == workflow_status::compensating)
        set_null(t.workflows, workflows_finished_at);
    else if (is_null(t.workflows.found, workflows_finished_at))
        set(t.workflows, workflows_finished_at, TimestampTzGetDatum(t.now));
    ItemPointerData tid = before.tid;
    TM_Result done = update(t.workflows, &tid, true);
    if (done != TM_Ok) elog(ERROR, "a locked workflow changed (%d)", done);
    CommandCounterIncrement();
    row.tid = t.workflows.next->tts_tid;
}

void write_step(workflow_tables &t, HeapTuple locked, step_row &row) {
    ExecStoreHeapTuple(locked, t.steps.copy, false);
    copy_row(t.steps, t.steps.copy);
    if (row.has_job)
        set(t.steps, steps_job_id, UUIDPGetDatum(&row.job));
    else
        set_null(t.steps, steps_job_id);
    set(t.steps, steps_updated_at, TimestampTzGetDatum(t.now));
    set_int(t.steps, steps_waits_for, row.waits_for, 0);
    set(t.steps, steps_waits_at, Int32GetDatum(row.waits_at));
    set(t.steps, steps_doomed, BoolGetDatum(row.doomed));
    set(t.steps, steps_skipped, BoolGetDatum(row.skipped));
    ItemPointerData tid = locked->t_self;
    TM_Result done = update(t.steps, &tid, true);
    if (done != TM_Ok) elog(ERROR, "a locked step changed (%d)", done);
    CommandCounterIncrement();
    row.tid = t.steps.next->tts_tid;
}

void insert_workflow(workflow_tables &t, const workflow_change &w) {
    table &rows = t.workflows;
    new_row(rows);
    set(rows, workflows_id, UUIDPGetDatum(&w.id));
    set(rows, workflows_name, text_datum(w.name));
    set(rows, workflows_state, text_datum(view("pending")));
    set(rows, workflows_created_at, TimestampTzGetDatum(GetCurrentTransactionStartTimestamp()));
    set(rows, workflows_updated_at, TimestampTzGetDatum(GetCurrentTransactionStartTimestamp()));
    set(rows, workflows_on_failure, text_datum(view(name(w.policy))));
    set(rows, workflows_status, text_datum(view("running")));
    set(rows, workflows_doomed, BoolGetDatum(false));
    insert(rows);
}

void insert_step(workflow_tables &t, int32 id, const step_input &s) {
    table &rows = t.steps;
    new_row(rows);
    set(rows, steps_id, Int32GetDatum(id));
    set(rows, steps_workflow_id, UUIDPGetDatum(&s.workflow));
    set(rows, steps_step_id, text_datum(s.name));
    set(rows, steps_job_data, JsonbPGetDatum(s.job));
    set(rows, steps_dependencies, JsonbPGetDatum(json_names(s.after)));
    if (s.job_id != nullptr) set(rows, steps_job_id, UUIDPGetDatum(s.job_id));
    set(rows, steps_created_at, TimestampTzGetDatum(t.now));
    set(rows, steps_updated_at, TimestampTzGetDatum(t.now));
    set(rows, steps_run_when, text_datum(view(name(s.when))));
    if (s.undo != nullptr) set(rows, steps_undo, JsonbPGetDatum(s.undo));
    int count = s.after_ids.size();
    auto *ids = static_cast<Datum *>(palloc(sizeof(Datum) * (count + 1)));
    for (int i = 0; i < count; i++) ids[i] = Int32GetDatum(s.after_ids[i]);
    set(rows, steps_dependency_ids, PointerGetDatum(construct_array(ids, count, INT4OID, sizeof(int32), true, TYPALIGN_INT)));
    set_int(rows, steps_waits_for, s.waits_for, 0);
    set(rows, steps_waits_at, Int32GetDatum(count - 1));
    set(rows, steps_doomed, BoolGetDatum(false));
    set(rows, steps_skipped, BoolGetDatum(false));
    set_int(rows, steps_undoes, s.undoes, 0);
    insert(rows);
}

int32 *take_step_ids(int count) {
    auto *ids = static_cast<int32 *>(palloc_extended(sizeof(int32) * (count + 1), MCXT_ALLOC_HUGE));
    // The sequence is the owner's, whoever's result this is.
    with_owner([=] {
        Oid sequence = get_relname_relid("workflow_steps_id_seq", schema());
        for (int i = 0; i < count; i++)
            ids[i] = static_cast<int32>(DatumGetInt64(DirectFunctionCall1(nextval_oid, ObjectIdGetDatum(sequence))));
    });
    return ids;
}

std::span<int32> dependency_ids(HeapTuple step, TupleDesc desc) {
    bool null;
    Datum array = heap_getattr(step, steps_dependency_ids, desc, &null);
    if (null) return {};
    ArrayType *ids = DatumGetArrayTypeP(array);
    return {reinterpret_cast<int32 *>(ARR_DATA_PTR(ids)), static_cast<size_t>(ArrayGetNItems(ARR_NDIM(ids), ARR_DIMS(ids)))};
}

void tell_workflow(const char *type, const workflow_row &w) {
    emit(type, "id", view(DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&w.id)))), "name", w.name);
}

}  // namespace chancy
