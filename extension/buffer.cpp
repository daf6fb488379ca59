#include "buffer.hpp"

#include "event.hpp"
#include "queue.hpp"
#include "rows.hpp"
#include "setting.hpp"
#include "tally.hpp"
#include "wakeup.hpp"
#include "workflow.hpp"

namespace chancy {

namespace {

// A list in the transaction's memory, in the order of calls; trivially copyable elements.
template <typename T>
struct list {
    T *items;
    int count, capacity;

    T &add() {
        make_room(items, count, capacity, buffer_memory());
        return items[count++] = T{};
    }
    T &last() { return items[count - 1]; }
};

struct call {
    SubTransactionId made_in;  // dropped when this subtransaction rolls back
    const char *name;
    std::span<change> changes;
    deleted_queue queue;  // of delete_queue; otherwise its name is null
    const workflow_change *workflow;  // of calls of workflows; otherwise null
};

// A flush: the calls before upto are made. When the subtransaction rolls back, they are to be made again.
struct flushed {
    SubTransactionId made_in;
    int upto;
};

struct event {
    SubTransactionId made_in;
    const char *payload;
    bytes wakes;  // the queue; data null when it is no wake-up
};

// What became of a reserved id.
struct push_outcome {
    SubTransactionId made_in;
    pg_uuid_t reserved, id;
    bool created, withdrawn;
};

struct counted {
    SubTransactionId made_in;
    tally what;
};

// Lives in TopTransactionContext, and is forgotten at the end of the transaction.
struct transaction {
    MemoryContext memory;
    list<call> calls;
    list<event> events;
    list<push_outcome> pushes;
    list<flushed> flushes;
    list<counted> tallies;
    int changes;                   // in calls, for the order
    SubTransactionId locks_since;  // the subtransaction that took our first lock; 0: none
    bool writes_kept;              // tallies of earlier transactions

