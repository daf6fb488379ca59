// Background workers: what the launcher, the workers in databases and ordinary backends share.
//
// Only where the library is in shared_preload_libraries; everywhere else nothing here does anything.
#pragma once

#include "postgres.hpp"

extern "C" {
#include "postmaster/bgworker.h"
}

namespace chancy {

// Called once, when the library is loaded: registers the launcher while the server starts.
void start_background();

// Asks the launcher, when this transaction commits, to look at this database now: the extension has come, or a task is
// due earlier than it was. Costs nothing without a launcher.
void wake_maintenance();

// ---- for the launcher and its workers

constexpr int most_slots = 64;

// How a worker in a database ended.
enum class visit : uint8 {
    working,  // not yet, or it died before it could tell
    absent,   // the database does not have the extension
    done,
    failed,   // an error; it is in the log
};

// What the launcher gives to a worker, and the worker tells it. Free when database is invalid.
struct work_slot {
    Oid database;
    uint32 generation;  // a worker of an earlier launcher may still be there: it writes into no other's slot
    visit how;
    TimestampTz next;  // when the database is to be visited again
};

// Names this process as the launcher, to be woken, until it exits, and frees all slots.
void become_launcher();

// Takes the databases that asked to be looked at, at most `most`; -1: too many to tell, look at all.
int take_woken(Oid *databases, int most);

uint32 take_slot(int index, Oid database);
work_slot read_slot(int index);
void free_slot(int index);
void tell(int index, uint32 generation, visit how, TimestampTz next);

// Starts a dynamic worker; null when max_worker_processes are there already. argument and extra reach it as
// bgw_main_arg and bgw_extra; this process is told when it starts and ends.
BackgroundWorkerHandle *start_worker(const char *function, const char *type, const char *name, int argument, uint32 extra);

// Every worker of ours begins with this. database invalid: shared catalogs only. on_stop is what SIGTERM calls.
void begin_worker(Oid database, const char *application, void (*on_stop)(int));

}  // namespace chancy
