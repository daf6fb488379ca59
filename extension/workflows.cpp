// workflow: the turn of maintenance, and what may be read of earlier steps.
#include "buffer.hpp"
#include "role.hpp"
#include "rows.hpp"
#include "statement.hpp"
#include "task.hpp"
#include "worker.hpp"
#include "workflows.hpp"

namespace chancy {

namespace {

// Notes what results did not: ends that somebody else wrote (a Python worker, a hand), and what Python pushed. What is
// noted twice is done once.
void note_unseen() {
    run_as_owner(
        "INSERT INTO chancy.workflow_todo (workflow_id, step, poll)"
        " SELECT w.id, NULL::pg_catalog.int4, false FROM chancy.workflows w"
        " WHERE w.status IS NULL AND w.state OPERATOR(pg_catalog.=) ANY ('{pending,running}')"
        " UNION SELECT w.id, NULL::pg_catalog.int4, false FROM chancy.workflow_steps s JOIN chancy.workflows w ON w.id OPERATOR(pg_catalog.=) s.workflow_id"
        " WHERE s.dependency_ids IS NULL AND w.status OPERATOR(pg_catalog.=) 'running'"
        " UNION SELECT w.id, d.id, false FROM chancy.workflows w"
        " JOIN chancy.workflow_steps d ON d.workflow_id OPERATOR(pg_catalog.=) w.id"
        " LEFT JOIN chancy.jobs j ON j.id OPERATOR(pg_catalog.=) d.job_id"
        " WHERE w.status OPERATOR(pg_catalog.=) ANY ('{running,compensating}')"
        " AND (d.skipped OR (d.job_id IS NOT NULL AND (j.id IS NULL OR j.state OPERATOR(pg_catalog.=) ANY ('{succeeded,failed}'))))"
        " AND (w.waits_for OPERATOR(pg_catalog.=) d.id OR (w.status OPERATOR(pg_catalog.=) 'running'"
        " AND w.on_failure OPERATOR(pg_catalog.<>) 'continue' AND (j.id IS NULL OR j.state OPERATOR(pg_catalog.=) 'failed'))"
        " OR EXISTS (SELECT FROM chancy.workflow_steps s WHERE s.waits_for OPERATOR(pg_catalog.=) d.id AND s.job_id IS NULL AND NOT s.skipped"
        " AND (s.undoes IS NOT NULL) OPERATOR(pg_catalog.=) (w.status OPERATOR(pg_catalog.=) 'compensating')))"
        " EXCEPT SELECT t.workflow_id, t.step, t.poll FROM chancy.workflow_todo t",
        {});
}

}  // namespace

advanced advance_workflows(table &jobs, int up_to, bool unseen) {
    if (unseen) note_unseen();
    CommandCounterIncrement();
    return advance_noted(jobs, up_to, true);
}

int prune_workflows(TimestampTz before, int32 up_to) {
    parameter parameters[] = {{TIMESTAMPTZOID, TimestampTzGetDatum(before), false}, {INT4OID, Int32GetDatum(up_to), false}};
    // The foreign key takes the steps along; who would write one of them holds the workflow's row.
    uint64 deleted = run_as_owner(
        "DELETE FROM chancy.workflows w USING (SELECT o.id FROM chancy.workflows o WHERE o.finished_at OPERATOR(pg_catalog.<) $1"
        " OR (o.finished_at IS NULL AND o.state OPERATOR(pg_catalog.<>) ALL ('{pending,running}') AND o.updated_at OPERATOR(pg_catalog.<) $1)"
        " LIMIT $2 FOR UPDATE SKIP LOCKED) AS old WHERE w.id OPERATOR(pg_catalog.=) old.id",
        parameters);
    if (deleted > 0) note_locks();
    return static_cast<int>(deleted);
}

namespace {

task_result run_workflows(const task_settings &s) {
    advanced made = with_jobs([](table &jobs) { return advance_workflows(jobs, max_batch, true); });
    int64 keep = s.span("keep", 0);
    int deleted = keep > 0 ? prune_workflows(GetCurrentTimestamp() - keep, s.whole("up_to", 1000)) : 0;
    return {psprintf("{\"advanced\": %d, \"busy\": %d, \"deleted\": %d}", made.done, made.busy, deleted),
            made.busy > 0 ? USECS_PER_SEC : 0, {nullptr, 0}};
}

constexpr task_setting known[] = {
    {"keep", task_setting::span, 1, 1e9, nullptr},
    {"up_to", task_setting::whole, 1, PG_INT32_MAX, nullptr},
};

}  // namespace

extern const task workflows_task;
constinit const task workflows_task{"workflows", 10 * USECS_PER_SEC, known, run_workflows, nullptr};

namespace {

void step_results(FunctionCallInfo fcinfo, const rows &out) {
    check_given(fcinfo, 0, "job_id");
    permit may = require(role_kind::worker);
    parameter id = given(fcinfo, 0, UUIDOID);
    with_owner([&] {
        with_spi([&] {
            run("SELECT a.name, CASE WHEN d.skipped THEN 'skipped' WHEN d.job_id IS NULL THEN 'waiting'"
                " ELSE coalesce(j.state::pg_catalog.text, 'missing') END, j.result, o.queue"
                " FROM chancy.workflow_steps s JOIN chancy.jobs o ON o.id OPERATOR(pg_catalog.=) s.job_id"
                " CROSS JOIN LATERAL pg_catalog.jsonb_array_elements_text(s.dependencies) WITH ORDINALITY AS a (name, n)"
                " JOIN chancy.workflow_steps d ON d.workflow_id OPERATOR(pg_catalog.=) s.workflow_id"
                " AND d.step_id OPERATOR(pg_catalog.=) a.name"
                " LEFT JOIN chancy.jobs j ON j.id OPERATOR(pg_catalog.=) d.job_id"
                " WHERE s.job_id OPERATOR(pg_catalog.=) $1 ORDER BY s.id, a.n",
                {&id, 1});
            for (uint64 i = 0; i < SPI_processed; i++) {
                bool null, no_result;
                HeapTuple row = SPI_tuptable->vals[i];
                TupleDesc desc = SPI_tuptable->tupdesc;
                if (!permits(may, view(SPI_getbinval(row, desc, 4, &null)))) continue;
                Datum values[] = {SPI_getbinval(row, desc, 1, &null), SPI_getbinval(row, desc, 2, &null), SPI_getbinval(row, desc, 3, &no_result)};
                bool nulls[] = {false, false, no_result};
                out.put(values, nulls);
            }
        });
    });
}

// The state of a workflow under way is ours to say: Python's plugin would end one with a failed step, whatever its policy.
HeapTuple keep_state(const TriggerData &t) {
    if (TRIGGER_FIRED_BY_DELETE(t.tg_event)) return nullptr;
    int column = 3;
    bool null;
    Datum state = heap_getattr(t.tg_trigtuple, column, RelationGetDescr(t.tg_relation), &null);
    return heap_modify_tuple_by_cols(t.tg_newtuple, RelationGetDescr(t.tg_relation), 1, &column, &state, &null);
}

}  // namespace

}  // namespace chancy

