// unique: what a push does when its key is taken, and what runs after the job that runs.
//
// A key is taken while a job of it is live, and until unique_until of one that is finished. keep leaves what is there;
// reject is an error; replace gives the waiting job the new content; rerun wants a run that starts after its commit.
// A job that runs cannot be changed any more: rerun and replace note the next run in its row (next_run), and whoever ends
// the attempt sees to it, in the same transaction and without waiting, since the slot of the key is its own until it
// commits. While other pushers hold the row it is left to maintenance (push_next_runs).
#include "unique.hpp"

#include "buffer.hpp"
#include "event.hpp"
#include "role.hpp"
#include "setting.hpp"
#include "task.hpp"
#include "worker.hpp"
#include "workflow.hpp"

extern "C" {
#include "utils/json.h"
}

namespace chancy {

namespace {

constexpr const char *mode_names[] = {"keep", "replace", "reject", "rerun"};
constexpr int64 longest_period = INT64CONST(3660) * USECS_PER_DAY;

}  // namespace

on_conflict parse_on_conflict(bytes text, place where) {
    for (int i = 0; i < 4; i++)
        if (text == view(mode_names[i])) return static_cast<on_conflict>(i);
    refuse(where, psprintf("is not a known mode: \"%s\"", shown(text)), "Known: keep, replace, reject, rerun.");
}

int64 parse_period(const Interval *period, place where) {
    int64 span = microseconds(period);
    if (span < USECS_PER_SEC || span > longest_period)
        refuse(where, "must be from 1 second to 10 years", "Give an interval, such as '15 min'.");
    return span;
}

namespace {

// ---- the next run, as a row keeps it

JsonbParseState *put_key(JsonbParseState *parse, const char *key) {
    JsonbValue value;
    value.type = jbvString;
    value.val.string = {static_cast<int>(strlen(key)), const_cast<char *>(key)};
    pushJsonbValue(&parse, WJB_KEY, &value);
    return parse;
}

JsonbParseState *put(JsonbParseState *parse, const char *key, bytes text) {
    parse = put_key(parse, key);
    JsonbValue value;
    value.type = jbvString;
    value.val.string = {text.size, const_cast<char *>(text.data)};
    pushJsonbValue(&parse, WJB_VALUE, &value);
    return parse;
}

JsonbParseState *put(JsonbParseState *parse, const char *key, int32 number) {
    parse = put_key(parse, key);
    JsonbValue value;
    value.type = jbvNumeric;
    value.val.numeric = DatumGetNumeric(DirectFunctionCall1(int4_numeric, Int32GetDatum(number)));
    pushJsonbValue(&parse, WJB_VALUE, &value);
    return parse;
}

JsonbParseState *put(JsonbParseState *parse, const char *key, Jsonb *document) {
    parse = put_key(parse, key);
    JsonbValue value;
    value.type = jbvBinary;
    value.val.binary = {static_cast<int>(VARSIZE(document)) - static_cast<int>(VARHDRSZ), &document->root};
    pushJsonbValue(&parse, WJB_VALUE, &value);
    return parse;
}

JsonbParseState *put_job(JsonbParseState *parse, const new_job &job) {
    parse = put(parse, "func", job.func);
    parse = put(parse, "queue", job.queue);
    if (job.key.data != nullptr) parse = put(parse, "unique_key", job.key);
    if (job.concurrency_key.data != nullptr) parse = put(parse, "concurrency_key", job.concurrency_key);
    parse = put(parse, "kwargs", job.kwargs);
    parse = put(parse, "limits", job.limits);
    parse = put(parse, "meta", job.meta);
    parse = put(parse, "priority", job.priority);
    parse = put(parse, "max_attempts", job.max_attempts);
    if (job.unique_for != 0) parse = put(parse, "unique_for", view(psprintf(INT64_FORMAT " us", job.unique_for)));
    return parse;
}

// The job as push takes it; only the mode: the same job once more.
Datum make_next_run(const new_job *job, on_conflict mode) {
    JsonbParseState *parse = nullptr;
    pushJsonbValue(&parse, WJB_BEGIN_OBJECT, nullptr);
    if (job != nullptr) {
        char time[MAXDATELEN + 1];
        const int zone = 0;
        JsonEncodeDateTime(time, TimestampTzGetDatum(job->scheduled_at), TIMESTAMPTZOID, &zone);
        parse = put_job(parse, *job);
        parse = put(parse, "scheduled_at", view(time));
    }
    parse = put(parse, "on_conflict", view(mode_names[static_cast<int>(mode)]));
    return JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&parse, WJB_END_OBJECT, nullptr)));
}

}  // namespace

