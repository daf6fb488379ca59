// Changes to jobs, and the one order in which they are made.
//
// Every writer of jobs (push, apply_updates, cancel_jobs, retry_job) decodes its input into changes
// and hands them, at once or at commit (buffer.hpp), to apply(), which sorts them and takes all locks in one order of resources:
// keys bytewise; for a key its rows by id, then its slot (becoming the live job of the key). So two
// transactions never wait for each other in a circle. Effects within a key follow the order of calls.
#pragma once

#include "jobs.hpp"
#include "json.hpp"

namespace chancy {

enum class outcome : uint8 { succeeded, failed, discarded, snoozed, released };

// What a push does when its key is taken (unique.cpp).
enum class on_conflict : uint8 { keep, replace, reject, rerun };

struct permit;

struct new_job {
    bytes func, queue, key;  // key.data null without a key
    bytes concurrency_key;   // data null without one
    Jsonb *kwargs, *limits, *meta;
    int32 priority, max_attempts;
    TimestampTz scheduled_at;
    int64 unique_for;  // microseconds; 0: the key is taken while the job is live
    on_conflict mode;
    const char *list;   // of the input, for messages; null outside a batch
    const permit *may;  // whose job a replace may change; null: anybody's
};

struct result {
    bytes worker;
    TimestampTz started_at;
    outcome is;
    bytes error;           // data null when absent
    TimestampTz retry_at;  // DT_NOBEGIN when absent
    Jsonb *meta, *value;   // null when absent
};

enum class change_kind : uint8 { push, result, cancel, retry };

enum class verdict : uint8 {
    open,       // not decided yet
    reserved,   // decided at commit
    created,    // push: a new job
    duplicate,  // push: id is that of the key's live job
    replaced,   // push: the key's waiting job, whose id it is, became this one
    withdrawn,  // push: cancelled in its own transaction; cancel: of such a push
    applied,
    stale,     // result: another attempt, or none
    finished,  // cancel: not live any more; retry: not finished
    locked,    // another transaction holds the row or the key, and we do not wait
    conflict,  // retry: the key has another live job
    missing,   // no such job
};

const char *name(verdict v);

struct change {
    change_kind kind;
    verdict is;
    bool skip;     // result: a held row is told as locked, not waited for
    int call;      // which call of the transaction, from 0
    int element;   // which element of the call, from 0
    int order;     // of all changes that are applied together
    pg_uuid_t id;  // the job's; of a push the reserved one, and afterwards the one to tell
    bytes key;     // data null without a key
    bytes queue;   // rows: the job's queue
    state after;   // the job's state afterwards, or now when the change did not apply
    bool known;    // after is set
    bool is_step;  // rows: the job may be a workflow's step
    bool has_next;  // rows: something is to run when the job ends
    bool delayed;   // the job waits for its time, or until its key's period is over
    HeapTuple row;  // rows: the version that the look-up found
    union {
        new_job *job;
        struct result *result;
        Jsonb *kwargs;  // retry: in place of the job's; null: those stay
    };
};

enum class waiting : uint8 {
    allowed,  // in the one order
    never,    // the transaction holds a lock of ours already: what is busy ends it with 40001
    passes,   // a push from inside: what is busy is told as locked, and left for the next turn
};

struct policy {
    waiting wait;
    TimestampTz deadline;  // for all waits together; 0: the server's own timeouts hold
    const permit &may;     // queues of others are refused before anything is written
    const change **at;     // told which change is being made, for error messages; may be null
};

// Applies all changes; decides each one's verdict. Ends with a new command id, so that the next call
// sees what this one wrote.
void apply(table &jobs, std::span<change> changes, const policy &how);

// A push whose id is cancelled later in the same transaction never happens.
void withdraw(std::span<change> changes);

// Refuses (42501) changes to jobs of queues that are not permitted; for calls that are made at commit.
void check_queues(std::span<change> changes, const permit &may);

// 40001: something of the queue is busy, and the transaction may not wait for it.
[[noreturn]] void give_way(const char *what);

// Runs wait() so that it ends with 55P03 at the deadline.
template <jumpable Wait>
void wait_until(TimestampTz deadline, Wait wait) {
    if (deadline == 0) return wait();
    int left = static_cast<int>(std::clamp<int64>((deadline - GetCurrentTimestamp()) / 1000, 1, INT_MAX));
    if (LockTimeout > 0) left = std::min(left, LockTimeout);
    int level = NewGUCNestLevel();
    set_config_option("lock_timeout", psprintf("%d", left), PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
    wait();
    AtEOXact_GUC(true, level);
}

// The ticks in an id, and one for this moment: ids that this backend gives later have more (push.cpp).
int64 id_tick(const pg_uuid_t &id);
int64 take_tick();

// Ids for all pushes, strictly rising, also against those that this backend gave before (push.cpp).
void make_ids(std::span<change> pushes);

// What a push that does not say otherwise has (push.cpp).
struct job_defaults {
    Jsonb *object, *array;
    TimestampTz now;
};
job_defaults make_defaults();
// Further keys that an object with a job may have: take says whether it knows the name; value is null for JSON null.
struct more_fields {
    bool (*take)(void *context, bytes name, JsonbValue *value);
    void *context;
    const char *known;  // for the hint
};
// Reads and checks an object with push's parameter names as keys.
void read_job_object(JsonbContainer *object, place where, const job_defaults &d, new_job *job, const more_fields *more);

// How push's on_conflict and unique_for are read (unique.cpp).
on_conflict parse_on_conflict(bytes text, place where);
const char *mode_name(on_conflict mode);
int64 parse_period(const Interval *period, place where);

// Refuses (55000) a table with an added column that push would leave without its value (push.cpp).
void check_added_columns(table &jobs);

// The parts, each in the file of its capability; the row is jobs.found or jobs.held as read.
// late: rows of the key are locked already, so another one is tried, not waited for.
void insert_job(table &jobs, lookup &by_key, change &c, const policy &how, bool late);  // unique.cpp
void fill_job(table &jobs, const pg_uuid_t &id, const new_job &job, TimestampTz not_before);  // push.cpp: fills jobs.next
void write_result(table &jobs, TupleTableSlot *row, const change &c, state *after);    // update.cpp: fills jobs.next
void write_cancel(table &jobs, TupleTableSlot *row, TimestampTz now);                  // cancel.cpp: fills jobs.next
void write_retry(table &jobs, TupleTableSlot *row, Jsonb *kwargs, TimestampTz now);    // retry.cpp: fills jobs.next

// The slot of a key: what a look with a dirty snapshot finds there (key.cpp).
struct key_state {
    bool live;                // a live job, in jobs.found: committed, our own, or one whose end is not committed yet
    pg_uuid_t id;             // of the live job
    TransactionId changing;   // the transaction that is changing or ending it, if any
    TransactionId entering;   // without a live job: the transaction that is entering the slot
    uint32 token;             // its speculative token, or 0
    ItemPointerData tid;      // of the live or the entering row
};
lookup begin_key_lookup(table &jobs);
// Were there jobs with a unique_until when the look-up began?
bool has_periods();
// share: hold a waiting job FOR KEY SHARE, so that it does not run before we commit.
key_state probe_key(table &jobs, lookup &by_key, bytes key, bool share, const policy &how);
// Waits until whoever enters the slot has ended, or 40001; false when we pass by what is busy.
bool wait_for_entry(table &jobs, lookup &by_key, const key_state &seen, const policy &how);
// The same for whoever changes the live job; late as in insert_job.
bool wait_for_change(table &jobs, lookup &by_key, const key_state &seen, const policy &how, bool late);

}  // namespace chancy