extern "C" {

CHANCY_FUNCTION(chancy_workflow_guard) {
    using namespace chancy;
    auto *t = reinterpret_cast<TriggerData *>(fcinfo->context);
    if (!CALLED_AS_TRIGGER(fcinfo) || RelationGetRelid(t->tg_relation) != table_oid("workflows") || !TRIGGER_FIRED_FOR_ROW(t->tg_event) ||
        !TRIGGER_FIRED_BEFORE(t->tg_event) || TRIGGER_FIRED_BY_INSERT(t->tg_event))
        ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED), errmsg("this function is for chancy.workflows and its own triggers only")));
    return PointerGetDatum(keep_state(*t));
}

CHANCY_FUNCTION(chancy_advance_workflows) {
    using namespace chancy;
    PreventCommandIfReadOnly("chancy.advance_workflows()");
    check_given(fcinfo, 0, "up_to");
    int32 up_to = PG_GETARG_INT32(0);
    if (up_to < 1) refuse({nullptr, 0, "up_to"}, "must be at least 1", "Call again for more.");
    rows out = begin_rows(fcinfo);
    require(role_kind::worker);
    advanced made = with_memory("chancy advance_workflows", [=] {
        return with_jobs([=](table &jobs) { return advance_workflows(jobs, up_to, true); });
    });
    Datum values[] = {Int32GetDatum(made.done), Int32GetDatum(made.busy)};
    bool nulls[] = {false, false};
    out.put(values, nulls);
    return 0;
}

CHANCY_FUNCTION(chancy_prune_workflows) {
    using namespace chancy;
    PreventCommandIfReadOnly("chancy.prune_workflows()");
    check_given(fcinfo, 0, "age");
    check_given(fcinfo, 1, "up_to");
    if (PG_GETARG_INT32(1) < 1) refuse({nullptr, 0, "up_to"}, "must be at least 1", "Call again for more.");
    int64 age = microseconds(PG_GETARG_INTERVAL_P(0));
    if (age < 0) refuse({nullptr, 0, "age"}, "must not be negative", "0 s deletes all that have finished.");
    require(role_kind::admin);
    PG_RETURN_INT32(prune_workflows(GetCurrentTimestamp() - age, PG_GETARG_INT32(1)));
}

CHANCY_FUNCTION(chancy_step_results) {
    chancy::rows out = chancy::begin_rows(fcinfo);
    chancy::step_results(fcinfo, out);
    return 0;
}
}
