// What happened to jobs, counted for the metrics: see tally.cpp.
#pragma once

#include "value.hpp"

namespace chancy {

enum class happened : uint8 { pushed, succeeded, failed, retrying, snoozed, released, cancelled, recovered };

// Seconds of so many runs.
struct spread {
    int64 count;
    double sum, least, most;

    void add(const spread &more) {
        if (more.count == 0) return;
        least = count == 0 ? more.least : std::min(least, more.least);
        most = count == 0 ? more.most : std::max(most, more.most);
        count += more.count;
        sum += more.sum;
    }
    void add(double seconds) { add(spread{1, seconds, seconds, seconds}); }
};

struct tally {
    bytes queue, func;
    happened what;
    TimestampTz at;  // the last time
    int64 count;
    spread ran, waited;  // of results only

    void add(const tally &more) {
        at = std::max(at, more.at);
        count += more.count;
        ran.add(more.ran);
        waited.add(more.waited);
    }
};

// The tallies of one call, in the memory of the call.
struct tallies {
    TimestampTz now;
    tally *items;
    int count, capacity;

    // The one for this; what it points to is copied when it is new.
    tally &of(bytes queue, bytes func, happened what);
    // A run ended: slot holds the job's row as it was before.
    void add_run(TupleTableSlot *before, happened what);
};

// Gives the call's tallies to the transaction (buffer.cpp): they count if it commits, savepoints included.
void keep_tallies(const tallies &t);
// The transaction writes what earlier ones have left in memory, if the interval is over.
void write_kept_tallies();
bool has_kept_tallies();

// The transaction's part. settle_tallies may write, and may fail; the other two do neither.
void settle_tallies(std::span<const tally> made, bool prepare);
void tallies_committed();
void tallies_aborted();

}  // namespace chancy
