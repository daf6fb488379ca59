// Changes to jobs, and the one order in which they are made.
//
// Every writer of jobs (push, apply_updates, cancel_jobs, retry_job) decodes its input into changes
// and hands them to apply(), which sorts them and takes all locks in one order of resources:
// keys bytewise; for a key its rows by id, then its slot (becoming the live job of the key). So two
// transactions never wait for each other in a circle. Effects within a key follow the order of calls.
#pragma once

#include "jobs.hpp"
#include "json.hpp"

namespace chancy {

enum class outcome : uint8 { succeeded, failed, discarded, snoozed, released };

struct new_job {
    bytes func, queue, key;  // key.data null without a key
    Jsonb *kwargs, *limits, *meta;
    int32 priority, max_attempts;
    TimestampTz scheduled_at;
};

struct result {
    bytes worker;
    TimestampTz started_at;
    outcome is;
    bytes error;           // data null when absent
    TimestampTz retry_at;  // 0 when absent
    Jsonb *meta, *value;   // null when absent
};

enum class change_kind : uint8 { push, result, cancel, retry };

enum class verdict : uint8 {
    open,       // not decided yet
    created,    // push: a new job
    duplicate,  // push: id is that of the key's live job
    applied,
    stale,     // result: another attempt, or none
    finished,  // cancel: not live any more; retry: not finished
    locked,    // another transaction holds the row, and we do not wait
    conflict,  // retry: the key has another live job
    missing,   // no such job
};

struct change {
    change_kind kind;
    verdict is;
    int order;     // order of calls, and of elements within a call
    pg_uuid_t id;  // the job's; of a push the reserved one, and afterwards the one to tell
    bytes key;     // size 0 without a key
    bytes queue;   // rows: the job's queue
    state after;   // the job's state afterwards, or now when the change did not apply
    bool known;    // after is set
    HeapTuple row;  // rows: the version that the look-up found
    union {
        new_job *job;
        struct result *result;
    };
};

enum class waiting : uint8 {
    allowed,  // in the one order
    skip,     // what is held is told as locked
};

// Applies all changes; decides each one's verdict. permitted(queue) refuses queues of others before
// anything is written. Ends with a new command id, so that the next call sees what this one wrote.
struct permit;
void apply(table &jobs, std::span<change> changes, waiting wait, const permit &may);

// The parts, each in the file of its capability; the row is jobs.found or jobs.held as read.
void insert_job(table &jobs, lookup &by_key, change &c);                               // push.cpp
void write_result(table &jobs, TupleTableSlot *row, const change &c, state *after);    // update.cpp: fills jobs.next
void write_cancel(table &jobs, TupleTableSlot *row, TimestampTz now);                  // cancel.cpp: fills jobs.next
void write_retry(table &jobs, TupleTableSlot *row, TimestampTz now);                   // retry.cpp: fills jobs.next

// The slot of a key: what a look with a dirty snapshot finds there (key.cpp).
struct key_state {
    bool live;                // a live job: committed, our own, or one whose end is not committed yet
    pg_uuid_t id;             // of the live job
    TransactionId entering;   // otherwise: the transaction that is entering the slot
    uint32 token;             // its speculative token, or 0
    ItemPointerData tid;      // of the entering row
};
lookup begin_key_lookup(table &jobs);
// share: hold a waiting job FOR KEY SHARE, so that it does not run before we commit.
key_state probe_key(table &jobs, lookup &by_key, bytes key, bool share);
void wait_for_entry(table &jobs, lookup &by_key, const key_state &seen);

}  // namespace chancy