    int made() { return flushes.count > 0 ? flushes.last().upto : 0; }
};
transaction current;

// What pushed() shows, in TopMemoryContext; next replaces it when the commit is through.
struct pushes_made {
    push_outcome *items;
    int count;
};
pushes_made last_commit, this_commit;

}  // namespace

namespace {

// Is the call part of a SELECT that the client itself sent? Then the statement is all that the transaction
// does. Functions, procedures, triggers, DO blocks and statements that write are not: they go on to take other locks.
// (The portal's own snapshot is the active one only there; whatever runs inside pushes another.)
bool is_client_statement() {
    return PortalIsValid(ActivePortal) && ActivePortal->strategy == PORTAL_ONE_SELECT && ActivePortal->queryDesc != nullptr &&
           ActiveSnapshotSet() && GetActiveSnapshot() == ActivePortal->queryDesc->snapshot;
}

}  // namespace

moment when() {
    switch (static_cast<push_mode>(setting.mode)) {
        case push_mode::immediate:
            return moment::now;
        case push_mode::at_commit:
            return moment::commit;
        case push_mode::automatic:
            break;
    }
    // A transaction that has an xid has written or locked something already.
    if (IsTransactionBlock() || TransactionIdIsValid(GetTopTransactionIdIfAny())) return moment::commit;
    return is_client_statement() ? moment::now : moment::commit;
}

MemoryContext buffer_memory() {
    if (current.memory == nullptr)
        current.memory = AllocSetContextCreate(TopTransactionContext, "chancy buffer", ALLOCSET_DEFAULT_SIZES);
    return current.memory;
}

void buffer(const char *name, std::span<change> changes) {
    if (changes.empty()) return;
    call &c = current.calls.add();
    c.made_in = GetCurrentSubTransactionId();
    c.name = name;
    c.changes = changes;
    for (change &one : changes) {
        one.call = current.calls.count - 1;
        one.order = current.changes++;
    }
}

void buffer_delete(const deleted_queue &queue) {
    call &c = current.calls.add();
    c.made_in = GetCurrentSubTransactionId();
    c.name = "delete_queue";
    c.queue = queue;
    c.queue.call = current.calls.count - 1;
}

void buffer_workflow(const char *name, const workflow_change &workflow) {
    call &c = current.calls.add();
    c.made_in = GetCurrentSubTransactionId();
    c.name = name;
    c.workflow = &workflow;
}

bool delete_is_buffered(bytes queue) {
    for (int i = current.made(); i < current.calls.count; i++)
        if (current.calls.items[i].queue.name.data != nullptr && current.calls.items[i].queue.name == queue) return true;
    return false;
}

void buffer_event(const char *payload, bytes wakes) {
    // A transaction often says the same again; PostgreSQL drops what this short look leaves of that.
    SubTransactionId now = GetCurrentSubTransactionId();
    for (int i = current.events.count - 1; i >= std::max(0, current.events.count - 8); i--)
        if (current.events.items[i].made_in == now && strcmp(current.events.items[i].payload, payload) == 0) return;
    event &e = current.events.add();
    e.made_in = now;
    e.payload = MemoryContextStrdup(buffer_memory(), payload);
    if (wakes.data != nullptr) e.wakes = {MemoryContextStrdup(buffer_memory(), to_cstring(wakes)), wakes.size};
}

void take_back_event(const char *payload) {
    if (current.events.count == 0) return;
    const event &last = current.events.last();
    if (last.made_in == GetCurrentSubTransactionId() && strcmp(last.payload, payload) == 0) current.events.count--;
}

void note_locks() {
    if (current.locks_since == InvalidSubTransactionId) current.locks_since = GetCurrentSubTransactionId();
}

void write_kept_tallies() {
    if (has_kept_tallies()) current.writes_kept = true;
}

void keep_tallies(const tallies &t) {
    if (setting.metrics_interval < 0) return;
    for (int i = 0; i < t.count; i++) {
        counted &c = current.tallies.add();
        c.made_in = GetCurrentSubTransactionId();
        c.what = t.items[i];
        auto keep = [](bytes &b) {
            char *data = static_cast<char *>(MemoryContextAlloc(buffer_memory(), std::max(b.size, 1)));
            memcpy(data, b.data, b.size);
            b.data = data;
        };
        keep(c.what.queue);
        keep(c.what.func);
    }
}

namespace {

// An error in the flush names the call that it comes from.
void name_call(void *argument) {
    const change *c = *static_cast<const change *const *>(argument);
    if (c == nullptr)
        errcontext("chancy's writes at commit");
    else
        errcontext("chancy.%s(), buffered call %d of this transaction, element %d, written at commit",
                   current.calls.items[c->call].name, c->call + 1, c->element);
}

// What a handler wrote in this transaction counts exactly once or not at all: its result must apply.
void check_results(std::span<change> changes, const change **at) {
    for (change &c : changes) {
        if (c.kind != change_kind::result || c.is == verdict::applied) continue;
        *at = &c;
        char *id = DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&c.id)));
        if (c.is == verdict::locked)
            ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
                            errmsg("job %s is locked by another transaction", id), errhint("Retry the transaction.")));
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("the result of job %s does not apply: %s", id, name(c.is)),
                        errhint("Another attempt owns the job, or it was cancelled; what this transaction did is undone.")));
    }
}

// Gathers the calls from begin to end. The copies take the verdicts: what a savepoint takes back is made
// again from the originals.
std::span<change> take_changes(int begin, int end) {
    size_t count = 0;
    for (int i = begin; i < end; i++) count += current.calls.items[i].changes.size();
    auto *changes = static_cast<change *>(palloc_extended(sizeof(change) * (count + 1), MCXT_ALLOC_HUGE));
    change *last = changes;
    for (int i = begin; i < end; i++)
        last = std::copy(current.calls.items[i].changes.begin(), current.calls.items[i].changes.end(), last);
    return {changes, count};
}