Datum describe_job(const new_job &job) {
    JsonbParseState *parse = nullptr;
    pushJsonbValue(&parse, WJB_BEGIN_OBJECT, nullptr);
    parse = put_job(parse, job);
    return JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&parse, WJB_END_OBJECT, nullptr)));
}

namespace {

// The next run noted in the row in slot; its texts point into the slot.
new_job read_next_run(TupleTableSlot *slot) {
    job_row row = read_job(slot);
    Datum *values = slot->tts_values;
    JsonbContainer *noted = &DatumGetJsonbP(values[jobs_next_run - 1])->root;
    new_job job{};
    if (JsonContainerSize(noted) > 1) {
        read_job_object(noted, {"next_run", -1, nullptr}, make_defaults(), &job, nullptr);
    } else {
        job.queue = row.queue;
        job.func = view(values[jobs_func - 1]);
        job.kwargs = DatumGetJsonbP(values[jobs_kwargs - 1]);
        job.limits = DatumGetJsonbP(values[jobs_limits - 1]);
        job.meta = without_mark(DatumGetJsonbP(values[jobs_meta - 1]));
        job.priority = DatumGetInt32(values[jobs_priority - 1]);
        job.max_attempts = row.max_attempts;
        job.scheduled_at = GetCurrentTransactionStartTimestamp();
        job.key = row.key;
        job.concurrency_key = row.concurrency_key;
        job.mode = on_conflict::rerun;
    }
    return job;
}

// ---- the period

// Until when a finished job keeps the key taken, and its id; 0: none does.
TimestampTz find_holder(table &jobs, bytes key, pg_uuid_t *id) {
    if (!has_periods()) return 0;  // the common case costs nothing
    TimestampTz until = 0;
    lookup by_key = begin_lookup(jobs, "jobs_unique_until", F_TEXTEQ, C_COLLATION_OID, SnapshotSelf);
    seek(by_key, text_datum(key));
    while (until == 0 && index_getnext_slot(by_key.scan, ForwardScanDirection, jobs.held)) {  // the latest comes first
        job_row row = read_job(jobs.held);
        if (is_live(row.is)) continue;
        until = DatumGetTimestampTz(jobs.held->tts_values[jobs_unique_until - 1]);
        *id = row.id;
        if (until <= GetCurrentTimestamp()) return end_lookup(by_key), 0;
    }
    end_lookup(by_key);
    return until;
}

// ---- meeting a live job

// The waiting job in jobs.next becomes the given one; it keeps its id, its key, its errors and when it was created.
void overlay(table &jobs, const new_job &job, TimestampTz not_before) {
    const pg_uuid_t &id = *DatumGetUUIDP(jobs.next->tts_values[jobs_id - 1]);  // in the row that jobs.next is made from
    Datum created = jobs.next->tts_values[jobs_created_at - 1], errors = jobs.next->tts_values[jobs_errors - 1];
    Datum key = jobs.next->tts_values[jobs_unique_key - 1], started = jobs.next->tts_values[jobs_started_at - 1];
    bool never = jobs.next->tts_isnull[jobs_started_at - 1];
    Jsonb *meta = keep_mark(DatumGetJsonbP(jobs.next->tts_values[jobs_meta - 1]), job.meta);
    bool rerun = !jobs.next->tts_isnull[jobs_rerun - 1];
    fill_job(jobs, id, job, not_before);
    set(jobs, jobs_created_at, created);
    set(jobs, jobs_errors, errors);
    set(jobs, jobs_unique_key, key);
    set(jobs, jobs_meta, JsonbPGetDatum(meta));  // a workflow's step stays one
    if (!never) set(jobs, jobs_started_at, started);  // the next claim's must be later
    if (rerun) set(jobs, jobs_rerun, BoolGetDatum(true));
}

// Locks exactly this version of the live job, into jobs.held. TM_Ok: it is the newest one, and nobody changes it (of
// KEY SHARE only the former holds). TM_WouldBlock: held, and we pass by. Otherwise it has changed, and nothing is locked.
TM_Result lock_live(table &jobs, lookup &by_key, const key_state &seen, LockTupleMode mode, const policy &how, bool late) {
    auto lock = [&](LockWaitPolicy busy) {
        TM_FailureData failure;
        ItemPointerData tid = seen.tid;
        return table_tuple_lock(jobs.rel, &tid, SnapshotSelf, jobs.held, GetCurrentCommandId(true), mode, busy, 0, &failure);
    };
    TM_Result locked = lock(LockWaitSkip);
    if (locked != TM_WouldBlock || how.wait == waiting::passes) return locked;
    if (how.wait == waiting::never || late) give_way("a job that another transaction is changing");
    // A scan keeps its page pinned, and VACUUM would wait for the pin as long as we wait here.
    index_rescan(by_key.scan, &by_key.key, 1, nullptr, 0);
    ExecClearTuple(jobs.found);
    wait_until(how.deadline, [&] { locked = lock(LockWaitBlock); });
    return locked;
}

// Has somebody updated, committed or not, the version in jobs.held? KEY SHARE does not exclude that.
bool is_superseded(table &jobs) {
    auto *held = reinterpret_cast<BufferHeapTupleTableSlot *>(jobs.held);
    LockBuffer(held->buffer, BUFFER_LOCK_SHARE);
    HeapTupleHeader row = held->base.tuple->t_data;
    bool updated = (row->t_infomask & HEAP_XMAX_INVALID) == 0 && !HEAP_XMAX_IS_LOCKED_ONLY(row->t_infomask);
    TransactionId updater = updated ? HeapTupleHeaderGetUpdateXid(row) : InvalidTransactionId;
    LockBuffer(held->buffer, BUFFER_LOCK_UNLOCK);
    return updated && (TransactionIdIsInProgress(updater) || TransactionIdDidCommit(updater));
}

// Fills jobs.next from the live job's row in slot and the push that met it.
void fill_met(table &jobs, TupleTableSlot *slot, const change &c, state is, TimestampTz not_before) {
    const new_job &job = *c.job;
    copy_row(jobs, slot);
    bool replace = job.mode == on_conflict::replace;
    if (replace && is_waiting(is)) return overlay(jobs, job, not_before);
    if (!replace) set(jobs, jobs_rerun, BoolGetDatum(true));
    if (is == state::running && (replace || jobs.next->tts_isnull[jobs_next_run - 1]))
        set(jobs, jobs_next_run, make_next_run(&job, job.mode));
}

void check_replaceable(const change &c, bytes queue) {
    if (c.job->may == nullptr || permits(*c.job->may, queue)) return;
    ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                    errmsg("%s is the key of a job in queue \"%s\", which this role may not replace",
                           path(place{c.job->list, c.element, "unique_key"}), to_cstring(queue)),
                    errhint("The grant functions list a role's queues; NULL means all.")));
}

