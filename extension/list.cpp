// fetch: look at jobs without claiming them.
#include "compat.hpp"
#include "jobs.hpp"
#include "role.hpp"
#include "rows.hpp"

namespace chancy {

namespace {

// In order of the running index, then sorted by id; jobs of queues that are not permitted are left out.
void running_jobs(FunctionCallInfo fcinfo, const rows &out) {
    check_given(fcinfo, 0, "worker_id");
    bytes worker = argument_text(fcinfo, 0);
    check_text({nullptr, 0, "worker_id"}, worker, max_name);
    permit may = require(role_kind::worker);
    Relation rel = table_open(table_oid("jobs"), AccessShareLock);
    Relation index = index_open(get_relname_relid("jobs_running", schema()), AccessShareLock);
    ScanKeyData key;
    // The index begins with the queue, and holds no more than what runs: it is read whole.
    ScanKeyEntryInitialize(&key, 0, 2, BTEqualStrategyNumber, InvalidOid, C_COLLATION_OID, F_TEXTEQ, text_datum(worker));
    IndexScanDesc scan = compat::begin_index_scan(rel, index, GetActiveSnapshot(), 1);
    index_rescan(scan, &key, 1, nullptr, 0);
    TupleTableSlot *slot = table_slot_create(rel, nullptr);
    struct found {
        pg_uuid_t id;
        HeapTuple row;
    };
    found *all = nullptr;
    size_t count = 0, capacity = 0;
    while (index_getnext_slot(scan, ForwardScanDirection, slot)) {
        CHECK_FOR_INTERRUPTS();
        job_row row = read_job(slot);
        if (row.is != state::running || !permits(may, row.queue)) continue;
        make_room(all, count, capacity);
        all[count++] = {row.id, ExecCopySlotHeapTuple(slot)};
    }
    std::sort(all, all + count, [](const found &a, const found &b) { return compare(a.id, b.id) < 0; });
    for (size_t i = 0; i < count; i++) tuplestore_puttuple(out.store, all[i].row);
    ExecDropSingleTupleTableSlot(slot);
    index_endscan(scan);
    index_close(index, AccessShareLock);
    table_close(rel, AccessShareLock);
}

// Newest first by the primary key, those that failed by an index of their own; what does not match is passed over.
void list_jobs(FunctionCallInfo fcinfo, const rows &out) {
    bytes queue = argument_text(fcinfo, 0), wanted = argument_text(fcinfo, 1), func = argument_text(fcinfo, 2), key = argument_text(fcinfo, 7);
    check_given(fcinfo, 4, "up_to");
    int32 up_to = PG_GETARG_INT32(4);
    if (up_to < 1 || up_to > max_batch)
        refuse({nullptr, 0, "up_to"}, psprintf("must be from 1 to %d", max_batch), "Give the size of a page.");
    bool failed = wanted.data != nullptr && parse_state(wanted, {nullptr, 0, "state"}) == state::failed;
    require(role_kind::reader);
    Relation rel = table_open(table_oid("jobs"), AccessShareLock);
    Relation index = index_open(get_relname_relid(failed ? "jobs_failed" : "jobs_pkey", schema()), AccessShareLock);
    ScanKeyData bounds[3];
    pg_uuid_t since, before;
    int count = 0;
    auto bound = [&](StrategyNumber strategy, RegProcedure compare, Datum id) {
        ScanKeyEntryInitialize(&bounds[count++], 0, 1, strategy, InvalidOid, InvalidOid, compare, id);
    };
    if (!fcinfo->args[3].isnull) bound(BTLessStrategyNumber, F_UUID_LT, PG_GETARG_DATUM(3));
    if (!fcinfo->args[5].isnull) bound(BTGreaterEqualStrategyNumber, F_UUID_GE, UUIDPGetDatum(&(since = first_id(PG_GETARG_TIMESTAMPTZ(5)))));
    if (!fcinfo->args[6].isnull) bound(BTLessStrategyNumber, F_UUID_LT, UUIDPGetDatum(&(before = first_id(PG_GETARG_TIMESTAMPTZ(6)))));
    IndexScanDesc scan = compat::begin_index_scan(rel, index, GetActiveSnapshot(), count);
    index_rescan(scan, bounds, count, nullptr, 0);
    TupleTableSlot *slot = table_slot_create(rel, nullptr);
    auto matches = [&](int column, bytes value) {
        return value.data == nullptr || (!slot->tts_isnull[column - 1] && view(slot->tts_values[column - 1]) == value);
    };
    while (up_to > 0 && index_getnext_slot(scan, BackwardScanDirection, slot)) {
        CHECK_FOR_INTERRUPTS();
        slot_getallattrs(slot);
        if (!matches(jobs_queue, queue) || !matches(jobs_state, wanted) || !matches(jobs_func, func) ||
            !matches(jobs_unique_key, key))
            continue;
        tuplestore_puttupleslot(out.store, slot);
        up_to--;
    }
    ExecDropSingleTupleTableSlot(slot);
    index_endscan(scan);
    index_close(index, AccessShareLock);
    table_close(rel, AccessShareLock);
}

}  // namespace

}  // namespace chancy

extern "C" {

CHANCY_FUNCTION(chancy_running_jobs) {
    chancy::rows out = chancy::begin_rows(fcinfo);
    chancy::with_memory("chancy running_jobs", [=] { chancy::running_jobs(fcinfo, out); });
    return 0;
}

CHANCY_FUNCTION(chancy_list_jobs) {
    chancy::rows out = chancy::begin_rows(fcinfo);
    chancy::with_memory("chancy list_jobs", [=] { chancy::list_jobs(fcinfo, out); });
    return 0;
}
}
