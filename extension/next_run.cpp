// next_run: what runs after the job that runs.
//
// A push that meets a running job notes the next run in its row (unique.cpp). Whoever ends the attempt sees to it, in the same
// transaction and without waiting, since the slot of the key is its own until it commits. While other pushers hold the row it is
// left to maintenance (push_next_runs).
#include "next_run.hpp"

#include "buffer.hpp"
#include "event.hpp"
#include "task.hpp"
#include "worker.hpp"
#include "workflow.hpp"

extern "C" {
#include "utils/json.h"
}

namespace chancy {

namespace {

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

}  // namespace

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
    parse = put(parse, "on_conflict", view(mode_name(mode)));
    return JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&parse, WJB_END_OBJECT, nullptr)));
}

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

}  // namespace

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
