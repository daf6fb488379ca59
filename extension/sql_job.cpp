// sql_job: jobs that are functions and procedures of the database.
//
// push_sql records who pushes what in a table that only the owner may write, after checking that this role may execute
// it: neither kwargs nor meta nor the row in jobs, which others may write, has a say in what runs and as whom.
// How one runs: sql_run.cpp.
#include "sql_job.hpp"

#include "background.hpp"
#include "change.hpp"
#include "role.hpp"
#include "statement.hpp"
#include "task.hpp"
#include "worker.hpp"

extern "C" {
#include "catalog/pg_proc.h"
#include "storage/procarray.h"
#include "utils/regproc.h"

#include <signal.h>
}

namespace chancy {

namespace {

constexpr place here{nullptr, 0, nullptr};

int64 check_span(const Interval *given, place where, int64 least, int64 most) {
    int64 span = microseconds(given);
    if (span < least || span > most)
        refuse(where, "is out of range",
               psprintf("From %lld s to %lld s.", static_cast<long long>(least / USECS_PER_SEC), static_cast<long long>(most / USECS_PER_SEC)));
    return span;
}

}  // namespace

int64 check_timeout(const Interval *timeout, place where) { return check_span(timeout, where, USECS_PER_SEC, USECS_PER_DAY); }

void check_call(Oid function, Jsonb *args, place where) {
    HeapTuple row = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
    if (!HeapTupleIsValid(row)) refuse(where.at("function"), "does not exist", "Name it with its argument types, such as 'app.refresh(text)'.");
    auto proc = reinterpret_cast<Form_pg_proc>(GETSTRUCT(row));
    char kind = proc->prokind;
    int most = proc->pronargs, least = most - proc->pronargdefaults;
    bool variadic = OidIsValid(proc->provariadic), trigger = proc->prorettype == TRIGGEROID || proc->prorettype == EVENT_TRIGGEROID;
    bool pseudo = false;
    for (int i = 0; i < most; i++) pseudo = pseudo || get_typtype(proc->proargtypes.values[i]) == TYPTYPE_PSEUDO;
    ReleaseSysCache(row);
    if ((kind != PROKIND_FUNCTION && kind != PROKIND_PROCEDURE) || trigger || variadic || pseudo)
        refuse(where.at("function"), "cannot be a job", "Give a plain function or procedure, without VARIADIC and pseudo-type arguments.");
    if (!JB_ROOT_IS_ARRAY(args) || JB_ROOT_IS_SCALAR(args)) refuse(where.at("args"), "must be an array", "Give the arguments in their order, such as [1, \"x\"].");
    int given = JB_ROOT_COUNT(args);
    if (given < least || given > most)
        refuse(where.at("args"), psprintf("has %d elements", given), psprintf("The function takes %d to %d.", least, most));
    if (!DatumGetBool(DirectFunctionCall3(has_function_privilege_id_id, ObjectIdGetDatum(GetUserId()), ObjectIdGetDatum(function),
                                          PointerGetDatum(cstring_to_text("EXECUTE")))))
        ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                        errmsg("role \"%s\" may not execute %s", GetUserNameFromId(GetUserId(), false), format_procedure(function)),
                        errhint("A SQL job runs as the role that pushes it.")));
}

void record_call(const pg_uuid_t &id, const sql_call &call) {
    parameter parameters[] = {{UUIDOID, UUIDPGetDatum(&id), false},
                              {REGROLEOID, ObjectIdGetDatum(call.role), false},
                              {TEXTOID, CStringGetTextDatum(call.function), false},
                              {JSONBOID, JsonbPGetDatum(call.args), false},
                              {INTERVALOID, IntervalPGetDatum(call.timeout), false},
                              {INTERVALOID, IntervalPGetDatum(call.every), call.every == nullptr}};
    run_as_owner("INSERT INTO chancy.sql_jobs (job_id, role, function, args, timeout, every) VALUES ($1, $2, $3, $4, $5, $6)", parameters);
    wake_maintenance();
}

