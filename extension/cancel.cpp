// cancel: end live jobs. The key is free at once; a running handler is asked to stop by an event,
// and its late result no longer passes the fence.
#include "buffer.hpp"
#include "role.hpp"
#include "rows.hpp"
#include "sql_job.hpp"

namespace chancy {

void write_cancel(table &jobs, TupleTableSlot *slot, TimestampTz now) {
    job_row row = read_job(slot);
    if (row.is == state::running && row.taken_by.data != nullptr) stop_sql_job(row.taken_by);
    set_state(jobs, state::failed);
    set(jobs, jobs_completed_at, TimestampTzGetDatum(now));
    set(jobs, jobs_errors, append_error(slot->tts_values[jobs_errors - 1], row.attempts, view("cancelled")));
}

namespace {

void cancel_all(moment m, const char *name, std::span<change> cancels) {
    permit may = require(role_kind::admin);
    if (m == moment::commit) return buffer(name, cancels);
    with_jobs([=](table &jobs) { apply(jobs, cancels, {waiting::allowed, 0, may, nullptr}); });
}

change make_cancel(const pg_uuid_t &id, int order) {
    change c{};
    c.kind = change_kind::cancel;
    c.id = id;
    c.order = c.element = order;
    return c;
}

void cancel_jobs(moment m, ArrayType *ids, const rows &out) {
    Datum *elements;
    bool *missing;
    int count;
    deconstruct_array(ids, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR, &elements, &missing, &count);
    if (count > max_batch)
        refuse_size({"ids", -1, nullptr}, psprintf("has %d elements", count),
                    psprintf("At most %d elements are allowed in one call: split the batch.", max_batch));
    auto *changes = static_cast<change *>(palloc_extended(sizeof(change) * (count + 1), MCXT_ALLOC_HUGE));
    for (int i = 0; i < count; i++) {
        if (missing[i]) refuse({"ids", i, nullptr}, "must not be NULL", "Give a job's id.");
        changes[i] = make_cancel(*DatumGetUUIDP(elements[i]), i);
    }
    std::span<change> cancels{changes, static_cast<size_t>(count)};
    cancel_all(m, "cancel_jobs", cancels);
    for (change &c : cancels) {
        Datum values[] = {Int32GetDatum(c.element + 1), UUIDPGetDatum(&c.id), BoolGetDatum(c.is == verdict::applied)};
        bool nulls[] = {false, false, c.is == verdict::open};
        out.put(values, nulls);
    }
}

}  // namespace

}  // namespace chancy

extern "C" {

// NULL: decided at commit.
CHANCY_FUNCTION(chancy_cancel_job) {
    using namespace chancy;
    PreventCommandIfReadOnly("chancy.cancel_job()");
    check_given(fcinfo, 0, "id");
    moment m = when();
    verdict is = with_call_memory(m, "chancy cancel_job", [=] {
        change *c = static_cast<change *>(palloc(sizeof(change)));
        *c = make_cancel(*PG_GETARG_UUID_P(0), 0);
        cancel_all(m, "cancel_job", {c, 1});
        return c->is;
    });
    if (is == verdict::open) PG_RETURN_NULL();
    PG_RETURN_BOOL(is == verdict::applied);
}

CHANCY_FUNCTION(chancy_cancel_jobs) {
    using namespace chancy;
    PreventCommandIfReadOnly("chancy.cancel_jobs()");
    check_given(fcinfo, 0, "ids");
    rows out = begin_rows(fcinfo);
    moment m = when();
    with_call_memory(m, "chancy cancel_jobs", [=] { cancel_jobs(m, PG_GETARG_ARRAYTYPE_P(0), out); });
    return 0;
}
}
