// copy: a finished job pushed anew, with something changed.
#include "change.hpp"
#include "jobs.hpp"
#include "json.hpp"
#include "push.hpp"
#include "role.hpp"
#include "rows.hpp"
#include "workflow.hpp"

namespace chancy {

namespace {

// What the job was pushed with, in the current memory context; false: missing or unfinished.
bool read_finished(Datum id, new_job *job) {
    bool finished = false;
    MemoryContext context = CurrentMemoryContext;
    with_row("jobs", F_UUID_EQ, id, [&, job](HeapTuple row, TupleDesc desc) {
        bool null;
        auto column = [&](int number) { return heap_getattr(row, number, desc, &null); };
        bytes state_name = view(column(jobs_state));
        finished = state_name == view(name(state::succeeded)) || state_name == view(name(state::failed));
        if (!finished) return;
        MemoryContext inner = MemoryContextSwitchTo(context);
        auto words = [&](int number) {
            Datum value = column(number);
            return null ? bytes{nullptr, 0} : view(DatumGetTextPCopy(value));
        };
        Datum meta = JsonbPGetDatum(without_mark(DatumGetJsonbPCopy(column(jobs_meta))));  // the copy is no step of its workflow
        char *mark = psprintf("{\"copy_of\": \"%s\"}", DatumGetCString(DirectFunctionCall1(uuid_out, id)));
        *job = {.func = words(jobs_func), .queue = words(jobs_queue), .key = words(jobs_unique_key), .concurrency_key = words(jobs_concurrency_key),
                .kwargs = DatumGetJsonbPCopy(column(jobs_kwargs)), .limits = DatumGetJsonbPCopy(column(jobs_limits)),
                .meta = DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, meta, DirectFunctionCall1(jsonb_in, CStringGetDatum(mark)))),
                .priority = DatumGetInt32(column(jobs_priority)), .max_attempts = DatumGetInt32(column(jobs_max_attempts)),
                .scheduled_at = GetCurrentTransactionStartTimestamp(), .unique_for = 0, .mode = on_conflict::keep, .list = nullptr, .may = nullptr};
        MemoryContextSwitchTo(inner);
    });
    return finished;
}

void copy_job(moment m, FunctionCallInfo fcinfo, const rows &out) {
    require(role_kind::admin);
    place here{nullptr, 0, nullptr};
    std::span<new_job> given = make_span<new_job>(1);
    if (!read_finished(PG_GETARG_DATUM(0), given.data())) return;
    auto changed = [&](int argument) { return !fcinfo->args[argument].isnull; };
    if (changed(1)) check_object(given[0].kwargs = PG_GETARG_JSONB_P_COPY(1), here.at("kwargs"));
    if (changed(2)) given[0].queue = copy_argument_text(fcinfo, 2);
    if (changed(3)) given[0].priority = PG_GETARG_INT32(3);
    if (changed(4)) given[0].max_attempts = PG_GETARG_INT32(4);
    check_job(given[0], here);
    const change &made = push_all(m, "copy_job", given)[0];
    Datum values[] = {UUIDPGetDatum(&made.id), BoolGetDatum(made.is == verdict::created)};
    bool nulls[] = {false, made.is == verdict::reserved};
    out.put(values, nulls);
}

}  // namespace

}  // namespace chancy

extern "C" {

CHANCY_FUNCTION(chancy_copy_job) {
    using namespace chancy;
    PreventCommandIfReadOnly("chancy.copy_job()");
    check_given(fcinfo, 0, "id");
    rows out = begin_rows(fcinfo);
    moment m = when();
    with_call_memory(m, "chancy copy_job", [=] { copy_job(m, fcinfo, out); });
    return 0;
}
}
