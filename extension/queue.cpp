// queue: declare, pause, resume and delete queues (deleting itself: purge.cpp).
//
// queues is read on the hot path without locks, so a change holds for the fetch after its commit.
#include "queue.hpp"

#include "buffer.hpp"
#include "event.hpp"
#include "statement.hpp"
#include "version.hpp"

namespace chancy {

namespace {

constexpr place here{nullptr, 0, nullptr};

bytes check_name(FunctionCallInfo fcinfo) {
    check_given(fcinfo, 0, "name");
    bytes queue = argument_text(fcinfo, 0);
    check_text(here.at("name"), queue, max_queue);
    return queue;
}

// An admin of all queues: settings are not per-queue rights.
void require_admin() { require(role_kind::admin); }

enum declare_argument : int {
    arg_name, arg_state, arg_concurrency, arg_tags, arg_executor, arg_executor_options, arg_polling_interval,
    arg_rate_limit, arg_rate_limit_window, arg_resume_at, arg_eager_polling, arg_upsert, arg_max_running,
    arg_max_running_per_key, arg_rate_limit_burst
};

constexpr int queues_created_at = 8;
// The column of each argument; upsert is none.
constexpr int queues_columns[] = {1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 0, 13, 14, 15};

void check_at_least_one(FunctionCallInfo fcinfo, int n, const char *name) {
    if (!fcinfo->args[n].isnull && PG_GETARG_INT32(n) < 1)
        refuse(here.at(name), "must be at least 1", "NULL means: not set.");
}

// Python imports what is behind the last dot from what is before it; without one the worker would end on this queue.
void check_executor(bytes path) {
    place where = here.at("executor");
    check_text(where, path, max_name);
    const char *dot = static_cast<const char *>(memrchr(path.data, '.', path.size));
    if (dot == nullptr || dot == path.data || dot == path.data + path.size - 1)
        refuse(where, psprintf("is no import path: \"%s\"", shown(path)),
               "Give a class that Python Chancy can import, such as \"chancy.executors.thread.ThreadedExecutor\".");
}

void check_declaration(FunctionCallInfo fcinfo) {
    check_given(fcinfo, arg_state, "state");
    check_given(fcinfo, arg_tags, "tags");
    check_given(fcinfo, arg_executor, "executor");
    check_given(fcinfo, arg_executor_options, "executor_options");
    check_given(fcinfo, arg_eager_polling, "eager_polling");
    check_given(fcinfo, arg_upsert, "upsert");
    bytes state = argument_text(fcinfo, arg_state);
    if (!(state == view("active")) && !(state == view("paused")))
        refuse(here.at("state"), "is not a known state", "Known: \"active\" and \"paused\".");
    check_executor(argument_text(fcinfo, arg_executor));
    check_object(PG_GETARG_JSONB_P(arg_executor_options), here.at("executor_options"));
    check_at_least_one(fcinfo, arg_concurrency, "concurrency");
    check_at_least_one(fcinfo, arg_polling_interval, "polling_interval");
    check_at_least_one(fcinfo, arg_rate_limit, "rate_limit");
    check_at_least_one(fcinfo, arg_rate_limit_window, "rate_limit_window");
    if (fcinfo->args[arg_rate_limit].isnull != fcinfo->args[arg_rate_limit_window].isnull)
        refuse(here.at("rate_limit"), "and rate_limit_window go together",
               "Give both: at most rate_limit jobs in each rate_limit_window seconds.");
    check_at_least_one(fcinfo, arg_max_running, "max_running");
    check_at_least_one(fcinfo, arg_max_running_per_key, "max_running_per_key");
    check_at_least_one(fcinfo, arg_rate_limit_burst, "rate_limit_burst");
    if (!fcinfo->args[arg_rate_limit_burst].isnull &&
        (fcinfo->args[arg_rate_limit].isnull || PG_GETARG_INT32(arg_rate_limit_burst) > PG_GETARG_INT32(arg_rate_limit)))
        refuse(here.at("rate_limit_burst"), "must be at most rate_limit",
               "At most rate_limit jobs start in any rate_limit_window seconds, and at most rate_limit_burst of them at once.");
    if (!fcinfo->args[arg_resume_at].isnull)
        check_finite(here.at("resume_at"), PG_GETARG_TIMESTAMPTZ(arg_resume_at));
    if (array_contains_nulls(PG_GETARG_ARRAYTYPE_P(arg_tags)))
        refuse(here.at("tags"), "must not contain NULL", "Tags are regular expressions; '{}' means no worker.");
}

// The queue's row as committed now, whatever the statement's snapshot; 0 when there is none.
Datum find_queue(bytes queue) {
    Datum row = 0;
    with_row("queues", F_TEXTEQ, text_datum(queue),
             [&](HeapTuple found, TupleDesc desc) { row = heap_copy_tuple_as_datum(found, desc); });
    return row;
}

// Settings are written at once, a delete in the same block at commit: that would undo what came after it.
void check_not_deleted(bytes queue) {
    if (delete_is_buffered(queue))
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("this transaction deletes queue \"%s\" at commit", to_cstring(queue)),
                        errhint("Commit first, or call chancy.flush().")));
}

