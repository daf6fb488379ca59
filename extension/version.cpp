// version: ALTER EXTENSION UPDATE with clients connected.
#include "version.hpp"

#include "change.hpp"

extern "C" {
#include "catalog/pg_extension.h"
#include "storage/latch.h"
#include "utils/wait_event.h"
}

namespace chancy {

namespace {

constexpr const char *library_version = CHANCY_VERSION;

bool preloaded = false;
// The jobs table when its version was last found right; every update of the extension invalidates it.
Oid checked = InvalidOid;

void forget_check(Datum, Oid relation) {
    if (!OidIsValid(relation) || relation == checked) checked = InvalidOid;
}

// The version in pg_extension, palloc'd; null inside CREATE EXTENSION and without an extension.
const char *installed_version() {
    Relation rel = table_open(ExtensionRelationId, AccessShareLock);
    ScanKeyData name;
    ScanKeyInit(&name, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ, CStringGetDatum("chancy"));
    SysScanDesc scan = systable_beginscan(rel, ExtensionNameIndexId, true, nullptr, 1, &name);
    const char *version = nullptr;
    if (HeapTuple row = systable_getnext(scan); HeapTupleIsValid(row)) {
        bool null;
        Datum value = heap_getattr(row, Anum_pg_extension_extversion, RelationGetDescr(rel), &null);
        if (!null) version = text_to_cstring(DatumGetTextPP(value));
    }
    systable_endscan(scan);
    table_close(rel, AccessShareLock);
    return version;
}

// Compares versions part by part: 0.10 is newer than 0.9.
bool is_newer(const char *a, const char *b) {
    for (;;) {
        char *a_end, *b_end;
        long a_part = strtol(a, &a_end, 10), b_part = strtol(b, &b_end, 10);
        if (a_part != b_part) return a_part > b_part;
        if (*a_end == '\0' || *b_end == '\0') return *a_end != '\0';
        a = a_end + 1;
        b = b_end + 1;
    }
}

[[noreturn]] void refuse_version(const char *installed) {
    const char *both = psprintf("the library of chancy is of version %s, the extension in this database of version %s",
                                library_version, installed);
    if (!is_newer(installed, library_version))
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errmsg("%s", both),
                        errhint("Run ALTER EXTENSION chancy UPDATE.")));
    if (preloaded)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errmsg("%s", both),
                        errhint("The library is in shared_preload_libraries: restart the server.")));
    ereport(FATAL, (errcode(ERRCODE_ADMIN_SHUTDOWN), errmsg("terminating connection: %s", both),
                    errhint("Connect again: the new connection loads the library that is installed now.")));
    pg_unreachable();
}

}  // namespace

void start_version() {
    preloaded = process_shared_preload_libraries_in_progress;
    CacheRegisterRelcacheCallback(forget_check, 0);
}

void check_version() {
    if (OidIsValid(checked) || creating_extension) return;  // the scripts themselves may call us half way
    Oid jobs = table_oid("jobs");
    const char *installed = installed_version();
    if (installed != nullptr && strcmp(installed, library_version) != 0) refuse_version(installed);
    checked = jobs;
}

namespace {

constexpr int64 one_wait = 200;     // ms, shorter than any sensible deadlock_timeout
constexpr int64 pause_between = 50; // ms, for those who have waited behind us
constexpr int64 give_up_after = 60; // s

// Locks jobs, for which it waits a moment while it holds nothing; then tries the others. All of them, or none.
bool lock_all(std::span<const Oid> tables) {
    MemoryContext context = CurrentMemoryContext;
    ResourceOwner resources = CurrentResourceOwner;
    volatile bool locked = false;
    BeginInternalSubTransaction(nullptr);
    MemoryContextSwitchTo(context);
    PG_TRY();
    {
        wait_until(GetCurrentTimestamp() + one_wait * 1000, [=] { LockRelationOid(tables[0], AccessExclusiveLock); });
        locked = std::all_of(tables.begin() + 1, tables.end(),
                             [](Oid table) { return ConditionalLockRelationOid(table, AccessExclusiveLock); });
    }
    PG_CATCH();
    {
        MemoryContextSwitchTo(context);
        ErrorData *error = CopyErrorData();
        RollbackAndReleaseCurrentSubTransaction();
        MemoryContextSwitchTo(context);
        CurrentResourceOwner = resources;
        if (error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE) PG_RE_THROW();
        FlushErrorState();
        return false;
    }
    PG_END_TRY();
    if (locked)
        ReleaseCurrentSubTransaction();
    else
        RollbackAndReleaseCurrentSubTransaction();
    MemoryContextSwitchTo(context);
    CurrentResourceOwner = resources;
    return locked;
}

// ACCESS EXCLUSIVE on the tables, named, jobs first, until the transaction ends: for upgrade scripts. A transaction may wait for jobs
// behind us and hold what one before us wants, so nothing is waited for longer than a moment.
void lock_tables(ArrayType *names) {
    Datum *elements;
    int count;
    deconstruct_array(names, TEXTOID, -1, false, TYPALIGN_INT, &elements, nullptr, &count);
    Oid *tables = static_cast<Oid *>(palloc(sizeof(Oid) * count));
    for (int i = 0; i < count; i++) tables[i] = table_oid(to_cstring(view(elements[i])));
    TimestampTz end = GetCurrentTimestamp() + give_up_after * USECS_PER_SEC;
    while (!lock_all({tables, static_cast<size_t>(count)})) {
        if (GetCurrentTimestamp() > end)
            ereport(ERROR, (errcode(ERRCODE_LOCK_NOT_AVAILABLE),
                            errmsg("chancy's tables were in use for %d s without a pause", static_cast<int>(give_up_after)),
                            errhint("End long transactions that have used the queue, or stop its workers, and try again.")));
        WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, pause_between, PG_WAIT_EXTENSION);
        ResetLatch(MyLatch);
        CHECK_FOR_INTERRUPTS();
    }
    // At the commit, other processes look again which version is installed.
    CacheInvalidateRelcacheByRelid(tables[0]);
}

}  // namespace

}  // namespace chancy

extern "C" {

// Without check_version(): it is there to tell of a drift.
PGDLLEXPORT Datum chancy_library_version(PG_FUNCTION_ARGS);
PG_FUNCTION_INFO_V1(chancy_library_version);
Datum chancy_library_version(PG_FUNCTION_ARGS) {
    PG_RETURN_DATUM(chancy::text_datum(chancy::view(chancy::library_version)));
}

CHANCY_FUNCTION(chancy_lock_tables) {
    chancy::lock_tables(PG_GETARG_ARRAYTYPE_P(0));
    PG_RETURN_VOID();
}
}
