// background: the launcher, which sees to it that maintain() runs in every database that has the extension.
//
// It is connected to no database. It knows the databases from pg_database, and sends a worker into each: the worker looks whether
// the extension is there, runs what is due (visit.cpp), tells when to come again, and disconnects; so DROP DATABASE is
// not held up. A database without the extension is visited again when CREATE EXTENSION asks for it, and now and then. Between two visits the launcher sleeps
// until the next is due.
#include "background.hpp"
#include "setting.hpp"
#include "value.hpp"

extern "C" {
#include "access/heapam.h"
#include "catalog/pg_database.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/wait_event.h"
}

namespace chancy {

namespace {

constexpr int64 pause_between = USECS_PER_SEC;        // between two visits of one database: DROP DATABASE gets a chance
constexpr int64 retry_after = USECS_PER_SEC;          // when no worker could be started
constexpr int64 complain_after = 5 * USECS_PER_SEC;    // when a database is overdue because of that
constexpr int64 longest_absence = USECS_PER_HOUR;     // for databases without the extension, and where visits fail

struct database {
    Oid oid;
    NameData name;
    bool seen;        // in the last look at pg_database
    bool woken;       // asked for while a visit was under way
    int slot;         // of the visit under way; -1: none
    int in_vain;      // visits in a row that failed or found no extension
    TimestampTz next;
};

struct visiting {
    BackgroundWorkerHandle *handle;  // null: the slot is free
    Oid database;
};

// All in TopMemoryContext.
database *databases = nullptr;
int database_count = 0, database_capacity = 0;
visiting visits[most_slots];
TimestampTz start_after = 0;  // no worker could be started: not before this
bool told_full = false;

database *find_database(Oid oid) {
    database *end = databases + database_count;
    database *found = std::find_if(databases, end, [=](const database &d) { return d.oid == oid; });
    return found == end ? nullptr : found;
}

void note_database(Form_pg_database row, TimestampTz now) {
    database *d = find_database(row->oid);
    if (d == nullptr) {
        make_room(databases, database_count, database_capacity, TopMemoryContext);
        d = &databases[database_count++];
        *d = database{};
        d->oid = row->oid;
        d->slot = -1;
        d->next = now;
    }
    d->name = row->datname;
    d->seen = true;
}

// Templates are left alone: a connection to one fails CREATE DATABASE. A connection limit of -2 marks what an interrupted DROP
// DATABASE has left.
void look_at_databases(TimestampTz now) {
    for (int i = 0; i < database_count; i++) databases[i].seen = false;
    StartTransactionCommand();
    GetTransactionSnapshot();
    Relation rel = table_open(DatabaseRelationId, AccessShareLock);
    TableScanDesc scan = table_beginscan_catalog(rel, 0, nullptr);
    while (HeapTuple row = heap_getnext(scan, ForwardScanDirection)) {
        auto form = reinterpret_cast<Form_pg_database>(GETSTRUCT(row));
        if (form->datallowconn && !form->datistemplate && form->datconnlimit != -2) note_database(form, now);
    }
    table_endscan(scan);
    table_close(rel, AccessShareLock);
    CommitTransactionCommand();
    database *kept = std::remove_if(databases, databases + database_count, [](const database &d) { return !d.seen && d.slot < 0; });
    database_count = static_cast<int>(kept - databases);
}

void hear_woken(TimestampTz now) {
    Oid woken[most_slots];
    int count = take_woken(woken, most_slots);
    auto wake = [=](database &d) {
        d.in_vain = 0;
        d.next = now;
        d.woken = d.slot >= 0;  // the visit under way may have looked already
    };
    if (count < 0)
        for (int i = 0; i < database_count; i++) wake(databases[i]);
    for (int i = 0; i < count; i++)
        if (database *d = find_database(woken[i])) wake(*d);
}

int64 interval() { return setting.maintenance_interval * USECS_PER_SEC; }

void end_visit(int slot, TimestampTz now) {
    work_slot told = read_slot(slot);
    database *d = find_database(visits[slot].database);
    pfree(visits[slot].handle);
    visits[slot] = visiting{};
    free_slot(slot);
    start_after = 0;
    if (d == nullptr) return;
    d->slot = -1;
    d->in_vain = told.how == visit::done ? 0 : d->in_vain + 1;
    if (told.how == visit::done)
        d->next = std::max(now + pause_between, told.next);
    else
        d->next = now + std::min(interval() << std::min(d->in_vain - 1, 20), longest_absence);
    if (d->woken) d->next = now + pause_between;
    d->woken = false;
}

void end_visits(TimestampTz now) {
    for (int i = 0; i < most_slots; i++) {
        pid_t pid;
        if (visits[i].handle != nullptr && GetBackgroundWorkerPid(visits[i].handle, &pid) == BGWH_STOPPED) end_visit(i, now);
    }
}

int free_visit() {
    for (int i = 0; i < setting.maintenance_workers; i++)
        if (visits[i].handle == nullptr) return i;
    return -1;
}

// The database that has waited longest; null when none is due.
database *next_database() {
    database *first = nullptr;
    for (int i = 0; i < database_count; i++) {
        database &d = databases[i];
        if (d.seen && d.slot < 0 && (first == nullptr || d.next < first->next)) first = &d;
    }
    return first;
}

bool begin_visit(database &d, int slot) {
    uint32 generation = take_slot(slot, d.oid);
    const char *name = psprintf("chancy maintenance of database \"%s\"", NameStr(d.name));
    MemoryContext outer = MemoryContextSwitchTo(TopMemoryContext);
    BackgroundWorkerHandle *handle = start_worker("chancy_visit_main", "chancy maintenance", name, slot, generation);
    MemoryContextSwitchTo(outer);
    if (handle == nullptr) {
        free_slot(slot);
        return false;
    }
    visits[slot] = {handle, d.oid};
    d.slot = slot;
    return true;
}

void begin_visits(TimestampTz now) {
    if (now < start_after) return;
    for (int slot; (slot = free_visit()) >= 0;) {
        database *d = next_database();
        if (d == nullptr || d->next > now) return;
        bool overdue = now - d->next > complain_after;
        if (begin_visit(*d, slot)) {
            if (!overdue) told_full = false;
            continue;
        }
        start_after = now + retry_after;
        if (overdue && !told_full)
            ereport(LOG, (errmsg("chancy could not start a background worker for maintenance"),
                          errhint("All max_worker_processes are taken. It goes on trying; raise the setting if this lasts.")));
        told_full = told_full || overdue;
        return;
    }
}

// How long to sleep, in ms: until the next visit is due, and at most an interval, to see new databases.
long time_to_sleep(TimestampTz now) {
    TimestampTz until = now + interval();
    if (setting.maintenance && free_visit() >= 0)
        if (database *d = next_database()) until = std::min(until, std::max(d->next, start_after));
    return static_cast<long>(std::max<int64>((until - now + 999) / 1000, 0));
}

[[noreturn]] void launch() {
    MemoryContext work = AllocSetContextCreate(TopMemoryContext, "chancy launcher", ALLOCSET_DEFAULT_SIZES);
    become_launcher();
    for (;;) {
        CHECK_FOR_INTERRUPTS();
        if (ShutdownRequestPending) proc_exit(1);  // not 0: somebody's pg_terminate_backend is not for good
        if (ConfigReloadPending) {
            ConfigReloadPending = false;
            ProcessConfigFile(PGC_SIGHUP);
        }
        MemoryContextSwitchTo(work);
        MemoryContextReset(work);
        TimestampTz now = GetCurrentTimestamp();
        end_visits(now);
        if (setting.maintenance) {
            pgstat_report_activity(STATE_RUNNING, "looking at databases");
            look_at_databases(now);
            MemoryContextSwitchTo(work);
            hear_woken(now);
            begin_visits(now);
            pgstat_report_activity(STATE_IDLE, nullptr);
        }
        WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, time_to_sleep(GetCurrentTimestamp()), PG_WAIT_EXTENSION);
        ResetLatch(MyLatch);
    }
}

}  // namespace

}  // namespace chancy

extern "C" {

PGDLLEXPORT void chancy_launcher_main(Datum);
void chancy_launcher_main(Datum) {
    chancy::begin_worker(InvalidOid, "chancy launcher", SignalHandlerForShutdownRequest);
    chancy::launch();
}
}
