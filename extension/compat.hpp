// Every difference between the PostgreSQL versions we build for (14 to 18) stands here.
#pragma once

#include "postgres.hpp"

namespace chancy::compat {

inline List *insert_index_entries(ResultRelInfo *rri, TupleTableSlot *slot, EState *estate, bool update,
                                  bool no_dup_error, bool *conflict, List *arbiters) {
#if PG_VERSION_NUM >= 160000
    return ExecInsertIndexTuples(rri, slot, estate, update, no_dup_error, conflict, arbiters, false);
#else
    return ExecInsertIndexTuples(rri, slot, estate, update, no_dup_error, conflict, arbiters);
#endif
}

// True in indexes when the new version needs index entries.
inline TM_Result update_tuple(Relation rel, ItemPointer tid, TupleTableSlot *slot, CommandId cid, bool wait,
                              TM_FailureData *failure, bool *indexes) {
    LockTupleMode mode;
#if PG_VERSION_NUM >= 160000
    TU_UpdateIndexes needed = TU_None;
    TM_Result result =
        table_tuple_update(rel, tid, slot, cid, SnapshotSelf, InvalidSnapshot, wait, failure, &mode, &needed);
    *indexes = needed != TU_None;
#else
    TM_Result result =
        table_tuple_update(rel, tid, slot, cid, SnapshotSelf, InvalidSnapshot, wait, failure, &mode, indexes);
#endif
    return result;
}

inline IndexScanDesc begin_index_scan(Relation rel, Relation index, Snapshot snapshot, int keys) {
#if PG_VERSION_NUM >= 180000
    return index_beginscan(rel, index, snapshot, nullptr, keys, 0);
#else
    return index_beginscan(rel, index, snapshot, keys, 0);
#endif
}

// Called while the server starts, before its shared memory is made.
inline void request_shared_memory(void (*request)()) {
#if PG_VERSION_NUM >= 150000
    static shmem_request_hook_type next;
    static void (*ours)();
    next = shmem_request_hook;
    ours = request;
    shmem_request_hook = [] {
        if (next != nullptr) next();
        ours();
    };
#else
    request();
#endif
}

// An unknown setting chancy.* is an error from now on.
inline void reserve_settings(const char *prefix) {
#if PG_VERSION_NUM >= 150000
    MarkGUCPrefixReserved(prefix);
#else
    EmitWarningsOnPlaceholders(prefix);
#endif
}

inline int decode_date_time(char **field, int *ftype, int nf, int *dtype, pg_tm *tm, fsec_t *fsec, int *tz) {
#if PG_VERSION_NUM >= 160000
    DateTimeErrorExtra extra;
    return DecodeDateTime(field, ftype, nf, dtype, tm, fsec, tz, &extra);
#else
    return DecodeDateTime(field, ftype, nf, dtype, tm, fsec, tz);
#endif
}

}  // namespace chancy::compat
