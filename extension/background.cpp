// background: registration, shared memory, and the start of workers. launcher.cpp decides who starts when.
#include "background.hpp"

#include "compat.hpp"
#include "value.hpp"

extern "C" {
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/wait_event.h"
}

namespace chancy {

namespace {

constexpr int most_woken = 64;
constexpr const char *tranche = "chancy";

struct shared_memory {
    Latch *launcher;  // null: there is none
    uint32 generation;
    Oid woken[most_woken];
    int woken_count;  // above most_woken: too many to tell
    work_slot slots[most_slots];
};

// Null where the library was not preloaded.
shared_memory *shared = nullptr;
LWLock *lock = nullptr;
shmem_startup_hook_type next_startup = nullptr;
bool wake_at_commit = false;

template <typename Body>
void locked(Body body) {
    LWLockAcquire(lock, LW_EXCLUSIVE);
    body();
    LWLockRelease(lock);
}

void request_memory() {
    RequestAddinShmemSpace(MAXALIGN(sizeof(shared_memory)));
    RequestNamedLWLockTranche(tranche, 1);
}

void make_memory() {
    if (next_startup != nullptr) next_startup();
    bool found;
    LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
    shared = static_cast<shared_memory *>(ShmemInitStruct("chancy", sizeof(shared_memory), &found));
    if (!found) memset(shared, 0, sizeof(shared_memory));
    lock = &GetNamedLWLockTranche(tranche)->lock;
    LWLockRelease(AddinShmemInitLock);
}

void register_launcher() {
    BackgroundWorker worker{};
    worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
    // Not on a standby: there is nothing to do before it is promoted.
    worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
    worker.bgw_restart_time = 2;
    strlcpy(worker.bgw_library_name, "chancy", sizeof worker.bgw_library_name);
    strlcpy(worker.bgw_function_name, "chancy_launcher_main", sizeof worker.bgw_function_name);
    strlcpy(worker.bgw_name, "chancy launcher", sizeof worker.bgw_name);
    strlcpy(worker.bgw_type, "chancy launcher", sizeof worker.bgw_type);
    RegisterBackgroundWorker(&worker);
}

void wake_launcher() {
    locked([] {
        bool known = shared->woken_count > most_woken;
        for (int i = 0; i < shared->woken_count && !known; i++) known = shared->woken[i] == MyDatabaseId;
        if (!known) {
            if (shared->woken_count < most_woken) shared->woken[shared->woken_count] = MyDatabaseId;
            shared->woken_count++;
        }
        if (shared->launcher != nullptr) SetLatch(shared->launcher);
    });
}

void at_transaction(XactEvent event, void *) {
    if (!wake_at_commit || event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE) return;
    wake_at_commit = false;
    if (event == XACT_EVENT_COMMIT) wake_launcher();
}

void resign(int, Datum) {
    locked([] { shared->launcher = nullptr; });
}

}  // namespace

void start_background() {
    if (!process_shared_preload_libraries_in_progress) return;
    // pg_upgrade starts the old and the new server, and neither must change by itself.
    if (IsBinaryUpgrade) return;
    compat::request_shared_memory(request_memory);
    next_startup = shmem_startup_hook;
    shmem_startup_hook = make_memory;
    register_launcher();
    RegisterXactCallback(at_transaction, nullptr);
}

void wake_maintenance() { wake_at_commit = shared != nullptr; }

void become_launcher() {
    locked([] {
        shared->launcher = MyLatch;
        shared->generation++;
        for (work_slot &s : shared->slots) s = work_slot{};
    });
    on_shmem_exit(resign, 0);
}

int take_woken(Oid *databases, int most) {
    int count = 0;
    locked([&] {
        count = shared->woken_count > std::min(most, most_woken) ? -1 : shared->woken_count;
        for (int i = 0; i < count; i++) databases[i] = shared->woken[i];
        shared->woken_count = 0;
    });
    return count;
}

uint32 take_slot(int index, Oid database) {
    uint32 generation = 0;
    locked([&] {
        generation = ++shared->generation;
        shared->slots[index] = {database, generation, visit::working, 0};
    });
    return generation;
}

work_slot read_slot(int index) {
    work_slot slot{};
    locked([&] { slot = shared->slots[index]; });
    return slot;
}

void free_slot(int index) {
    locked([=] { shared->slots[index] = work_slot{}; });
}

void tell(int index, uint32 generation, visit how, TimestampTz next) {
    locked([=] {
        work_slot &slot = shared->slots[index];
        if (slot.generation != generation) return;
        slot.how = how;
        slot.next = next;
    });
}

BackgroundWorkerHandle *start_worker(const char *function, const char *type, const char *name, int argument, uint32 extra) {
    BackgroundWorker worker{};
    worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
    worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
    worker.bgw_restart_time = BGW_NEVER_RESTART;
    strlcpy(worker.bgw_library_name, "chancy", sizeof worker.bgw_library_name);
    strlcpy(worker.bgw_function_name, function, sizeof worker.bgw_function_name);
    strlcpy(worker.bgw_name, name, sizeof worker.bgw_name);
    strlcpy(worker.bgw_type, type, sizeof worker.bgw_type);
    worker.bgw_main_arg = Int32GetDatum(argument);
    memcpy(worker.bgw_extra, &extra, sizeof extra);
    worker.bgw_notify_pid = MyProcPid;
    BackgroundWorkerHandle *handle = nullptr;
    return RegisterDynamicBackgroundWorker(&worker, &handle) ? handle : nullptr;
}

void begin_worker(Oid database, const char *application, void (*on_stop)(int)) {
    pqsignal(SIGHUP, SignalHandlerForConfigReload);
    pqsignal(SIGTERM, on_stop);
    BackgroundWorkerUnblockSignals();
    if (OidIsValid(database))
        BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
    else
        BackgroundWorkerInitializeConnection(nullptr, nullptr, 0);
    // What ALTER DATABASE … SET may have said is for sessions.
    auto set = [](const char *name, const char *value) { SetConfigOption(name, value, PGC_SUSET, PGC_S_OVERRIDE); };
    set("application_name", application);
    set("default_transaction_read_only", "off");
    set("default_transaction_isolation", "read committed");
    set("session_replication_role", "origin");
}

}  // namespace chancy

extern "C" {

CHANCY_FUNCTION(chancy_wake_maintenance) {
    chancy::wake_maintenance();
    PG_RETURN_VOID();
}
}
