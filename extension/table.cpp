#include "table.hpp"

#include "compat.hpp"

namespace chancy {

Oid schema() { return get_namespace_oid("chancy", false); }

bool is_installed() { return OidIsValid(get_relname_relid("jobs", get_namespace_oid("chancy", true))); }

Oid table_oid(const char *name) {
    Oid oid = get_relname_relid(name, schema());
    if (!OidIsValid(oid))
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("table chancy.%s does not exist", name),
                        errhint("Run CREATE EXTENSION chancy.")));
    return oid;
}

Oid owner() {
    HeapTuple row = SearchSysCache1(RELOID, ObjectIdGetDatum(table_oid("jobs")));
    if (!HeapTupleIsValid(row)) elog(ERROR, "cache lookup failed for chancy.jobs");
    Oid oid = reinterpret_cast<Form_pg_class>(GETSTRUCT(row))->relowner;
    ReleaseSysCache(row);
    return oid;
}

namespace {

[[noreturn]] void refuse_table(Relation rel, const char *what, const char *name, const char *hint) {
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("chancy.%s has %s \"%s\", which direct writes cannot honour",
                           RelationGetRelationName(rel), what, name),
                    errhint("%s", hint)));
    pg_unreachable();
}

// Our own triggers (interop.cpp) are for Python's statements, not for us.
bool is_own(const Trigger *trigger) {
    return strcmp(trigger->tgname, "chancy_guard") == 0 || strcmp(trigger->tgname, "chancy_wake") == 0;
}

void check_honourable(Relation rel) {
    if (rel->trigdesc != nullptr)
        for (int i = 0; i < rel->trigdesc->numtriggers; i++) {
            Trigger *trigger = &rel->trigdesc->triggers[i];
            // Of a foreign key that points here only a changed or deleted key matters, and we do neither.
            if (trigger->tgenabled == TRIGGER_DISABLED || is_own(trigger)) continue;
            if (trigger->tgisinternal && trigger->tgfoid != F_RI_FKEY_CHECK_INS && trigger->tgfoid != F_RI_FKEY_CHECK_UPD)
                continue;
            // Of a step's workflow we hold the row.
            if (trigger->tgisinternal && trigger->tgconstrrelid == table_oid("workflows")) continue;
            if (!TRIGGER_FOR_INSERT(trigger->tgtype) && !TRIGGER_FOR_UPDATE(trigger->tgtype)) continue;
            refuse_table(rel, "the trigger", trigger->tgname, "Drop or disable it; LISTEN to chancy's events instead.");
        }
    if (rel->rd_rel->relforcerowsecurity)
        refuse_table(rel, "forced row security on", RelationGetRelationName(rel), "ALTER TABLE … NO FORCE ROW LEVEL SECURITY.");
    if (rel->rd_rules != nullptr)
        refuse_table(rel, "a rule on", RelationGetRelationName(rel), "Drop the rule; LISTEN to chancy's events instead.");
    if (rel->rd_rel->relhassubclass)
        refuse_table(rel, "a child of", RelationGetRelationName(rel), "Drop what inherits from it.");
    TupleDesc desc = RelationGetDescr(rel);
    if (desc->constr != nullptr && desc->constr->has_generated_stored)
        refuse_table(rel, "a generated column on", RelationGetRelationName(rel), "Drop it, or use a view.");
}

// REINDEX CONCURRENTLY builds a twin beside an index: of the same columns, with the same condition.
bool is_twin(Relation index, Relation of) {
    Form_pg_index a = index->rd_index, b = of->rd_index;
    return a->indnkeyatts == b->indnkeyatts &&
           memcmp(a->indkey.values, b->indkey.values, sizeof(int16) * a->indnkeyatts) == 0 &&
           equal(RelationGetIndexExpressions(index), RelationGetIndexExpressions(of)) &&
           equal(RelationGetIndexPredicate(index), RelationGetIndexPredicate(of));
}

bool is_own_unique(Relation index) {
    return index->rd_index->indisprimary || strcmp(RelationGetRelationName(index), "jobs_unique_key") == 0 ||
           strcmp(RelationGetRelationName(index), "workflow_steps_unique_idx") == 0 ||
           strcmp(RelationGetRelationName(index), "leader_worker_id_unique") == 0;
}