// replace and rerun meet the live job that a probe found. False: it has changed meanwhile, so look again.
bool change_live(table &jobs, lookup &by_key, change &c, const key_state &seen, const policy &how, bool late) {
    auto decided = [&](verdict v) {
        c.is = v;
        c.id = seen.id;
        return true;
    };
    job_row row = read_job(jobs.found);
    bool rerun = c.job->mode == on_conflict::rerun, ours = is_ours(jobs.found);
    if (TransactionIdIsValid(seen.changing))
        return wait_for_change(jobs, by_key, seen, how, late) ? false : decided(verdict::locked);
    if (!rerun && is_waiting(row.is)) check_replaceable(c, row.queue);
    // A run that is yet to come is what rerun wants: it only must not begin before our commit. Our own version cannot.
    bool comes = rerun && (is_waiting(row.is) || (row.rerun && row.has_next));
    if (comes && (ours || !setting.duplicate_lock)) return decided(verdict::duplicate);
    if (comes && row.rerun) {
        TM_Result locked = lock_live(jobs, by_key, seen, LockTupleKeyShare, how, late);
        if (locked == TM_WouldBlock) return decided(verdict::locked);
        return locked == TM_Ok && !is_superseded(jobs) && decided(verdict::duplicate);
    }
    pg_uuid_t holder;
    TimestampTz until = rerun ? 0 : find_holder(jobs, c.key, &holder);
    c.delayed = until != 0;
    TupleTableSlot *slot = jobs.found;
    if (ours) {
        CommandCounterIncrement();
    } else {
        TM_Result locked = lock_live(jobs, by_key, seen, LockTupleNoKeyExclusive, how, late);
        if (locked == TM_WouldBlock) return decided(verdict::locked);
        if (locked != TM_Ok) return false;
        slot = jobs.held;
    }
    state is = read_job(slot).is;
    fill_met(jobs, slot, c, is, until != 0 ? until : DT_NOBEGIN);
    ItemPointerData tid = seen.tid;
    TM_Result done = update(jobs, &tid, true);
    if (done != TM_Ok) elog(ERROR, "a locked job changed (%d)", done);
    return decided(!rerun && is_waiting(is) ? verdict::replaced : verdict::duplicate);
}