namespace {

pg_uuid_t push_sql(FunctionCallInfo fcinfo) {
    static const char *const names[] = {"function", "args", "queue", "priority", "max_attempts", "scheduled_at", "timeout"};
    for (int i = 0; i < 7; i++) check_given(fcinfo, i, names[i]);
    Oid function = PG_GETARG_OID(0);
    sql_call call{GetUserId(), nullptr, PG_GETARG_JSONB_P(1), PG_GETARG_INTERVAL_P(6), fcinfo->args[7].isnull ? nullptr : PG_GETARG_INTERVAL_P(7)};
    bytes queue = argument_text(fcinfo, 2);
    check_text(here.at("queue"), queue, max_queue);
    if (PG_GETARG_INT32(4) < 1) refuse(here.at("max_attempts"), "must be at least 1", "1 means: run once, no retry.");
    check_finite(here.at("scheduled_at"), PG_GETARG_TIMESTAMPTZ(5));
    check_timeout(call.timeout, here.at("timeout"));
    if (call.every != nullptr) check_span(call.every, here.at("every"), USECS_PER_SEC, 366 * USECS_PER_DAY);
    check_queue(require(role_kind::producer), queue);
    check_call(function, call.args, here);
    call.function = format_procedure_qualified(function);
    job_defaults d = make_defaults();
    new_job job{};
    job.func = view(get_func_name(function));
    job.queue = queue;
    job.kwargs = job.meta = d.object;
    job.limits = d.array;
    job.priority = PG_GETARG_INT32(3);
    job.max_attempts = PG_GETARG_INT32(4);
    job.scheduled_at = PG_GETARG_TIMESTAMPTZ(5);
    change c{};
    c.kind = change_kind::push;
    c.job = &job;
    make_ids({&c, 1});
    with_jobs([&](table &jobs) {
        permit all{true, nullptr, 0};
        apply(jobs, {&c, 1}, {waiting::allowed, 0, all, nullptr});
    });
    record_call(c.id, call);
    return c.id;
}

// What pruned jobs leave, and schedules that somebody deleted from the table.
task_result forget(const task_settings &) {
    uint64 deleted = run_as_owner(
        "DELETE FROM chancy.sql_jobs d USING (SELECT s.job_id FROM chancy.sql_jobs s WHERE NOT EXISTS"
        " (SELECT FROM chancy.jobs j WHERE j.id OPERATOR(pg_catalog.=) s.job_id) FOR UPDATE SKIP LOCKED) AS old"
        " WHERE d.job_id OPERATOR(pg_catalog.=) old.job_id",
        {});
    run_as_owner(
        "DELETE FROM chancy.sql_schedules d USING (SELECT s.key FROM chancy.sql_schedules s WHERE NOT EXISTS"
        " (SELECT FROM chancy.cron c WHERE c.unique_key OPERATOR(pg_catalog.=) s.key) FOR UPDATE SKIP LOCKED) AS old"
        " WHERE d.key OPERATOR(pg_catalog.=) old.key",
        {});
    return {psprintf("{\"deleted\": %d}", static_cast<int>(deleted)), 0, {nullptr, 0}};
}

}  // namespace

extern const task sql_jobs_task;
constinit const task sql_jobs_task{"sql_jobs", 600 * USECS_PER_SEC, {}, forget, nullptr};

namespace {

constexpr int most_stops = 64;
int stops[most_stops];
int stop_count = 0;

void at_transaction(XactEvent event, void *) {
    if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT) return;
    // Whoever ran the job cannot have ended it meanwhile: we held its row. It is at it, or waits for us to write its result.
    for (int i = 0; i < stop_count && event == XACT_EVENT_COMMIT; i++) {
        PGPROC *proc = BackendPidGetProc(stops[i]);
        if (proc != nullptr && proc->databaseId == MyDatabaseId) kill(stops[i], SIGINT);
    }
    stop_count = 0;
}

}  // namespace

void stop_sql_job(bytes taken_by) {
    int prefix = strlen(sql_worker_prefix);
    if (taken_by.size <= prefix || memcmp(taken_by.data, sql_worker_prefix, prefix) != 0) return;
    static bool registered = false;
    if (!registered) RegisterXactCallback(at_transaction, nullptr);
    registered = true;
    int pid = atoi(to_cstring({taken_by.data + prefix, taken_by.size - prefix}));
    if (pid > 0 && pid != MyProcPid && stop_count < most_stops) stops[stop_count++] = pid;
}

}  // namespace chancy

extern "C" {

CHANCY_FUNCTION(chancy_push_sql) {
    using namespace chancy;
    PreventCommandIfReadOnly("chancy.push_sql()");
    pg_uuid_t *id = static_cast<pg_uuid_t *>(palloc(sizeof(pg_uuid_t)));
    *id = with_memory("chancy push_sql", [=] { return push_sql(fcinfo); });
    PG_RETURN_UUID_P(id);
}
}