// A unique index of the user's would have to be waited for out of order.
void check_unique(table &t, Relation index) {
    if (!index->rd_index->indimmediate)
        refuse_table(t.rel, "the deferrable constraint", RelationGetRelationName(index), "Drop it.");
    if (is_own_unique(index)) return;
    for (int i = 0; i < t.rri->ri_NumIndices; i++) {
        Relation own = t.rri->ri_IndexRelationDescs[i];
        if (is_own_unique(own) && is_twin(index, own)) return;
    }
    refuse_table(t.rel, "the unique index", RelationGetRelationName(index), "Drop it: what must be unique belongs into unique_key.");
}

void prepare_row(table &t) {
    ExecStoreVirtualTuple(t.next);
    TupleConstr *constr = RelationGetDescr(t.rel)->constr;
    if (constr != nullptr && constr->num_check > 0) ExecConstraints(t.rri, t.next, t.estate);
}

constexpr int most_together = 100;

// What ExecInsertIndexTuples does with one index, where no other row can have the key, or an error is right. A new version has
// the keys of the old one: then nobody looks whether they are taken.
void insert_entry(table &t, int i, TupleTableSlot *row, bool fresh) {
    IndexInfo *info = t.rri->ri_IndexRelationInfo[i];
    if (!info->ii_ReadyForInserts) return;
    GetPerTupleExprContext(t.estate)->ecxt_scantuple = row;
    if (info->ii_Predicate != NIL) {
        if (info->ii_PredicateState == nullptr) info->ii_PredicateState = ExecPrepareQual(info->ii_Predicate, t.estate);
        if (!ExecQual(info->ii_PredicateState, GetPerTupleExprContext(t.estate))) return;
    }
    Datum values[INDEX_MAX_KEYS];
    bool nulls[INDEX_MAX_KEYS];
    FormIndexDatum(info, row, t.estate, values, nulls);
    Relation index = t.rri->ri_IndexRelationDescs[i];
    index_insert(index, values, nulls, &row->tts_tid, t.rel, fresh && index->rd_index->indisunique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO, false, info);
}

}  // namespace

table open(const char *name, bool primary_key) {
    table t{};
    t.rel = table_open(table_oid(name), RowExclusiveLock);
    check_honourable(t.rel);
    t.estate = CreateExecutorState();
    MemoryContext outer = MemoryContextSwitchTo(t.estate->es_query_cxt);
    t.rri = makeNode(ResultRelInfo);
    InitResultRelInfo(t.rri, t.rel, 0, nullptr, 0);
    ExecOpenIndices(t.rri, true);
    for (int i = 0; i < t.rri->ri_NumIndices; i++) {
        Form_pg_index index = t.rri->ri_IndexRelationDescs[i]->rd_index;
        if (index->indisexclusion)
            refuse_table(t.rel, "the constraint", RelationGetRelationName(t.rri->ri_IndexRelationDescs[i]), "Drop it.");
        if (!index->indisunique) continue;
        check_unique(t, t.rri->ri_IndexRelationDescs[i]);
        // Invalid ones too: the twin that REINDEX CONCURRENTLY builds raises 23505 otherwise.
        if (primary_key || !index->indisprimary)
            t.arbiters = lappend_oid(t.arbiters, index->indexrelid);
    }
    t.next = MakeSingleTupleTableSlot(RelationGetDescr(t.rel), &TTSOpsVirtual);
    t.found = table_slot_create(t.rel, nullptr);
    t.held = table_slot_create(t.rel, nullptr);
    t.copy = MakeSingleTupleTableSlot(RelationGetDescr(t.rel), &TTSOpsHeapTuple);
    MemoryContextSwitchTo(outer);
    return t;
}

void close(table &t) {
    for (int i = 0; t.together != nullptr && i <= most_together; i++)
        if (t.together[i] != nullptr && t.together[i] != t.next) ExecDropSingleTupleTableSlot(t.together[i]);
    ExecDropSingleTupleTableSlot(t.copy);
    ExecDropSingleTupleTableSlot(t.held);
    ExecDropSingleTupleTableSlot(t.found);
    ExecDropSingleTupleTableSlot(t.next);
    ExecCloseIndices(t.rri);
    FreeExecutorState(t.estate);
    table_close(t.rel, NoLock);
}