std::span<workflow_change> take_workflows(int begin, int end) {
    auto *workflows = static_cast<workflow_change *>(palloc(sizeof(workflow_change) * (end - begin + 1)));
    size_t count = 0;
    for (int i = begin; i < end; i++)
        if (const workflow_change *w = current.calls.items[i].workflow; w != nullptr) {
            workflows[count] = *w;
            workflows[count++].call = i;
        }
    return {workflows, count};
}

void flush_changes(std::span<change> changes, std::span<workflow_change> workflows, const policy &how) {
    if (changes.empty() && workflows.empty()) return;
    auto *reserved = static_cast<pg_uuid_t *>(palloc_extended(sizeof(pg_uuid_t) * changes.size(), MCXT_ALLOC_HUGE));
    for (size_t i = 0; i < changes.size(); i++) reserved[i] = changes[i].id;
    with_jobs([&](table &jobs) { apply_workflows(jobs, workflows, changes, how); });
    check_results(changes, how.at);
    *how.at = nullptr;
    for (size_t i = 0; i < changes.size(); i++) {
        const change &c = changes[i];
        if (c.kind == change_kind::push)
            current.pushes.add() = {GetCurrentSubTransactionId(), reserved[i], c.id, c.is == verdict::created,
                                    c.is == verdict::withdrawn};
    }
}

// Queues come after jobs in the order of resources, among themselves by name; then deletes wait for nobody.
void flush_deletes(int begin, int end, const policy &how) {
    auto *queues = static_cast<deleted_queue *>(palloc(sizeof(deleted_queue) * (end - begin + 1)));
    size_t count = 0;
    for (int i = begin; i < end; i++)
        if (current.calls.items[i].queue.name.data != nullptr) queues[count++] = current.calls.items[i].queue;
    if (count > 0) delete_queues({queues, count}, how);
}

// Makes all buffered calls now, with the owner's rights: those of the moment may have changed since the
// calls, which were checked then. May wait only if the transaction holds no lock of ours (rule 2).
void flush(bool at_commit) {
    // A transaction that drops the extension takes its buffered calls along.
    if (!is_installed()) return;
    const change *at = nullptr;
    ErrorContextCallback context{error_context_stack, name_call, &at};
    error_context_stack = &context;
    TimestampTz deadline =
        at_commit && setting.flush_timeout > 0 ? GetCurrentTimestamp() + setting.flush_timeout * INT64CONST(1000) : 0;
    with_owner([&] {
        with_memory("chancy flush", [&] {
            while (current.made() < current.calls.count) {
                int begin = current.made(), end = current.calls.count;
                current.flushes.add() = {GetCurrentSubTransactionId(), end};
                // A snapshot keeps old versions of rows in place from the look-up to the lock.
                PushActiveSnapshot(GetTransactionSnapshot());
                permit all{true, nullptr, 0};
                policy how{current.locks_since == InvalidSubTransactionId ? waiting::allowed : waiting::never, deadline,
                           all, &at};
                flush_changes(take_changes(begin, end), take_workflows(begin, end), how);
                flush_deletes(begin, end, how);
                PopActiveSnapshot();
            }
        });
    });
    error_context_stack = context.previous;
}

void keep_pushes() {
    this_commit = {};
    if (current.pushes.count == 0) return;
    size_t size = sizeof(push_outcome) * current.pushes.count;
    this_commit.items = static_cast<push_outcome *>(MemoryContextAllocHuge(TopMemoryContext, size));
    this_commit.count = current.pushes.count;
    memcpy(this_commit.items, current.pushes.items, size);
}

void send_events() {
    if (current.events.count == 0 || !is_installed()) return;
    auto *all = static_cast<outgoing *>(palloc(sizeof(outgoing) * current.events.count));
    for (int i = 0; i < current.events.count; i++) {
        const event &e = current.events.items[i];
        all[i] = {e.payload, e.wakes.data == nullptr || wake(e.wakes)};
    }
    send({all, static_cast<size_t>(current.events.count)});
    current.events.count = 0;
}

