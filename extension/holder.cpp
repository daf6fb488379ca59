// holder: who holds the rows of due jobs, so that every fetch passes them by.
//
// A row's lock is in the row alone: no view of the server shows it. So this looks at the first due jobs of each queue, those that a
// fetch comes to first, and at who is still in progress of those that their rows name. It locks nothing.
#include "compat.hpp"
#include "jobs.hpp"
#include "role.hpp"
#include "rows.hpp"

namespace chancy {

namespace {

constexpr int looked_at = 1000;       // due jobs of a queue
constexpr int entries = 20000;        // of a queue in the index, since jobs that are not due may stand before them

// A transaction that holds some of them.
struct holder {
    TransactionId xid;  // with its subtransactions
    int jobs;
    TimestampTz due_since;
};

struct holders {
    holder *items;
    size_t count, capacity;
    int looked_at;
};

void note(holders &all, TransactionId xid, TimestampTz due) {
    if (!TransactionIdIsInProgress(xid) || TransactionIdIsCurrentTransactionId(xid)) return;
    xid = SubTransGetTopmostTransaction(xid);
    size_t at = 0;
    while (at < all.count && all.items[at].xid != xid) at++;
    if (at == all.count) {
        make_room(all.items, all.count, all.capacity);
        all.items[all.count++] = {xid, 0, due};
    }
    all.items[at].jobs++;
    all.items[at].due_since = std::min(all.items[at].due_since, due);
}

// All who lock or have changed the row in the slot, and have not ended.
void note_holders(holders &all, TupleTableSlot *slot, TimestampTz due) {
    auto *found = reinterpret_cast<BufferHeapTupleTableSlot *>(slot);
    HeapTupleHeader row = found->base.tuple->t_data;
    LockBuffer(found->buffer, BUFFER_LOCK_SHARE);
    uint16 mask = row->t_infomask;
    TransactionId xmax = HeapTupleHeaderGetRawXmax(row);
    LockBuffer(found->buffer, BUFFER_LOCK_UNLOCK);
    if ((mask & HEAP_XMAX_INVALID) != 0) return;
    if ((mask & HEAP_XMAX_IS_MULTI) == 0) return note(all, xmax, due);
    MultiXactMember *members;
    int count = GetMultiXactIdMembers(xmax, &members, HEAP_LOCKED_UPGRADED(mask), HEAP_XMAX_IS_LOCKED_ONLY(mask));
    for (int i = 0; i < count; i++) note(all, members[i].xid, due);
    if (count > 0) pfree(members);
}

void put(const rows &out, bytes queue, const holders &all) {
    for (const holder &h : std::span(all.items, all.count)) {
        Datum values[] = {text_datum(queue),       TransactionIdGetDatum(h.xid),    Int32GetDatum(BackendXidGetPid(h.xid)),
                          Int32GetDatum(h.jobs), Int32GetDatum(all.looked_at), TimestampTzGetDatum(h.due_since)};
        bool nulls[] = {false, false, values[2] == 0, false, false, false};  // a prepared transaction has no process
        out.put(values, nulls);
    }
}

// Of the first queue in the scan; its name, data null when there is none.
bytes look_at_queue(IndexScanDesc scan, TupleTableSlot *slot, TimestampTz now, const rows &out) {
    bytes queue{nullptr, 0};
    holders all{};
    for (int left = entries; left > 0 && all.looked_at < looked_at && index_getnext_slot(scan, ForwardScanDirection, slot); left--) {
        CHECK_FOR_INTERRUPTS();
        job_row row = read_job(slot);
        if (queue.data == nullptr) queue = view(pnstrdup(row.queue.data, row.queue.size));
        if (!(row.queue == queue)) break;
        if (row.scheduled_at > now || row.attempts >= row.max_attempts) continue;
        all.looked_at++;
        note_holders(all, slot, row.scheduled_at);
    }
    put(out, queue, all);
    return queue;
}

void held_jobs(FunctionCallInfo fcinfo, const rows &out) {
    bytes only = argument_text(fcinfo, 0);
    require(role_kind::reader);
    TimestampTz now = GetCurrentTimestamp();
    Relation jobs = table_open(table_oid("jobs"), AccessShareLock);
    Relation index = index_open(get_relname_relid("jobs_fetch", schema()), AccessShareLock);
    IndexScanDesc scan = compat::begin_index_scan(jobs, index, GetActiveSnapshot(), 1);
    TupleTableSlot *slot = table_slot_create(jobs, nullptr);
    ScanKeyData from;
    auto look = [&](StrategyNumber strategy, RegProcedure compare, bytes queue) {
        ScanKeyEntryInitialize(&from, 0, 1, strategy, InvalidOid, C_COLLATION_OID, compare, text_datum(queue));
        index_rescan(scan, &from, 1, nullptr, 0);
        return look_at_queue(scan, slot, now, out);
    };
    if (only.data != nullptr) {
        look(BTEqualStrategyNumber, F_TEXTEQ, only);
    } else {  // from queue to queue, however many jobs each has
        for (bytes queue = view(""); queue.data != nullptr;) queue = look(BTGreaterStrategyNumber, F_TEXT_GT, queue);
    }
    ExecDropSingleTupleTableSlot(slot);
    index_endscan(scan);
    index_close(index, AccessShareLock);
    table_close(jobs, AccessShareLock);
}

}  // namespace

}  // namespace chancy

extern "C" {

CHANCY_FUNCTION(chancy_held_jobs) {
    chancy::rows out = chancy::begin_rows(fcinfo);
    chancy::with_memory("chancy held_jobs", [=] { chancy::held_jobs(fcinfo, out); });
    return 0;
}
}
