// cron: pushes what is due.
//
// A schedule's row is locked, without waiting, its ticks are pushed and its next one is written, all in one transaction: so
// of two callers at once, Chancy's Python plugin included, one pushes a tick, and if that is rolled back the tick is still
// due. Pushes are from inside: a key that somebody is pushing just now is left, with the tick, for the next turn.
#include "cron.hpp"

#include "event.hpp"
#include "buffer.hpp"
#include "role.hpp"
#include "rows.hpp"
#include "sql_job.hpp"
#include "task.hpp"

namespace chancy {

namespace {

constexpr int most_ticks = 1000;  // of one schedule in one turn

struct turn {
    int schedules, pushed, busy, refused;  // refused: what somebody wrote into the table and we do not understand
    bool more;
};

// The ticks that are to be pushed now, in order; how many. next is then the one to come.
int due_ticks(const schedule &s, TimestampTz now, int64_t *into, TimestampTz *next) {
    int64_t first = to_unix(s.due), last = to_unix(now);
    int64_t late = std::min(to_unix(now - s.grace - 1), last);  // the last second that is not on time any more
    int count = 0;
    if (first <= late && s.missed != missed_rule::skip) {
        // due is a tick: one before it is none of this schedule's business.
        count = last_ticks(s.ticks, first - 1, late, s.missed == missed_rule::all ? s.most : 1, into);
        if (count == 0) into[count++] = first;  // Python reckoned otherwise
    }
    int64_t at = std::max(first - 1, late);
    int64_t t = next_tick(s.ticks, at);
    for (; t <= last && count < most_ticks; t = next_tick(s.ticks, t)) into[count++] = t;
    if (count == 0 && s.missed != missed_rule::skip) into[count++] = first;
    *next = t == cron_never ? DT_NOEND : from_unix(t);
    return count;
}

bool can_be_pushed(const new_job &job) {
    // Python checks no lengths.
    return job.func.size > 0 && job.func.size <= max_name && job.queue.size > 0 && job.queue.size <= max_queue &&
           (job.key.data == nullptr || (job.key.size > 0 && job.key.size <= max_name));
}

struct pushed_tick {
    bytes key;
    TimestampTz tick;
    pg_uuid_t id;
    bool created;
};

template <typename Told>
void run_schedule(table &cron, table &jobs, lookup &by_key, schedule &s, const sql_call &call, TimestampTz now, turn &done, Told told) {
    static int64_t ticks[most_ticks + 1];
    permit all{true, nullptr, 0};
    TimestampTz next;
    int count = due_ticks(s, now, ticks, &next);
    for (int i = 0; i < count; i++) {
        CHECK_FOR_INTERRUPTS();
        TimestampTz tick = from_unix(ticks[i]);
        new_job job = job_of(s, tick);
        if (!can_be_pushed(job)) {
            done.refused++;
            break;
        }
        change c{};
        c.kind = change_kind::push;
        c.job = &job;
        c.key = job.key;
        make_ids({&c, 1});
        insert_job(jobs, by_key, c, {waiting::passes, 0, all, nullptr}, true);
        if (c.is == verdict::locked) {
            done.busy++;
            next = tick;
            break;
        }
        if (s.sql && c.is == verdict::created) record_call(c.id, call);
        CommandCounterIncrement();
        tell({&c, 1});
        done.pushed++;
        told(pushed_tick{s.key, tick, c.id, c.is == verdict::created});
    }
    done.more = done.more || next <= now;
    s.due = next;
    copy_row(cron, cron.copy);
    fill_schedule(cron, s);
    if (count > 0) set(cron, cron_last_run, TimestampTzGetDatum(now));
}

template <typename Told>
turn run_due(int up_to, Told told) {
    turn done{};
    with_table("cron", true, [&](table &cron) {
        with_jobs([&](table &jobs) {
            check_added_columns(jobs);
            TimestampTz now = GetCurrentTimestamp();
            lookup by_key = begin_key_lookup(jobs);
            lookup by_due = begin_lookup(cron, "cron_due", InvalidOid, InvalidOid, SnapshotSelf);
            index_rescan(by_due.scan, nullptr, 0, nullptr, 0);
            while (index_getnext_slot(by_due.scan, ForwardScanDirection, cron.found)) {
                CHECK_FOR_INTERRUPTS();
                slot_getallattrs(cron.found);
                if (due_of(cron.found->tts_values, cron.found->tts_isnull) > now) break;
                schedule s;
                if (!read_schedule(cron.found->tts_values, cron.found->tts_isnull, &s)) {
                    done.refused++;
                    continue;
                }
                if (done.schedules == up_to) {
                    done.more = true;
                    break;
                }
                TM_Result locked = lock_row(cron, &cron.found->tts_tid, LockTupleNoKeyExclusive, LockWaitSkip);
                if (locked == TM_WouldBlock) done.busy++;
                if (locked != TM_Ok) continue;
                HeapTuple row = ExecCopySlotHeapTuple(cron.held);
                ExecStoreHeapTuple(row, cron.copy, false);
                slot_getallattrs(cron.copy);
                // Somebody else may have been here since the look.
                if (!read_schedule(cron.copy->tts_values, cron.copy->tts_isnull, &s) || s.due > now) continue;
                sql_call call{};
                if (s.sql && !find_call(s.key, &call)) {
                    done.refused++;
                    continue;
                }
                done.schedules++;
                run_schedule(cron, jobs, by_key, s, call, now, done, told);
                if (update(cron, &row->t_self, true) != TM_Ok) elog(ERROR, "a locked row of chancy.cron changed");
                CommandCounterIncrement();
            }
            end_lookup(by_due);
            end_lookup(by_key);
        });
    });
    if (done.schedules > 0) note_locks();
    return done;
}

void run_cron(FunctionCallInfo fcinfo, const rows &out) {
    check_given(fcinfo, 0, "up_to");
    int32 up_to = PG_GETARG_INT32(0);
    if (up_to < 1 || up_to > max_batch)
        refuse({nullptr, 0, "up_to"}, psprintf("must be from 1 to %d", max_batch), "Call again for more.");
    require(role_kind::worker);
    run_due(up_to, [&](const pushed_tick &p) {
        Datum values[] = {text_datum(p.key), TimestampTzGetDatum(p.tick), UUIDPGetDatum(&p.id), BoolGetDatum(p.created)};
        bool nulls[] = {false, false, false, false};
        out.put(values, nulls);
    });
}

task_result run_task(const task_settings &) {
    turn done = run_due(1000, [](const pushed_tick &) {});
    const char *did = psprintf("{\"pushed\": %d, \"busy\": %d}", done.pushed, done.busy);
    return {did, done.more ? 1 : 0, {nullptr, 0}};
}

// The earliest tick of all schedules.
TimestampTz due_from(const task_settings &) {
    TimestampTz due = DT_NOEND;
    each_schedule("cron_due", SnapshotSelf, [&due](Datum *values, bool *nulls) {
        due = due_of(values, nulls);
        return false;
    });
    return due;
}

}  // namespace

extern const task cron_task;
constinit const task cron_task{"cron", USECS_PER_SEC, {}, run_task, due_from};

}  // namespace chancy

extern "C" {

CHANCY_FUNCTION(chancy_run_cron) {
    PreventCommandIfReadOnly("chancy.run_cron()");
    chancy::rows out = chancy::begin_rows(fcinfo);
    chancy::with_memory("chancy run_cron", [=] { chancy::run_cron(fcinfo, out); });
    return 0;
}
}
