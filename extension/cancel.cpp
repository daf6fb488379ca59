// cancel: end live jobs. The key is free at once; a running handler is asked to stop by an event,
// and its late result no longer passes the fence.
#include "event.hpp"
#include "role.hpp"
#include "rows.hpp"

namespace chancy {

void write_cancel(table &jobs, TupleTableSlot *slot, TimestampTz now) {
    job_row row = read_job(slot);
    set_state(jobs, state::failed);
    set(jobs, jobs_completed_at, TimestampTzGetDatum(now));
    set(jobs, jobs_errors, append_error(slot->tts_values[jobs_errors - 1], row.attempts, view("cancelled")));
}

namespace {

void cancel_all(std::span<change> cancels) {
    permit may = require(role_kind::admin);
    with_jobs([=](table &jobs) { apply(jobs, cancels, waiting::allowed, may); });
}

change make_cancel(const pg_uuid_t &id, int order) {
    change c{};
    c.kind = change_kind::cancel;
    c.id = id;
    c.order = order;
    return c;
}

void cancel_jobs(ArrayType *ids, const rows &out) {
    Datum *elements;
    bool *nulls;
    int count;
    deconstruct_array(ids, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR, &elements, &nulls, &count);
    if (count > max_batch)
        refuse_size({"ids", -1, nullptr}, psprintf("has %d elements", count),
                    psprintf("At most %d elements are allowed in one call: split the batch.", max_batch));
    auto *changes = static_cast<change *>(palloc_extended(sizeof(change) * (count + 1), MCXT_ALLOC_HUGE));
    for (int i = 0; i < count; i++) {
        if (nulls[i]) refuse({"ids", i, nullptr}, "must not be NULL", "Give a job's id.");
        changes[i] = make_cancel(*DatumGetUUIDP(elements[i]), i);
    }
    std::span<change> cancels{changes, static_cast<size_t>(count)};
    cancel_all(cancels);
    for (change &c : cancels) {
        Datum values[] = {Int32GetDatum(c.order + 1), UUIDPGetDatum(&c.id), BoolGetDatum(c.is == verdict::applied)};
        bool none[] = {false, false, false};
        out.put(values, none);
    }
}

}  // namespace

}  // namespace chancy

extern "C" {

CHANCY_FUNCTION(chancy_cancel_job) {
    PreventCommandIfReadOnly("chancy.cancel_job()");
    chancy::check_given(fcinfo, 0, "id");
    PG_RETURN_BOOL(chancy::with_memory("chancy cancel_job", [=] {
        chancy::change c = chancy::make_cancel(*PG_GETARG_UUID_P(0), 0);
        chancy::cancel_all({&c, 1});
        return c.is == chancy::verdict::applied;
    }));
}

CHANCY_FUNCTION(chancy_cancel_jobs) {
    PreventCommandIfReadOnly("chancy.cancel_jobs()");
    chancy::check_given(fcinfo, 0, "ids");
    chancy::rows out = chancy::begin_rows(fcinfo);
    chancy::with_memory("chancy cancel_jobs", [=] { chancy::cancel_jobs(PG_GETARG_ARRAYTYPE_P(0), out); });
    return 0;
}
}
