// What runs after the job that runs: see unique.cpp.
#pragma once

#include "change.hpp"

namespace chancy {

// jobs.next is filled with what the row in slot becomes, and no attempt of it runs afterwards. Sees to the next run noted
// in it, if any. A finished job must be locked by us; true: push_next_run must follow, with that row, when jobs.next is
// written.
bool end_attempt(table &jobs, TupleTableSlot *slot, state *after);
void push_next_run(table &jobs, HeapTuple ended);

// The job as push takes it, as jsonb, without when it is due.
Datum describe_job(const new_job &job);

// A claim that passed by pushers with on_conflict rerun: the job in jobs.next is to run once more.
void note_rerun(table &jobs);

}  // namespace chancy
