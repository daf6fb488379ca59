// What runs after the job that runs: see next_run.cpp.
#pragma once

#include "change.hpp"

namespace chancy {

// jobs.next is filled with what the row in slot becomes, and no attempt of it runs afterwards. Sees to the next run noted
// in it, if any. A finished job must be locked by us; true: push_next_run must follow, with that row, when jobs.next is
// written.
bool end_attempt(table &jobs, TupleTableSlot *slot, state *after);
void push_next_run(table &jobs, HeapTuple ended);

// What next_run of a row holds: the job as push takes it, or nullptr: the same job once more.
Datum make_next_run(const new_job *job, on_conflict mode);

// The waiting job in jobs.next becomes the given one; it keeps its id, its key, its errors and when it was created.
void overlay(table &jobs, const new_job &job, TimestampTz not_before);

// The job as push takes it, as jsonb, without when it is due.
Datum describe_job(const new_job &job);

// A claim that passed by pushers with on_conflict rerun: the job in jobs.next is to run once more.
void note_rerun(table &jobs);

}  // namespace chancy