Relation table::index(const char *name) const {
    for (int i = 0; i < rri->ri_NumIndices; i++) {
        Relation index = rri->ri_IndexRelationDescs[i];
        if (index->rd_index->indisvalid && strcmp(RelationGetRelationName(index), name) == 0) return index;
    }
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("index chancy.%s is missing or invalid", name),
                    errhint("REINDEX it, or create it again as the extension's script does.")));
    pg_unreachable();
}

lookup begin_lookup(table &t, const char *index, Oid equality, Oid collation, Snapshot snapshot) {
    lookup l{};
    l.scan = compat::begin_index_scan(t.rel, t.index(index), snapshot, OidIsValid(equality) ? 1 : 0);
    if (OidIsValid(equality))
        ScanKeyEntryInitialize(&l.key, 0, 1, BTEqualStrategyNumber, InvalidOid, collation, equality, 0);
    return l;
}

void seek(lookup &l, Datum value) {
    l.key.sk_argument = value;
    index_rescan(l.scan, &l.key, 1, nullptr, 0);
}

bool find(table &t, lookup &l, Datum key, TupleTableSlot *slot) {
    seek(l, key);
    if (index_getnext_slot(l.scan, ForwardScanDirection, slot)) return true;
    auto look = [&](Snapshot snapshot) {
        IndexScanDesc scan = compat::begin_index_scan(t.rel, l.scan->indexRelation, snapshot, 1);
        index_rescan(scan, &l.key, 1, nullptr, 0);
        bool found = index_getnext_slot(scan, ForwardScanDirection, slot);
        index_endscan(scan);
        return found;
    };
    // No version at all: no such row. (Asking an MVCC snapshot would take a predicate lock on the gap, and
    // fail serializable transactions for nobody's fault.)
    if (!look(SnapshotAny)) return false;
    // SnapshotSelf can miss a row that is updated while we look: the old version is dead already, the
    // new one's index entry came behind us. A fresh MVCC snapshot sees exactly one of the two.
    Snapshot fresh = RegisterSnapshot(GetLatestSnapshot());
    bool found = look(fresh);
    UnregisterSnapshot(fresh);
    return found;
}

void copy_row(table &t, TupleTableSlot *from) {
    slot_getallattrs(from);
    ExecClearTuple(t.next);
    int columns = RelationGetDescr(t.rel)->natts;
    memcpy(t.next->tts_values, from->tts_values, columns * sizeof(Datum));
    memcpy(t.next->tts_isnull, from->tts_isnull, columns * sizeof(bool));
}

void insert(table &t) {
    prepare_row(t);
    table_tuple_insert(t.rel, t.next, GetCurrentCommandId(true), 0, nullptr);
    for (int i = 0; i < t.rri->ri_NumIndices; i++) insert_entry(t, i, t.next, true);
    ResetPerTupleExprContext(t.estate);
}

void insert_together(table &t) {
    if (t.together == nullptr) {
        t.together = static_cast<TupleTableSlot **>(MemoryContextAllocZero(t.estate->es_query_cxt, sizeof(TupleTableSlot *) * (most_together + 1)));
        t.together[0] = t.next;
    }
    prepare_row(t);
    if (++t.waiting == most_together) return insert_rest(t);
    TupleTableSlot *&next = t.together[t.waiting];
    if (next == nullptr) {
        MemoryContext outer = MemoryContextSwitchTo(t.estate->es_query_cxt);
        next = MakeSingleTupleTableSlot(RelationGetDescr(t.rel), &TTSOpsVirtual);
        MemoryContextSwitchTo(outer);
    }
    t.next = next;
}

void insert_rest(table &t) {
    if (t.waiting == 0) return;
    table_multi_insert(t.rel, t.together, t.waiting, GetCurrentCommandId(true), 0, nullptr);
    // One index after the other: neighbours in the batch are mostly neighbours there.
    for (int i = 0; i < t.rri->ri_NumIndices; i++)
        for (TupleTableSlot *row : std::span(t.together, t.waiting)) insert_entry(t, i, row, true);
    ResetPerTupleExprContext(t.estate);
    t.waiting = 0;
    t.next = t.together[0];
}

bool insert_speculatively(table &t) {
    prepare_row(t);
    TransactionId xid = GetCurrentTransactionId();
    uint32 token = SpeculativeInsertionLockAcquire(xid);
    table_tuple_insert_speculative(t.rel, t.next, GetCurrentCommandId(true), 0, nullptr, token);
    bool conflict = false;
    compat::insert_index_entries(t.rri, t.next, t.estate, false, true, &conflict, t.arbiters);
    table_tuple_complete_speculative(t.rel, t.next, token, !conflict);
    SpeculativeInsertionLockRelease(xid);
    ResetPerTupleExprContext(t.estate);
    return !conflict;
}

