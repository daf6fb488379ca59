// The claim: see fetch.cpp.
#pragma once

#include "jobs.hpp"

namespace chancy {

struct fetched {
    std::span<HeapTuple> jobs;  // in fetch order, as now in the table
    int passed;                 // due jobs passed by because another transaction holds them
};

// Refuses an empty or over-long queue or worker, and up_to outside 1 to 100,000.
void check_fetch(bytes queue, bytes worker, int32 up_to);

fetched fetch(table &jobs, bytes queue, bytes worker, int32 up_to);

// How many jobs a rate-limited queue may still give in the current window (rate_limit.cpp).
struct allowance {
    bool busy;  // another fetch holds the counter
    int32 left;
    int32 window_start, count;
    ItemPointerData counter;
};
allowance take_counter(table &counters, bytes queue, int32 limit, int32 window);
void add_to_counter(table &counters, const allowance &a, bytes queue, int32 fetched);

// Deletes the queue's counter, unless somebody holds it.
void forget_counter(bytes queue);

}  // namespace chancy