[[noreturn]] void reject(const change &c, const pg_uuid_t &id) {
    char *text = DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&id)));
    ereport(ERROR, (errcode(ERRCODE_UNIQUE_VIOLATION),
                    errmsg("%s is taken: \"%s\"", path(place{c.job->list, c.element, "unique_key"}), shown(c.key)),
                    errdetail("Job %s has it.", text), errhint("With on_conflict \"keep\" that job's id is returned instead.")));
    pg_unreachable();
}

}  // namespace

namespace {

// Keys pushed by this backend, one after another, that were not taken. After a hundred the next one is inserted at once: that looks
// at the key too, and costs a dead row where it is taken.
int new_in_a_row = 0;

bool insert_unseen(table &jobs, change &c) {
    if (new_in_a_row < 100 || has_periods()) return false;
    fill_job(jobs, c.id, *c.job, DT_NOBEGIN);
    if (insert_speculatively(jobs)) return true;
    new_in_a_row = 0;
    return false;
}

}  // namespace

void insert_job(table &jobs, lookup &by_key, change &c, const policy &how, bool late) {
    if (c.key.data == nullptr) {
        fill_job(jobs, c.id, *c.job, DT_NOBEGIN);
        insert(jobs);
        c.is = verdict::created;
        return;
    }
    if (insert_unseen(jobs, c)) {
        c.is = verdict::created;
        return;
    }
    on_conflict mode = c.job->mode;
    if (mode == on_conflict::reject && how.wait == waiting::passes) mode = on_conflict::keep;
    auto kept = [&](const pg_uuid_t &id) {
        if (mode == on_conflict::reject) reject(c, id);
        c.is = verdict::duplicate;
        c.id = id;
    };
    for (;;) {
        key_state seen = probe_key(jobs, by_key, c.key, mode == on_conflict::keep, how);
        if (seen.live) {
            new_in_a_row = 0;
            if (mode == on_conflict::keep || mode == on_conflict::reject) return kept(seen.id);
            if (change_live(jobs, by_key, c, seen, how, late)) return;
            continue;
        }
        if (TransactionIdIsValid(seen.entering)) {
            if (wait_for_entry(jobs, by_key, seen, how)) continue;
            c.is = verdict::locked;
            return;
        }
        pg_uuid_t holder;
        TimestampTz until = find_holder(jobs, c.key, &holder);
        if (until != 0 && (mode == on_conflict::keep || mode == on_conflict::reject)) return kept(holder);
        fill_job(jobs, c.id, *c.job, until != 0 ? until : DT_NOBEGIN);
        if (insert_speculatively(jobs)) {
            new_in_a_row++;
            c.is = verdict::created;
            c.delayed = until != 0;
            return;
        }
    }
}

bool end_attempt(table &jobs, TupleTableSlot *slot, state *after) {
    if (!read_job(slot).has_next) return false;
    if (is_live(*after)) {
        new_job job = read_next_run(slot);
        if (job.mode == on_conflict::replace) {
            overlay(jobs, job, DT_NOBEGIN);
            *after = state::pending;
        } else {
            set_null(jobs, jobs_next_run);  // the job's own next attempt is what was wanted
        }
        return false;
    }
    // Who holds the row wants a run that begins after its commit, and is not to be waited for.
    if (lock_row(jobs, &slot->tts_tid, LockTupleExclusive, LockWaitSkip) != TM_Ok) return false;
    set_null(jobs, jobs_next_run);
    return true;
}