void settle(bool prepare) {
    if (current.tallies.count == 0 && !current.writes_kept) return;
    auto *made = static_cast<tally *>(palloc(sizeof(tally) * (current.tallies.count + 1)));
    for (int i = 0; i < current.tallies.count; i++) made[i] = current.tallies.items[i].what;
    settle_tallies({made, static_cast<size_t>(current.tallies.count)}, prepare);
}

void end_transaction(bool committed) {
    if (committed && this_commit.items != nullptr) {
        if (last_commit.items != nullptr) pfree(last_commit.items);
        last_commit = this_commit;
    } else if (this_commit.items != nullptr) {
        pfree(this_commit.items);
    }
    this_commit = {};
    current = {};  // its memory goes with the transaction's
}

void at_transaction(XactEvent event, void *) {
    switch (event) {
        case XACT_EVENT_PRE_COMMIT:
            if (current.calls.count > 0) flush(true);
            keep_pushes();
            settle(false);
            send_events();
            break;
        case XACT_EVENT_PRE_PREPARE:
            // NOTIFY cannot be prepared: polling finds the jobs of a prepared transaction.
            if (current.calls.count > 0) flush(true);
            settle(true);
            break;
        case XACT_EVENT_COMMIT:
            tallies_committed();
            end_transaction(true);
            break;
        case XACT_EVENT_PREPARE:
            // pushed() must not show an older commit as this one.
            last_commit.count = 0;
            end_transaction(false);
            break;
        case XACT_EVENT_ABORT:
            tallies_aborted();
            end_transaction(false);
            break;
        default:
            break;
    }
}

template <typename T>
void drop(list<T> &l, SubTransactionId aborted) {
    while (l.count > 0 && l.last().made_in == aborted) l.count--;
}

// What a subtransaction made stands at the end of each list, so this touches no more than that.
template <typename T>
void hand_up(list<T> &l, SubTransactionId committed, SubTransactionId parent) {
    for (int i = l.count - 1; i >= 0 && l.items[i].made_in == committed; i--) l.items[i].made_in = parent;
}

void at_subtransaction(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *) {
    if (current.memory == nullptr && current.locks_since == InvalidSubTransactionId) return;
    if (event == SUBXACT_EVENT_ABORT_SUB) {
        drop(current.calls, mine);
        drop(current.events, mine);
        drop(current.pushes, mine);
        drop(current.flushes, mine);
        drop(current.tallies, mine);
        if (current.locks_since == mine) current.locks_since = InvalidSubTransactionId;
    } else if (event == SUBXACT_EVENT_COMMIT_SUB) {
        hand_up(current.calls, mine, parent);
        hand_up(current.events, mine, parent);
        hand_up(current.pushes, mine, parent);
        hand_up(current.flushes, mine, parent);
        hand_up(current.tallies, mine, parent);
        if (current.locks_since == mine) current.locks_since = parent;
    }
}

void put_pushed(const rows &out) {
    for (int i = 0; i < last_commit.count; i++) {
        push_outcome &p = last_commit.items[i];
        Datum values[] = {Int32GetDatum(i + 1), UUIDPGetDatum(&p.reserved), UUIDPGetDatum(&p.id), BoolGetDatum(p.created)};
        bool nulls[] = {false, false, p.withdrawn, false};
        out.put(values, nulls);
    }
}

}  // namespace

void start_buffer() {
    RegisterXactCallback(at_transaction, nullptr);
    RegisterSubXactCallback(at_subtransaction, nullptr);
}

}  // namespace chancy

extern "C" {

CHANCY_FUNCTION(chancy_flush) {
    PreventCommandIfReadOnly("chancy.flush()");
    chancy::flush(false);
    PG_RETURN_VOID();
}

CHANCY_FUNCTION(chancy_pushed) {
    chancy::put_pushed(chancy::begin_rows(fcinfo));
    return 0;
}
}
