// Schedules: the rows of chancy.cron.
//
// cron.cpp: the calls. cron_run.cpp: what is due. cron_schedule.cpp: how a schedule is read, checked and kept.
// cron_expression.cpp, cron_clock.cpp: what an expression means, without the server.
//
// Chancy's Python plugin pushes every row whose next_run has come, as UTC, once, by croniter's rules. A schedule that it could
// not honour (another zone, a rule, a syntax) has a next_run that never comes, and its own next tick in due_at. When
// Python schedules such a key anew it writes next_run: the row is then as Python means it, and what it had is not looked at.
#pragma once

#include "change.hpp"
#include "compat.hpp"
#include "cron_clock.hpp"

namespace chancy {

enum cron_column : int {
    cron_key = 1,
    cron_job,
    cron_text,
    cron_last_run,
    cron_next_run,
    cron_time_zone,
    cron_missed,
    cron_grace,
    cron_skipped,
    cron_repeated,
    cron_overlap,
    cron_paused,
    cron_push,
    cron_due_at,
};

// What becomes of ticks that nobody ran in time.
enum class missed_rule : uint8 { skip, once, all };

struct schedule {
    bytes key, expression, time_zone;
    Jsonb *job;  // as push takes it; null in a row that is packed as Chancy does
    Jsonb *packed;
    missed_rule missed;
    int32 most;      // of all
    int64 grace;     // microseconds: a tick is on time if it is run within
    bool overlap, paused;
    cron_schedule ticks;
    TimestampTz due;  // the next tick; DT_NOEND while paused
    TimestampTz last_run;  // 0: never
    bool for_python;
    bool sql;  // its jobs are SQL jobs
};

// Refuses what is not understood; where: how the parameters are called.
void read_expression(bytes text, cron_expression *into);
void read_time_zone(bytes name, zone *into);
void read_missed(bytes text, missed_rule *rule, int32 *most);
on_gap read_gap(bytes text);
on_overlap read_overlap(bytes text);
const char *name(on_gap g);
const char *name(on_overlap o);
char *missed_text(missed_rule rule, int32 most);

// The next tick of a row; DT_NOEND: none, or it is paused.
TimestampTz due_of(Datum *values, bool *nulls);

// The schedule of a row. False: Python scheduled what we do not understand, or the zone is gone.
bool read_schedule(Datum *values, bool *nulls, schedule *into);
// Fills cron.next from the schedule; last_run stays.
void fill_schedule(table &cron, const schedule &s);

// Would Chancy's Python plugin push this schedule's job as we do?
bool honoured_by_python(const schedule &s, const new_job &job);

// The job of a tick; tick 0: of none. In palloc'd memory.
new_job job_of(const schedule &s, TimestampTz tick);

// The first tick after the moment; DT_NOEND: none.
TimestampTz tick_after(const schedule &s, TimestampTz moment);

// Clocks.
int64_t to_unix(TimestampTz t);  // rounded down
TimestampTz from_unix(int64_t t);

// Reads every row in the order of an index, without a lock, until body(values, nulls) says false.
template <jumpable Body>
void each_schedule(const char *index_name, Snapshot snapshot, Body body) {
    Relation rel = table_open(table_oid("cron"), AccessShareLock);
    Relation index = index_open(get_relname_relid(index_name, schema()), AccessShareLock);
    TupleTableSlot *slot = table_slot_create(rel, nullptr);
    IndexScanDesc scan = compat::begin_index_scan(rel, index, snapshot, 0);
    index_rescan(scan, nullptr, 0, nullptr, 0);
    while (index_getnext_slot(scan, ForwardScanDirection, slot)) {
        CHECK_FOR_INTERRUPTS();
        slot_getallattrs(slot);
        if (!body(slot->tts_values, slot->tts_isnull)) break;
    }
    index_endscan(scan);
    ExecDropSingleTupleTableSlot(slot);
    index_close(index, AccessShareLock);
    table_close(rel, AccessShareLock);
}

}  // namespace chancy