// Returns the queue's row as a datum in the caller's memory.
Datum declare_queue(FunctionCallInfo fcinfo) {
    bytes queue = check_name(fcinfo);
    check_declaration(fcinfo);
    require_admin();
    check_not_deleted(queue);
    bool upsert_given = PG_GETARG_BOOL(arg_upsert);
    if (!upsert_given)
        if (Datum row = find_queue(queue); row != 0) return row;
    bool written = with_table("queues", true, [=](table &queues) {
        return upsert(queues, "queues_pkey", F_TEXTEQ, fcinfo->args[arg_name].value, [=, &queues](bool existing) {
            if (existing && !upsert_given) return false;
            if (!existing) set(queues, queues_created_at, TimestampTzGetDatum(GetCurrentTransactionStartTimestamp()));
            for (int i = 0; i <= arg_rate_limit_burst; i++) {
                if (i == arg_upsert) continue;
                const NullableDatum &given = fcinfo->args[i];
                if (given.isnull)
                    set_null(queues, queues_columns[i]);
                else
                    set(queues, queues_columns[i], given.value);
            }
            return true;
        });
    });
    note_locks();
    CommandCounterIncrement();
    if (written) emit("queue.declared", "q", queue);
    Datum row = find_queue(queue);
    if (row == 0)
        ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
                        errmsg("queue \"%s\" was deleted by another transaction meanwhile", to_cstring(queue)),
                        errhint("Retry the transaction.")));
    return row;
}

// True when the queue exists.
bool set_queue_state(FunctionCallInfo fcinfo, const char *state, parameter resume_at, const char *event) {
    bytes queue = check_name(fcinfo);
    require_admin();
    check_not_deleted(queue);
    parameter parameters[] = {given(fcinfo, 0, TEXTOID), {TEXTOID, text_datum(view(state)), false}, resume_at};
    uint64 changed = run_as_owner(
        "UPDATE chancy.queues q SET state = $2, resume_at = $3 WHERE q.name OPERATOR(pg_catalog.=) $1", parameters);
    note_locks();
    if (changed > 0) emit(event, "q", queue);
    return changed > 0;
}

bool pause_queue(FunctionCallInfo fcinfo) {
    if (!fcinfo->args[1].isnull) check_finite(here.at("resume_at"), PG_GETARG_TIMESTAMPTZ(1));
    return set_queue_state(fcinfo, "paused", given(fcinfo, 1, TIMESTAMPTZOID), "queue.paused");
}

bool resume_queue(FunctionCallInfo fcinfo) {
    return set_queue_state(fcinfo, "active", {TIMESTAMPTZOID, 0, true}, "queue.resumed");
}

// True, false, or neither when it is decided at commit.
struct deleted {
    bool known, existed;
};

deleted delete_queue(moment m, FunctionCallInfo fcinfo) {
    check_name(fcinfo);
    check_given(fcinfo, 1, "purge_jobs");
    require_admin();
    deleted_queue one{copy_argument_text(fcinfo, 0), PG_GETARG_BOOL(1), false, 0, take_tick()};
    if (m == moment::commit) {
        buffer_delete(one);
        return {false, false};
    }
    permit all{true, nullptr, 0};
    delete_queues({&one, 1}, {waiting::allowed, 0, all, nullptr});
    return {true, one.existed};
}

}  // namespace

}  // namespace chancy

extern "C" {

CHANCY_FUNCTION(chancy_declare_queue) {
    PreventCommandIfReadOnly("chancy.declare_queue()");
    chancy::check_version();  // before the arguments: an older extension has fewer
    PG_RETURN_DATUM(chancy::declare_queue(fcinfo));
}

CHANCY_FUNCTION(chancy_pause_queue) {
    PreventCommandIfReadOnly("chancy.pause_queue()");
    PG_RETURN_BOOL(chancy::pause_queue(fcinfo));
}

CHANCY_FUNCTION(chancy_resume_queue) {
    PreventCommandIfReadOnly("chancy.resume_queue()");
    PG_RETURN_BOOL(chancy::resume_queue(fcinfo));
}

CHANCY_FUNCTION(chancy_delete_queue) {
    PreventCommandIfReadOnly("chancy.delete_queue()");
    chancy::moment m = chancy::when();
    chancy::deleted result = chancy::with_call_memory(m, "chancy delete_queue", [=] { return chancy::delete_queue(m, fcinfo); });
    if (!result.known) PG_RETURN_NULL();
    PG_RETURN_BOOL(result.existed);
}
}
