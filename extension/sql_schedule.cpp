// sql_job: schedules whose jobs are SQL jobs: cron, with "function", "args" and "timeout" instead of "func" and "kwargs".
//
// What a tick calls, and as whom, is not in chancy.cron, which an admin may write, but in chancy.sql_schedules, which nobody but the
// owner may. A tick copies it to chancy.sql_jobs, in the transaction that pushes its job.
#include "sql_job.hpp"

#include "statement.hpp"

extern "C" {
#include "utils/json.h"
#include "utils/regproc.h"
}

namespace chancy {

namespace {

enum column : int { schedule_key = 1, schedule_role, schedule_function, schedule_args, schedule_timeout };

Jsonb *concat(Jsonb *object, const char *more) {
    return DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(object), DirectFunctionCall1(jsonb_in, CStringGetDatum(more))));
}

bool take_field(void *, bytes name, JsonbValue *) { return name == view("function") || name == view("args") || name == view("timeout"); }

}  // namespace

// Read by read_sql_schedule already.
constinit const more_fields sql_schedule_fields{take_field, nullptr, "function, args, timeout"};

bool is_sql_schedule(Jsonb *job) {
    JsonbValue *function = json_field(&job->root, "function");
    return function != nullptr && function->type != jbvNull;
}

Jsonb *read_sql_schedule(Jsonb *job, place where, sql_call *call) {
    *call = {GetUserId(), nullptr, nullptr, nullptr, nullptr};
    Oid function = InvalidOid;
    bytes func{nullptr, 0}, queue{nullptr, 0};
    each_field(&job->root, [&](bytes name, JsonbValue *value) {
        if (value->type == jbvNull) return;
        if (name == view("function"))
            function = DatumGetObjectId(DirectFunctionCall1(regprocedurein, CStringGetDatum(to_cstring(json_text(value, where.at("function"))))));
        else if (name == view("args"))
            call->args = json_array(value, where.at("args"));
        else if (name == view("timeout"))
            call->timeout = json_interval(value, where.at("timeout"));
        else if (name == view("func"))
            func = json_text(value, where.at("func"));
        else if (name == view("queue"))
            queue = json_text(value, where.at("queue"));
        else if (name == view("kwargs") || name == view("limits"))
            refuse(where.at(to_cstring(name)), "does not go with function", "Its arguments are args, its limit is timeout.");
        else if (name == view("on_conflict") && !(json_text(value, where.at("on_conflict")) == view("keep")))
            refuse(where.at("on_conflict"), "must be keep with function", "A SQL job stays what it was pushed as.");
    });
    Interval *hour = static_cast<Interval *>(palloc0(sizeof(Interval)));
    hour->time = USECS_PER_HOUR;
    if (call->timeout == nullptr) call->timeout = hour;
    if (call->args == nullptr) call->args = make_defaults().array;
    check_timeout(call->timeout, where.at("timeout"));
    check_call(function, call->args, where);
    // Qualified, since whoever reads it may have another search_path.
    call->function = format_procedure_qualified(function);
    char *called = get_func_name(function);
    if (func.data != nullptr && !(func == view(called))) refuse(where.at("func"), "is not the function's name", "Leave it out: function says what is called.");
    StringInfoData more;
    initStringInfo(&more);
    appendStringInfoString(&more, "{\"func\": ");
    escape_json(&more, called);
    appendStringInfoString(&more, ", \"function\": ");
    escape_json(&more, call->function);
    appendStringInfoString(&more, queue.data == nullptr ? ", \"queue\": \"sql\"}" : "}");
    return concat(job, more.data);
}

void keep_call(bytes key, const sql_call *call) {
    parameter name{TEXTOID, text_datum(key), false};
    run_as_owner("DELETE FROM chancy.sql_schedules WHERE key OPERATOR(pg_catalog.=) $1", {&name, 1});
    if (call == nullptr) return;
    parameter parameters[] = {name,
                              {REGROLEOID, ObjectIdGetDatum(call->role), false},
                              {TEXTOID, CStringGetTextDatum(call->function), false},
                              {JSONBOID, JsonbPGetDatum(call->args), false},
                              {INTERVALOID, IntervalPGetDatum(call->timeout), false}};
    run_as_owner("INSERT INTO chancy.sql_schedules (key, role, function, args, timeout) VALUES ($1, $2, $3, $4, $5)", parameters);
}

bool find_call(bytes key, sql_call *call) {
    return with_row("sql_schedules", F_TEXTEQ, text_datum(key), [=](HeapTuple row, TupleDesc desc) {
        bool null;
        Interval *timeout = static_cast<Interval *>(palloc(sizeof(Interval)));
        *timeout = *DatumGetIntervalP(heap_getattr(row, schedule_timeout, desc, &null));
        *call = {DatumGetObjectId(heap_getattr(row, schedule_role, desc, &null)), TextDatumGetCString(heap_getattr(row, schedule_function, desc, &null)),
                 DatumGetJsonbPCopy(heap_getattr(row, schedule_args, desc, &null)), timeout, nullptr};
    });
}

}  // namespace chancy