TM_Result update(table &t, ItemPointer tid, bool wait) {
    prepare_row(t);
    TM_FailureData failure;
    bool indexes = false;
    TM_Result result = compat::update_tuple(t.rel, tid, t.next, GetCurrentCommandId(true), wait, &failure, &indexes);
    if (result == TM_Ok && indexes)
        for (int i = 0; i < t.rri->ri_NumIndices; i++) insert_entry(t, i, t.next, false);
    ResetPerTupleExprContext(t.estate);
    return result;
}

bool update_speculatively(table &t, ItemPointer tid) {
    // An update has no speculative form, so a subtransaction takes it back. PG_TRY only to roll it
    // back before the error goes on: a connection must not be left inside it.
    MemoryContext context = CurrentMemoryContext;
    ResourceOwner resources = CurrentResourceOwner;
    volatile bool written = false;
    BeginInternalSubTransaction(nullptr);
    MemoryContextSwitchTo(context);
    PG_TRY();
    {
        prepare_row(t);
        TM_FailureData failure;
        bool indexes = false, conflict = false;
        TM_Result result =
            compat::update_tuple(t.rel, tid, t.next, GetCurrentCommandId(true), true, &failure, &indexes);
        if (result != TM_Ok) elog(ERROR, "a locked row of chancy.%s changed (%d)", RelationGetRelationName(t.rel), result);
        compat::insert_index_entries(t.rri, t.next, t.estate, true, true, &conflict, t.arbiters);
        written = !conflict;
        ResetPerTupleExprContext(t.estate);
    }
    PG_CATCH();
    {
        RollbackAndReleaseCurrentSubTransaction();
        MemoryContextSwitchTo(context);
        CurrentResourceOwner = resources;
        PG_RE_THROW();
    }
    PG_END_TRY();
    if (written)
        ReleaseCurrentSubTransaction();
    else
        RollbackAndReleaseCurrentSubTransaction();
    MemoryContextSwitchTo(context);
    CurrentResourceOwner = resources;
    return written;
}

TM_Result lock_row(table &t, ItemPointer tid, LockTupleMode mode, LockWaitPolicy policy) {
    TM_FailureData failure;
    ItemPointerData copy = *tid;  // the call writes the newest version's place into it
    return table_tuple_lock(t.rel, &copy, SnapshotSelf, t.held, GetCurrentCommandId(true), mode, policy,
                            TUPLE_LOCK_FLAG_FIND_LAST_VERSION, &failure);
}

found_row find_for_write(table &t, const char *index, Oid equality, Datum key) {
    SnapshotData dirty;
    InitDirtySnapshot(dirty);
    lookup by_key = begin_lookup(t, index, equality, C_COLLATION_OID, &dirty);
    seek(by_key, key);
    found_row row{};
    row.exists = index_getnext_slot(by_key.scan, ForwardScanDirection, t.found);
    if (row.exists) {
        row.tid = t.found->tts_tid;
        row.inserter = dirty.xmin;
        row.token = dirty.speculativeToken;
    }
    end_lookup(by_key);
    return row;
}

bool lock_for_write(table &t, const char *index, Oid equality, Datum key) {
    CommandCounterIncrement();  // what this command has written already can be locked only after it
    for (;;) {
        CHECK_FOR_INTERRUPTS();
        found_row row = find_for_write(t, index, equality, key);
        if (!row.exists) return false;
        if (!TransactionIdIsValid(row.inserter)) {
            if (lock_row(t, &row.tid, LockTupleNoKeyExclusive, LockWaitBlock) == TM_Ok) return true;
        } else if (row.token != 0) {
            SpeculativeInsertionWait(row.inserter, row.token);
        } else {
            XactLockTableWait(row.inserter, t.rel, &row.tid, XLTW_InsertIndex);
        }
    }
}

bool is_ours(TupleTableSlot *slot) {
    bool null;
    Datum xmin = slot_getsysattr(slot, MinTransactionIdAttributeNumber, &null);
    return TransactionIdIsCurrentTransactionId(DatumGetTransactionId(xmin));
}

}  // namespace chancy