void push_next_run(table &jobs, HeapTuple ended) {
    check_added_columns(jobs);
    ExecStoreHeapTuple(ended, jobs.copy, false);
    new_job job = read_next_run(jobs.copy);
    bool null;
    Datum until = slot_getattr(jobs.copy, jobs_unique_until, &null);
    change c{};
    make_ids({&c, 1});
    fill_job(jobs, c.id, job, null ? DT_NOBEGIN : DatumGetTimestampTz(until));
    // Until we commit the slot is ours: the job that ends is live for everybody else.
    if (!insert_speculatively(jobs)) elog(ERROR, "the key of a job that ends is taken");
    if (DatumGetTimestampTz(jobs.next->tts_values[jobs_scheduled_at - 1]) <= GetCurrentTimestamp()) emit("queue.pushed", "q", job.queue);
}

void note_rerun(table &jobs) {
    if (jobs.next->tts_isnull[jobs_next_run - 1]) set(jobs, jobs_next_run, make_next_run(nullptr, on_conflict::rerun));
}

namespace {

struct next_runs {
    int pushed, busy;
};

// Pushes the next runs that finished jobs still have noted: somebody held the job when it ended, or a Python worker
// ended it. Never waits.
next_runs push_next_runs(table &jobs, int32 up_to) {
    next_runs done{};
    permit all{true, nullptr, 0};
    policy how{waiting::passes, 0, all, nullptr};
    lookup noted = begin_lookup(jobs, "jobs_next_run", InvalidOid, InvalidOid, SnapshotSelf);
    index_rescan(noted.scan, nullptr, 0, nullptr, 0);
    lookup by_key = begin_key_lookup(jobs);
    while (done.pushed + done.busy < up_to && index_getnext_slot(noted.scan, ForwardScanDirection, jobs.found)) {
        CHECK_FOR_INTERRUPTS();
        if (is_live(read_job(jobs.found).is)) continue;
        if (done.pushed + done.busy == 0) check_added_columns(jobs);
        if (lock_row(jobs, &jobs.found->tts_tid, LockTupleExclusive, LockWaitSkip) != TM_Ok) {
            done.busy++;
            continue;
        }
        job_row row = read_job(jobs.held);
        if (is_live(row.is) || !row.has_next) continue;
        HeapTuple ended = ExecCopySlotHeapTuple(jobs.held);
        ExecStoreHeapTuple(ended, jobs.copy, false);
        new_job job = read_next_run(jobs.copy);
        change c{};
        c.kind = change_kind::push;
        c.job = &job;
        c.key = job.key;
        make_ids({&c, 1});
        insert_job(jobs, by_key, c, how, true);
        if (c.is == verdict::locked) {
            done.busy++;
            continue;
        }
        tell({&c, 1});
        copy_row(jobs, jobs.copy);
        set_null(jobs, jobs_next_run);
        if (update(jobs, &ended->t_self, true) != TM_Ok) elog(ERROR, "a locked job changed");
        CommandCounterIncrement();
        done.pushed++;
    }
    end_lookup(by_key);
    end_lookup(noted);
    if (done.pushed > 0) note_locks();
    CommandCounterIncrement();
    return done;
}

task_result run_next_runs(const task_settings &) {
    next_runs done = with_jobs([](table &jobs) { return push_next_runs(jobs, max_batch); });
    return {psprintf("{\"pushed\": %d, \"busy\": %d}", done.pushed, done.busy), 0, {nullptr, 0}};
}

// Where nothing was ever noted there is nothing to do.
TimestampTz next_runs_from(const task_settings &) {
    Relation index = index_open(get_relname_relid("jobs_next_run", schema()), AccessShareLock);
    bool used = RelationGetNumberOfBlocks(index) > 1;
    index_close(index, AccessShareLock);
    return used ? 0 : DT_NOEND;
}

}  // namespace

extern const task next_runs_task;
constinit const task next_runs_task{"next_runs", 5 * USECS_PER_SEC, {}, run_next_runs, next_runs_from};

}  // namespace chancy
