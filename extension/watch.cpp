// event: watch_jobs, which asks for a job.finished event. The watch is committed before the waiter
// looks at the job, so an end that commits afterwards is told; a slow poll covers the moment between.
#include "buffer.hpp"
#include "role.hpp"
#include "statement.hpp"
#include "worker.hpp"

namespace chancy {

namespace {

void watch(table &watches, const pg_uuid_t &id, TimestampTz until) {
    constexpr int job_id = 1, until_column = 2;
    upsert(watches, "watches_pkey", F_UUID_EQ, UUIDPGetDatum(&id), [&, until](bool existing) {
        if (existing && DatumGetTimestampTz(watches.next->tts_values[until_column - 1]) >= until) return false;
        set(watches, job_id, UUIDPGetDatum(&id));
        set(watches, until_column, TimestampTzGetDatum(until));
        return true;
    });
}

void watch_jobs(FunctionCallInfo fcinfo) {
    check_given(fcinfo, 0, "ids");
    ArrayType *ids = PG_GETARG_ARRAYTYPE_P(0);
    if (array_contains_nulls(ids)) refuse({nullptr, 0, "ids"}, "must not contain NULL", "Give jobs' ids.");
    int count = ArrayGetNItems(ARR_NDIM(ids), ARR_DIMS(ids));
    if (count > max_batch)
        refuse_size({nullptr, 0, "ids"}, psprintf("has %d elements", count),
                    psprintf("At most %d elements are allowed in one call: split the batch.", max_batch));
    TimestampTz until = GetCurrentTimestamp() + check_duration(fcinfo, 1, "for_time");
    require(role_kind::admin);
    pg_uuid_t *first = static_cast<pg_uuid_t *>(palloc(sizeof(pg_uuid_t) * (count + 1)));
    Datum *elements;
    deconstruct_array(ids, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR, &elements, nullptr, &count);
    for (int i = 0; i < count; i++) first[i] = *DatumGetUUIDP(elements[i]);
    // What may wait comes first, in id order, as every batch of locks is taken.
    std::sort(first, first + count, [](const pg_uuid_t &a, const pg_uuid_t &b) { return compare(a, b) < 0; });
    pg_uuid_t *end = std::unique(first, first + count, [](const pg_uuid_t &a, const pg_uuid_t &b) { return compare(a, b) == 0; });
    with_table("watches", true, [=](table &watches) {
        for (pg_uuid_t *id = first; id < end; id++) watch(watches, *id, until);
    });
    // Expired watches go here, without waiting, so that the table empties when nobody waits any more.
    run_as_owner(
        "DELETE FROM chancy.watches d USING (SELECT w.job_id FROM chancy.watches w"
        " WHERE w.until OPERATOR(pg_catalog.<) pg_catalog.clock_timestamp() FOR UPDATE SKIP LOCKED) AS old"
        " WHERE d.job_id OPERATOR(pg_catalog.=) old.job_id",
        {});
    note_locks();
}

}  // namespace

}  // namespace chancy

extern "C" {

CHANCY_FUNCTION(chancy_watch_jobs) {
    PreventCommandIfReadOnly("chancy.watch_jobs()");
    chancy::watch_jobs(fcinfo);
    PG_RETURN_VOID();
}
}
