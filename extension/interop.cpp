// interop: Python Chancy's own clients and workers on the same tables.
//
// Python writes a result over its row by id alone, whatever has become of the row meanwhile. The guard, a trigger on
// its statements (our own writes are no statements), turns away what belongs to an attempt that is over. It returns
// NULL rather than an error, which would end Python's updater and lose the batch.
#include "interop.hpp"

#include "buffer.hpp"
#include "error.hpp"
#include "event.hpp"
#include "fetch.hpp"
#include "statement.hpp"

namespace chancy {

namespace {

// Python's channel is its prefix, which is empty here, and this word.
constexpr const char *python_channel = "events";

bool is(bytes text, state s) { return text == view(name(s)); }

// What Python's statements say of a row; state may be anything.
struct python_row {
    bytes state, queue;
    TimestampTz started_at, completed_at;  // 0 for NULL
    bool waiting, running, finished;
};

python_row read(HeapTuple row, TupleDesc desc) {
    auto column = [=](int number, bool *null) { return heap_getattr(row, number, desc, null); };
    auto time = [=](int number) {
        bool null;
        Datum value = column(number, &null);
        return null ? TimestampTz{0} : DatumGetTimestampTz(value);
    };
    bool null;
    python_row r{};
    r.state = view(column(jobs_state, &null));
    r.queue = view(column(jobs_queue, &null));
    r.started_at = time(jobs_started_at);
    r.completed_at = time(jobs_completed_at);
    r.waiting = is(r.state, state::pending) || is(r.state, state::retrying);
    r.running = is(r.state, state::running);
    r.finished = is(r.state, state::succeeded) || is(r.state, state::failed);
    return r;
}

// Does the statement give started_at, as Python's results do and a cancel by hand does not?
bool names_attempt(const TriggerData &t, const python_row &now) {
    return now.started_at != 0 && bms_is_member(jobs_started_at - FirstLowInvalidHeapAttributeNumber, t.tg_updatedcols);
}

bool is_stale(const TriggerData &t, const python_row &was, const python_row &now) {
    bool changes = !(was.state == now.state);
    // Another attempt's result, or one of a job that never started.
    if (now.started_at != 0 && now.started_at != was.started_at) return true;
    // A result for a row that was recovered, released or snoozed meanwhile.
    if (was.waiting && changes && names_attempt(t, now)) return true;
    // Over is over: cancelled, say. A late `failed` on a cancelled row changes no state, but gives another end.
    return was.finished && (changes || (names_attempt(t, now) && now.completed_at != was.completed_at));
}

// started_at is the fencing token: it strictly rises with each claim, whatever Python's transaction took for now.
HeapTuple raise_start(const TriggerData &t, const python_row &was, const python_row &now) {
    if (now.started_at > was.started_at) return t.tg_newtuple;
    int column = jobs_started_at;
    Datum start = TimestampTzGetDatum(std::max(GetCurrentTimestamp(), was.started_at + 1));
    bool null = false;
    return heap_modify_tuple_by_cols(t.tg_newtuple, RelationGetDescr(t.tg_relation), 1, &column, &start, &null);
}

// What our side would have told of the same change.
void tell_change(const TriggerData &t, const python_row &was, const python_row &now) {
    // Pending again; or a slot of a queue with a limit is free.
    bool freed = was.running && !now.running;
    if (freed && (is(now.state, state::pending) || read_queue(now.queue, GetCurrentTimestamp()).limits.concurrency()))
        emit("queue.pushed", "q", now.queue);
    if (was.finished || !now.finished || !anybody_watches()) return;
    bool null;
    Datum id = heap_getattr(t.tg_newtuple, jobs_id, RelationGetDescr(t.tg_relation), &null);
    tell_finished(*DatumGetUUIDP(id), is(now.state, state::failed) ? state::failed : state::succeeded);
}

HeapTuple guard(const TriggerData &t) {
    if (!python_interop()) return t.tg_newtuple;
    python_row was = read(t.tg_trigtuple, RelationGetDescr(t.tg_relation));
    python_row now = read(t.tg_newtuple, RelationGetDescr(t.tg_relation));
    if (was.waiting && now.running) return raise_start(t, was, now);
    if (is_stale(t, was, now)) return nullptr;
    tell_change(t, was, now);
    return t.tg_newtuple;
}

void wake(const TriggerData &t) {
    // The trigger has a condition: the job is waiting, and due.
    if (python_interop()) emit("queue.pushed", "q", read(t.tg_trigtuple, RelationGetDescr(t.tg_relation)).queue);
}

// Both read rows of jobs by column number: no other table may call them.
const TriggerData &trigger_of_jobs(FunctionCallInfo fcinfo, TriggerEvent wanted) {
    if (!CALLED_AS_TRIGGER(fcinfo))
        ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED), errmsg("this function is called by a trigger only"),
                        errhint("It belongs to chancy.jobs.")));
    auto *t = reinterpret_cast<TriggerData *>(fcinfo->context);
    constexpr TriggerEvent kind = TRIGGER_EVENT_OPMASK | TRIGGER_EVENT_ROW | TRIGGER_EVENT_TIMINGMASK;
    if ((t->tg_event & kind) != wanted || RelationGetRelid(t->tg_relation) != table_oid("jobs"))
        ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                        errmsg("this function is for chancy.jobs and its own triggers only"),
                        errhint("Drop the trigger \"%s\".", t->tg_trigger->tgname)));
    return *t;
}

}  // namespace

bool python_interop() {
    return with_row("event_channels", F_TEXTEQ, text_datum(view(python_channel)), [](HeapTuple, TupleDesc) {});
}

}  // namespace chancy

extern "C" {

CHANCY_FUNCTION(chancy_python_guard) {
    const TriggerData &t = chancy::trigger_of_jobs(fcinfo, TRIGGER_EVENT_UPDATE | TRIGGER_EVENT_ROW | TRIGGER_EVENT_BEFORE);
    return PointerGetDatum(chancy::guard(t));
}

CHANCY_FUNCTION(chancy_python_wake) {
    chancy::wake(chancy::trigger_of_jobs(fcinfo, TRIGGER_EVENT_INSERT | TRIGGER_EVENT_ROW | TRIGGER_EVENT_AFTER));
    return PointerGetDatum(nullptr);
}
}
