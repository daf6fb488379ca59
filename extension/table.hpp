// A table of ours, open for direct reads and writes: no SPI, no planner, no executor node.
//
// Direct heap calls bypass triggers, constraints, row security and generated columns, so open()
// refuses (55000) a table on which somebody has put what it could not honour.
#pragma once

#include "scope.hpp"
#include "value.hpp"

namespace chancy {

// The namespace of the extension.
Oid schema();
// False when this transaction has dropped the extension.
bool is_installed();
// The oid of one of our tables.
Oid table_oid(const char *name);

struct table {
    Relation rel;
    EState *estate;
    ResultRelInfo *rri;
    List *arbiters;         // unique indexes that stand for a key: a speculative insert checks them all
    TupleTableSlot *next;   // virtual: the row being written
    TupleTableSlot *found;  // what a scan found
    TupleTableSlot *held;   // what a lock returned
    TupleTableSlot *copy;   // a copied row, to read its columns
    BlockNumber blocks;     // at least so many; 0: not asked yet
    TupleTableSlot **together;  // rows of insert_together, then next
    int waiting;                // how many of them

    // The valid index of this name; 55000 when somebody dropped it.
    Relation index(const char *name) const;
};

// primary_key: the primary key is an arbiter too (jobs have another one, and ids that never collide).
table open(const char *name, bool primary_key);
void close(table &t);

// RowExclusiveLock, kept until the transaction ends.
template <jumpable Body>
auto with_table(const char *name, bool primary_key, Body body) {
    table t = open(name, primary_key);
    if constexpr (std::is_void_v<decltype(body(t))>) {
        body(t);
        close(t);
    } else {
        auto result = body(t);
        static_assert(std::is_trivially_destructible_v<decltype(result)>);
        close(t);
        return result;
    }
}

// An index scan for one equality key after another; equality invalid: a scan of the whole index.
struct lookup {
    IndexScanDesc scan;
    ScanKeyData key;
};

lookup begin_lookup(table &t, const char *index, Oid equality, Oid collation, Snapshot snapshot);
void seek(lookup &l, Datum value);
inline void end_lookup(lookup &l) { index_endscan(l.scan); }

// The newest version of the key's row that is committed or our own, into slot; false when there is none. l is a look-up
// with SnapshotSelf.
bool find(table &t, lookup &l, Datum key, TupleTableSlot *slot);

// Reads one row by its primary key of one column, as committed now or by us, without a lock: calls body(row, desc)
// and returns true when there is one.
template <jumpable Body>
bool with_row(const char *name, Oid equality, Datum key, Body body) {
    Relation rel = table_open(table_oid(name), AccessShareLock);
    ScanKeyData equal;
    ScanKeyEntryInitialize(&equal, 0, 1, BTEqualStrategyNumber, InvalidOid, C_COLLATION_OID, equality, key);
    Oid index = get_relname_relid(psprintf("%s_pkey", name), schema());
    SysScanDesc scan = systable_beginscan(rel, index, OidIsValid(index), SnapshotSelf, 1, &equal);
    HeapTuple row = systable_getnext(scan);
    bool found = HeapTupleIsValid(row);
    if (found) body(row, RelationGetDescr(rel));
    systable_endscan(scan);
    table_close(rel, AccessShareLock);
    return found;
}

// Empties t.next, every column NULL: a new row, to be filled.
inline void new_row(table &t) {
    ExecClearTuple(t.next);
    memset(t.next->tts_isnull, true, RelationGetDescr(t.rel)->natts);
}

// Copies the slot's columns into t.next, to be changed there.
void copy_row(table &t, TupleTableSlot *from);

inline void set(table &t, int attribute, Datum value) {
    t.next->tts_values[attribute - 1] = value;
    t.next->tts_isnull[attribute - 1] = false;
}

inline void set_null(table &t, int attribute) {
    t.next->tts_values[attribute - 1] = 0;
    t.next->tts_isnull[attribute - 1] = true;
}

// Writes t.next as a new row where no arbiter can object.
void insert(table &t);

// The same, but some rows at a time, which spares WAL and visits to pages: not before insert_rest they are all there.
void insert_together(table &t);
void insert_rest(table &t);

// Writes t.next unless an arbiter knows its key; false then, and nothing is written. Others may wait for
// our speculative token, never longer.
bool insert_speculatively(table &t);

// Writes t.next over the version at tid, whose keys of unique indexes it has. With wait it must be locked by us already.
TM_Result update(table &t, ItemPointer tid, bool wait);

// The same where the new version may meet another one's key (it enters an index that the old one
// is not in): false when it does, and nothing is written.
bool update_speculatively(table &t, ItemPointer tid);

// Locks the newest version of the row at tid into t.held: TM_Ok, TM_WouldBlock (policy skip), TM_Deleted.
TM_Result lock_row(table &t, ItemPointer tid, LockTupleMode mode, LockWaitPolicy policy);

// What a dirty snapshot sees of the row of a key: its newest version, or somebody's uncommitted insert.
struct found_row {
    bool exists;
    ItemPointerData tid;
    TransactionId inserter;  // not yet committed; else invalid
    uint32 token;            // of a speculative insert that is under way; else 0
};
found_row find_for_write(table &t, const char *index, Oid equality, Datum key);

// Locks the row of the key into t.held, waiting for whoever writes or inserts it; false when there is none.
bool lock_for_write(table &t, const char *index, Oid equality, Datum key);

// INSERT … ON CONFLICT DO UPDATE for one row. Not as that statement, whose planner leaves out the twin that REINDEX
// CONCURRENTLY builds and which then raises 23505. fill(existing) fills t.next, from t.held when existing, and may
// say false: the row stays. Returns what fill said.
template <jumpable Fill>
bool upsert(table &t, const char *index, Oid equality, Datum key, Fill fill) {
    for (;;) {
        bool existing = lock_for_write(t, index, equality, key);
        if (existing) copy_row(t, t.held);
        if (!existing) {
            new_row(t);
        }
        if (!fill(existing)) return false;
        ItemPointerData tid = t.held->tts_tid;
        if (existing ? update(t, &tid, true) == TM_Ok : insert_speculatively(t)) break;
    }
    CommandCounterIncrement();
    return true;
}

// Was this version written by our own transaction?
bool is_ours(TupleTableSlot *slot);

}  // namespace chancy
