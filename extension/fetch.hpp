// The claim: see fetch.cpp.
#pragma once

#include "jobs.hpp"

namespace chancy {

struct fetched {
    std::span<HeapTuple> jobs;  // in fetch order, as now in the table
    int passed;                 // due jobs passed by because of what another transaction holds: look again soon
    int64 wait;                 // microseconds until it is worth looking again, for the rate limit or what is not swept yet; 0: neither
    bool exhausted;             // of a queue with a limit: nobody else would be given a job now either
    bool again;                 // look once more before sleeping: this look began before pushes knew that somebody sleeps
};

// Refuses an empty or over-long queue or worker, and up_to outside 1 to 100,000.
void check_fetch(bytes queue, bytes worker, int32 up_to);

fetched fetch(table &jobs, bytes queue, bytes worker, int32 up_to);

// 0: no such limit.
struct queue_limits {
    int32 rate, window, burst;  // burst 0: fixed windows
    int32 max_running, max_running_per_key;

    bool concurrency() const { return max_running > 0 || max_running_per_key > 0; }
};

struct queue_settings {
    bool open;  // declared, and active or past its resume_at
    queue_limits limits;
};

// The queue as committed now, whatever the statement's snapshot; without locks.
queue_settings read_queue(bytes queue, TimestampTz now);

// A fetch at work.
struct claims {
    table &jobs;
    bytes queue;
    Datum worker;
    TimestampTz now;
    int32 up_to;
    HeapTuple *into;
    int count;     // claimed so far
    int passed;    // due jobs that others hold, or have yet to commit
    bool blocked;  // a limit of concurrency is in the way
    bool asleep;   // pushes know that somebody sleeps: this look may be the last one
    int64 unswept;  // microseconds until more of what lies before the low-water marks is looked at; 0: all has been
    SnapshotData seen;  // dirty: an uncommitted push is seen, so that it can be waited for
};

// Claims due jobs in fetch order, up to up_to, beginning each priority at its low-water mark, and sweeps a part of what lies
// before (low_water.cpp).
void claim_due(claims &c);

// Brings what is claimed into fetch order.
void sort_claims(claims &c);

// Claims the job in jobs.found, which a scan with c.seen found and row was read from; false when it is not due, or another transaction holds it.
bool claim_found(claims &c, const job_row &row);

// How many jobs a rate-limited queue may still start (rate_limit.cpp).
struct allowance {
    bool busy;  // another fetch holds the counter
    int32 left;
    int64 wait;  // microseconds until there is more
    int32 window_start, count;
    int64 step;  // of a bucket: microseconds for each start; 0: fixed windows
    TimestampTz full_at;
    ItemPointerData counter;
};
allowance take_counter(table &counters, bytes queue, const queue_limits &limits);
void add_to_counter(table &counters, const allowance &a, bytes queue, int32 fetched);

// Deletes the queue's counter, unless somebody holds it.
void forget_counter(bytes queue);

}  // namespace chancy
