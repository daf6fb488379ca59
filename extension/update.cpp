// update: write the results of attempts, and exchange them for the next jobs.
//
// A result is fenced (rule 8): it applies only while the job is running, taken by this worker, with
// the started_at that the fetch gave. Anything else is told as stale and changes nothing.
#include "update.hpp"

#include "buffer.hpp"
#include "event.hpp"
#include "fetch.hpp"
#include "retry.hpp"
#include "role.hpp"
#include "rows.hpp"
#include "workflow.hpp"

namespace chancy {

namespace {

constexpr const char *update_keys = "id, started_at, outcome, error, retry_at, meta, result";
constexpr const char *outcome_names[] = {"succeeded", "failed", "discarded", "snoozed", "released"};

}  // namespace

outcome parse_outcome(bytes text, place where) {
    for (int i = 0; i < 5; i++)
        if (text == view(outcome_names[i])) return static_cast<outcome>(i);
    refuse(where, psprintf("is not a known outcome: \"%s\"", shown(text)),
           "Known: succeeded, failed, discarded, snoozed, released.");
}

std::span<change> begin_updates(size_t count, bytes worker, bool skip) {
    std::span<change> updates = make_span<change>(count);
    std::span<result> results = make_span<result>(count);
    for (size_t i = 0; i < count; i++) {
        results[i] = {};
        results[i].worker = worker;
        results[i].retry_at = DT_NOBEGIN;
        updates[i] = {};
        updates[i].kind = change_kind::result;
        updates[i].result = &results[i];
        updates[i].order = updates[i].element = static_cast<int>(i);
        updates[i].skip = skip;
    }
    return updates;
}

void check_result(const result &r, place where) {
    if (r.retry_at != DT_NOBEGIN) check_finite(where.at("retry_at"), r.retry_at);
    if (r.is == outcome::snoozed && r.retry_at == DT_NOBEGIN)
        refuse(where.at("retry_at"), "is missing", "A snoozed job needs the time to wake at.");
    if (r.retry_at != DT_NOBEGIN && r.is != outcome::snoozed && r.is != outcome::failed)
        refuse(where.at("retry_at"), "does not go with this outcome", "Only failed and snoozed jobs run again at a given time.");
    if (r.error.data != nullptr && r.is != outcome::failed && r.is != outcome::discarded)
        refuse(where.at("error"), "does not go with this outcome", "Only failed and discarded take an error.");
}

void check_attempt(bool id, bool started_at, bool outcome, place where) {
    if (!id) refuse(where.at("id"), "is missing", "Give the id that fetch_jobs returned.");
    if (!started_at) refuse(where.at("started_at"), "is missing", "Give the started_at that fetch_jobs returned: it names the attempt.");
    if (!outcome) refuse(where.at("outcome"), "is missing", "Known: succeeded, failed, discarded, snoozed, released.");
}

namespace {

void read_update(JsonbContainer *object, place where, change *c) {
    bool has_id = false, has_start = false, has_outcome = false;
    result *r = c->result;
    each_field(object, [&](bytes name, JsonbValue *value) {
        bool given = value->type != jbvNull;
        if (name == view("id")) {
            if ((has_id = given)) c->id = json_uuid(value, where.at("id"));
        } else if (name == view("started_at")) {
            if ((has_start = given)) r->started_at = json_time(value, where.at("started_at"));
        } else if (name == view("outcome")) {
            if ((has_outcome = given))
                r->is = parse_outcome(json_text(value, where.at("outcome")), where.at("outcome"));
        } else if (name == view("error")) {
            if (given) r->error = json_text(value, where.at("error"));
        } else if (name == view("retry_at")) {
            if (given) r->retry_at = json_time(value, where.at("retry_at"));
        } else if (name == view("meta")) {
            if (given) r->meta = json_object(value, where.at("meta"));
        } else if (name == view("result")) {
            if (given) r->value = json_any(value);
        } else {
            refuse_field(where, name, update_keys);
        }
    });
    check_attempt(has_id, has_start, has_outcome, where);
    check_result(*r, where);
}

}  // namespace

void check_ids_differ(std::span<change> updates) {
    change **by_id = static_cast<change **>(palloc(sizeof(change *) * updates.size() + 1));
    for (size_t i = 0; i < updates.size(); i++) by_id[i] = &updates[i];
    std::sort(by_id, by_id + updates.size(), [](const change *a, const change *b) {
        int order = compare(a->id, b->id);
        return order != 0 ? order < 0 : a->order < b->order;
    });
    for (size_t i = 1; i < updates.size(); i++)
        if (compare(by_id[i - 1]->id, by_id[i]->id) == 0)
            refuse({"updates", by_id[i]->element, "id"}, psprintf("is that of updates[%d] too", by_id[i - 1]->element),
                   "Give each job once in a batch.");
}

bool parse_on_locked(bytes on_locked) {
    if (on_locked == view("wait")) return false;
    if (on_locked == view("skip")) return true;
    refuse({nullptr, 0, "on_locked"}, "is not a known mode", "Known: \"wait\" and \"skip\".");
}

namespace {

std::span<change> read_updates(Jsonb *batch, bytes worker, bool skip) {
    std::span<change> updates = begin_updates(batch_size(batch, "updates"), worker, skip);
    each_object(batch, "updates", [&](int i, JsonbContainer *object) { read_update(object, {"updates", i, nullptr}, &updates[i]); });
    check_ids_differ(updates);
    return updates;
}

}  // namespace

const char *reason(verdict v) {
    switch (v) {
        case verdict::stale:
            return "stale";
        case verdict::locked:
            return "locked";
        case verdict::conflict:
            return "conflict";
        case verdict::missing:
            return "missing";
        default:
            return nullptr;
    }
}

namespace {

void apply_updates(moment m, FunctionCallInfo fcinfo, const rows &out) {
    check_given(fcinfo, 0, "worker_id");
    check_given(fcinfo, 1, "updates");
    check_given(fcinfo, 2, "on_locked");
    bytes worker = copy_argument_text(fcinfo, 0);
    check_text({nullptr, 0, "worker_id"}, worker, max_name);
    bool skip = parse_on_locked(argument_text(fcinfo, 2));
    // What is buffered points into the batch, so that has to live as long.
    Jsonb *batch = m == moment::now ? PG_GETARG_JSONB_P(1) : PG_GETARG_JSONB_P_COPY(1);
    std::span<change> updates = read_updates(batch, worker, skip);
    permit may = require(role_kind::worker);
    if (m == moment::commit) {
        check_queues(updates, may);
        buffer("apply_updates", updates);
    } else {
        with_jobs([=](table &jobs) { apply(jobs, updates, {waiting::allowed, 0, may, nullptr}); });
    }
    for (change &c : updates) {
        const char *why = reason(c.is);
        bool open = c.is == verdict::open;
        Datum values[] = {Int32GetDatum(c.element + 1), UUIDPGetDatum(&c.id), c.known ? text_datum(view(name(c.after))) : 0,
                          BoolGetDatum(c.is == verdict::applied), why != nullptr ? text_datum(view(why)) : 0};
        bool nulls[] = {false, false, !c.known, open, why == nullptr};
        out.put(values, nulls);
    }
}

}  // namespace

void check_exchange(FunctionCallInfo fcinfo, int queue, int up_to) {
    bytes worker = argument_text(fcinfo, 0);
    check_given(fcinfo, up_to, "up_to");
    check_text({nullptr, 0, "worker_id"}, worker, max_name);
    if (PG_GETARG_INT32(up_to) == 0) return;
    check_given(fcinfo, queue, "queue");
    check_fetch(argument_text(fcinfo, queue), worker, PG_GETARG_INT32(up_to));
}

namespace {

void exchange_updates(FunctionCallInfo fcinfo, const rows &out) {
    check_given(fcinfo, 0, "worker_id");
    check_given(fcinfo, 1, "updates");
    check_given(fcinfo, 4, "on_locked");
    check_exchange(fcinfo, 2, 3);
    bytes worker = argument_text(fcinfo, 0);
    std::span<change> updates = read_updates(PG_GETARG_JSONB_P(1), worker, parse_on_locked(argument_text(fcinfo, 4)));
    exchange(updates, argument_text(fcinfo, 2), worker, PG_GETARG_INT32(3), [&](const exchanged &row, table &jobs) {
        Datum job = row.job == nullptr ? 0 : heap_copy_tuple_as_datum(row.job, RelationGetDescr(jobs.rel));
        Datum values[] = {text_datum(view(row.kind)), Int32GetDatum(row.ord), row.reason == nullptr ? 0 : text_datum(view(row.reason)),
                          Int32GetDatum(row.number), job};
        bool nulls[] = {false, row.ord == 0, row.reason == nullptr, row.ord != 0 || job != 0, job == 0};
        out.put(values, nulls);
    });
}

}  // namespace

void write_result(table &jobs, TupleTableSlot *slot, const change &c, state *after) {
    const result &r = *c.result;
    job_row row = read_job(slot);
    TimestampTz now = GetCurrentTimestamp();
    bool finishes = false, counts = r.is != outcome::snoozed && r.is != outcome::released;
    switch (r.is) {
        case outcome::succeeded:
            *after = state::succeeded;
            finishes = true;
            break;
        case outcome::failed:
            finishes = row.attempts + 1 >= row.max_attempts;
            *after = finishes ? state::failed : state::retrying;
            if (!finishes) {
                Jsonb *meta = r.meta != nullptr ? r.meta : DatumGetJsonbP(slot->tts_values[jobs_meta - 1]);
                set(jobs, jobs_scheduled_at,
                    TimestampTzGetDatum(r.retry_at != DT_NOBEGIN ? r.retry_at : now + retry_delay(meta, row.attempts + 1)));
            }
            break;
        case outcome::discarded:
            *after = state::failed;
            finishes = true;
            break;
        case outcome::snoozed:
            *after = state::pending;
            set(jobs, jobs_scheduled_at, TimestampTzGetDatum(r.retry_at));
            break;
        case outcome::released:
            *after = state::pending;
            break;
    }
    set_state(jobs, *after);
    if (counts) set(jobs, jobs_attempts, Int32GetDatum(row.attempts + 1));
    if (finishes)
        set(jobs, jobs_completed_at, TimestampTzGetDatum(now));
    else
        set_null(jobs, jobs_taken_by);  // started_at stays: the next claim's must be later
    if (r.error.data != nullptr)
        set(jobs, jobs_errors, append_error(slot->tts_values[jobs_errors - 1], row.attempts, r.error));
    if (r.meta != nullptr)
        set(jobs, jobs_meta, JsonbPGetDatum(keep_mark(DatumGetJsonbP(slot->tts_values[jobs_meta - 1]), r.meta)));
    if (r.value != nullptr) set(jobs, jobs_result, JsonbPGetDatum(r.value));
    set(jobs, jobs_recoveries, Int32GetDatum(0));
}

}  // namespace chancy

extern "C" {

CHANCY_FUNCTION(chancy_apply_updates) {
    PreventCommandIfReadOnly("chancy.apply_updates()");
    chancy::rows out = chancy::begin_rows(fcinfo);
    chancy::moment m = chancy::when();
    chancy::with_call_memory(m, "chancy apply_updates", [=] { chancy::apply_updates(m, fcinfo, out); });
    return 0;
}

CHANCY_FUNCTION(chancy_exchange) {
    PreventCommandIfReadOnly("chancy.exchange()");
    chancy::rows out = chancy::begin_rows(fcinfo);
    chancy::with_memory("chancy exchange", [=] { chancy::exchange_updates(fcinfo, out); });
    return 0;
}
}
