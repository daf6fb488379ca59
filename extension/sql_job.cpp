// sql_job: jobs that are functions and procedures of the database.
//
// push_sql records who pushes what in a table that only the owner may write, after checking that this role may execute
// it: neither kwargs nor meta nor the row in jobs, which others may write, has a say in what runs and as whom.
// A runner claims a job in a first transaction, as any worker. In a second one it becomes the recorded role, as logical
// replication and autovacuum do (SECURITY_RESTRICTED_OPERATION), calls the function, and writes the result: both or nothing, so a
// job whose server dies has done nothing and runs again, and a result that does not apply (the job was cancelled) undoes what the
// function did. What fails is rolled back to a savepoint, and its error is the result. The transaction commits as that role, too: what
// the function has left for the commit (a deferred trigger of its own) does not run as anybody else.
#include "sql_job.hpp"

#include "background.hpp"
#include "buffer.hpp"
#include "fetch.hpp"
#include "role.hpp"
#include "setting.hpp"
#include "statement.hpp"
#include "task.hpp"
#include "worker.hpp"

extern "C" {
#include "access/parallel.h"
#include "catalog/pg_proc.h"
#include "commands/defrem.h"
#include "pgstat.h"
#include "storage/procarray.h"
#include "tcop/tcopprot.h"
#include "utils/regproc.h"
#include "utils/timeout.h"

#include <signal.h>
}

namespace chancy {

namespace {

constexpr place here{nullptr, 0, nullptr};
constexpr const char *worker_prefix = "sql/";

// ---- push

// Refuses what cannot be called so.
void check_function(Oid function, Jsonb *args) {
    HeapTuple row = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
    if (!HeapTupleIsValid(row)) refuse(here.at("function"), "does not exist", "Name it with its argument types, such as 'app.refresh(text)'.");
    auto proc = reinterpret_cast<Form_pg_proc>(GETSTRUCT(row));
    char kind = proc->prokind;
    int most = proc->pronargs, least = most - proc->pronargdefaults;
    bool variadic = OidIsValid(proc->provariadic), trigger = proc->prorettype == TRIGGEROID || proc->prorettype == EVENT_TRIGGEROID;
    bool pseudo = false;
    for (int i = 0; i < most; i++) pseudo = pseudo || get_typtype(proc->proargtypes.values[i]) == TYPTYPE_PSEUDO;
    ReleaseSysCache(row);
    if ((kind != PROKIND_FUNCTION && kind != PROKIND_PROCEDURE) || trigger || variadic || pseudo)
        refuse(here.at("function"), "cannot be a job", "Give a plain function or procedure, without VARIADIC and pseudo-type arguments.");
    if (!JB_ROOT_IS_ARRAY(args) || JB_ROOT_IS_SCALAR(args)) refuse(here.at("args"), "must be an array", "Give the arguments in their order, such as [1, \"x\"].");
    int given = JB_ROOT_COUNT(args);
    if (given < least || given > most)
        refuse(here.at("args"), psprintf("has %d elements", given), psprintf("The function takes %d to %d.", least, most));
    if (!DatumGetBool(DirectFunctionCall3(has_function_privilege_id_id, ObjectIdGetDatum(GetUserId()), ObjectIdGetDatum(function),
                                          PointerGetDatum(cstring_to_text("EXECUTE")))))
        ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                        errmsg("role \"%s\" may not execute %s", GetUserNameFromId(GetUserId(), false), format_procedure(function)),
                        errhint("A SQL job runs as the role that pushes it.")));
}

int64 check_span(FunctionCallInfo fcinfo, int n, const char *name, int64 least, int64 most) {
    int64 span = microseconds(PG_GETARG_INTERVAL_P(n));
    if (span < least || span > most)
        refuse(here.at(name), "is out of range",
               psprintf("From %lld s to %lld s.", static_cast<long long>(least / USECS_PER_SEC), static_cast<long long>(most / USECS_PER_SEC)));
    return span;
}

pg_uuid_t push_sql(FunctionCallInfo fcinfo) {
    static const char *const names[] = {"function", "args", "queue", "priority", "max_attempts", "scheduled_at", "timeout"};
    for (int i = 0; i < 7; i++) check_given(fcinfo, i, names[i]);
    Oid function = PG_GETARG_OID(0), user = GetUserId();
    Jsonb *args = PG_GETARG_JSONB_P(1);
    bytes queue = argument_text(fcinfo, 2);
    check_text(here.at("queue"), queue, max_queue);
    if (PG_GETARG_INT32(4) < 1) refuse(here.at("max_attempts"), "must be at least 1", "1 means: run once, no retry.");
    check_finite(here.at("scheduled_at"), PG_GETARG_TIMESTAMPTZ(5));
    check_span(fcinfo, 6, "timeout", USECS_PER_SEC, USECS_PER_DAY);
    if (!fcinfo->args[7].isnull) check_span(fcinfo, 7, "every", USECS_PER_SEC, 366 * USECS_PER_DAY);
    check_queue(require(role_kind::producer), queue);
    check_function(function, args);
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
    parameter parameters[] = {{UUIDOID, UUIDPGetDatum(&c.id), false}, {REGROLEOID, ObjectIdGetDatum(user), false},
                              given(fcinfo, 0, REGPROCEDUREOID), given(fcinfo, 1, JSONBOID), given(fcinfo, 6, INTERVALOID),
                              given(fcinfo, 7, INTERVALOID)};
    run_as_owner("INSERT INTO chancy.sql_jobs (job_id, role, function, args, timeout, every) VALUES ($1, $2, $3, $4, $5, $6)", parameters);
    wake_maintenance();
    return c.id;
}

// ---- run

struct claimed {
    bool any;
    pg_uuid_t id;
    TimestampTz started_at;
};

struct sql_job {
    bool known;
    Oid role, function;
    Jsonb *args;
    int64 timeout, every;  // microseconds; every 0: once
};

sql_job find_sql_job(const pg_uuid_t &id) {
    sql_job j{};
    with_row("sql_jobs", F_UUID_EQ, UUIDPGetDatum(&id), [&](HeapTuple row, TupleDesc desc) {
        bool null;
        j.known = true;
        j.role = DatumGetObjectId(heap_getattr(row, 2, desc, &null));
        j.function = DatumGetObjectId(heap_getattr(row, 3, desc, &null));
        j.args = DatumGetJsonbPCopy(heap_getattr(row, 4, desc, &null));
        j.timeout = microseconds(DatumGetIntervalP(heap_getattr(row, 5, desc, &null)));
        Datum every = heap_getattr(row, 6, desc, &null);
        j.every = null ? 0 : microseconds(DatumGetIntervalP(every));
    });
    return j;
}

const char *own_name() { return psprintf("%s%d/%lld", worker_prefix, MyProcPid, static_cast<long long>(MyStartTimestamp)); }

// The first transaction. The worker's row outlives the job's timeout, so that recovery waits for it.
claimed claim(bytes queue) {
    bytes me = view(own_name());
    claimed c{};
    with_jobs([&](table &jobs) {
        fetched got = fetch(jobs, queue, me, 1);
        if (got.jobs.empty()) return;
        bool null;
        TupleDesc desc = RelationGetDescr(jobs.rel);
        c.any = true;
        c.id = *DatumGetUUIDP(heap_getattr(got.jobs[0], jobs_id, desc, &null));
        c.started_at = DatumGetTimestampTz(heap_getattr(got.jobs[0], jobs_started_at, desc, &null));
    });
    if (!c.any) return c;
    int64 timeout = find_sql_job(c.id).timeout;
    parameter parameters[] = {{TEXTOID, text_datum(me), false}, {TEXTOID, text_datum(queue), false},
                              {TIMESTAMPTZOID, TimestampTzGetDatum(GetCurrentTimestamp() + timeout + USECS_PER_MINUTE), false}};
    run_as_owner(
        "INSERT INTO chancy.workers (worker_id, tags, queues, last_seen, expires_at) VALUES ($1, '{}', ARRAY[$2], pg_catalog.clock_timestamp(), $3)"
        " ON CONFLICT (worker_id) DO UPDATE SET last_seen = EXCLUDED.last_seen, expires_at = EXCLUDED.expires_at",
        parameters);
    return c;
}

// SELECT f(CAST($1 AS t), …), or CALL.
const char *call_text(const sql_job &j, int given, bool *returns) {
    HeapTuple row = SearchSysCache1(PROCOID, ObjectIdGetDatum(j.function));
    if (!HeapTupleIsValid(row))
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_FUNCTION), errmsg("the function of this job does not exist any more")));
    auto proc = reinterpret_cast<Form_pg_proc>(GETSTRUCT(row));
    bool procedure = proc->prokind == PROKIND_PROCEDURE;
    *returns = !procedure && proc->prorettype != VOIDOID;
    StringInfoData sql;
    initStringInfo(&sql);
    appendStringInfo(&sql, procedure ? "CALL %s(" : *returns ? "SELECT pg_catalog.to_jsonb(r) FROM %s(" : "SELECT %s(",
                     quote_qualified_identifier(get_namespace_name(proc->pronamespace), NameStr(proc->proname)));
    for (int i = 0; i < given; i++)
        appendStringInfo(&sql, "%sCAST($%d AS %s)", i > 0 ? ", " : "", i + 1, format_type_be_qualified(proc->proargtypes.values[i]));
    appendStringInfoString(&sql, *returns ? ") AS r" : ")");
    ReleaseSysCache(row);
    return sql.data;
}

// As the role, inside the savepoint: the function's result, null without one.
Jsonb *call_function(const sql_job &j) {
    int given = JB_ROOT_COUNT(j.args);
    auto *types = static_cast<Oid *>(palloc(sizeof(Oid) * (given + 1)));
    auto *values = static_cast<Datum *>(palloc(sizeof(Datum) * (given + 1)));
    char *nulls = static_cast<char *>(palloc(given + 1));
    for (int i = 0; i < given; i++) {
        JsonbValue *v = getIthJsonbValueFromContainer(&j.args->root, i);
        types[i] = TEXTOID;
        nulls[i] = v->type == jbvNull ? 'n' : ' ';
        values[i] = v->type == jbvString ? text_datum({v->val.string.val, v->val.string.len})
                                         : CStringGetTextDatum(JsonbToCString(nullptr, &JsonbValueToJsonb(v)->root, 0));
    }
    bool returns;
    const char *sql = call_text(j, given, &returns);
    Jsonb *result = nullptr;
    MemoryContext outer = CurrentMemoryContext;
    with_spi([&, sql, returns] {
        int code = SPI_execute_with_args(sql, given, types, values, nulls, false, 0);
        if (code < 0) elog(ERROR, "SPI: %s", SPI_result_code_string(code));
        if (!returns || SPI_processed == 0) return;
        bool null;
        Datum value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &null);
        MemoryContext spi = MemoryContextSwitchTo(outer);
        if (!null) result = DatumGetJsonbPCopy(value);
        MemoryContextSwitchTo(spi);
    });
    return result;
}

// Writes the result; false when the job is not this attempt's any more.
bool write(const claimed &c, const result &r) {
    change update{};
    result copy = r;
    update.kind = change_kind::result;
    update.id = c.id;
    update.result = &copy;
    with_jobs([&](table &jobs) {
        permit all{true, nullptr, 0};
        apply(jobs, {&update, 1}, {waiting::allowed, 0, all, nullptr});
    });
    return update.is == verdict::applied;
}

enum class ran : uint8 { done, failed, stopped };

// Who we were before we became a job's role; back again after the commit.
struct identity {
    Oid user;  // invalid: we are nobody else
    int security;
} before{};

void come_back() {
    if (OidIsValid(before.user)) SetUserIdAndSecContext(before.user, before.security);
    before = {};
}

void fire_deferred_triggers() {
    ConstraintsSetStmt *all = makeNode(ConstraintsSetStmt);
    all->constraints = NIL;
    all->deferred = false;
    AfterTriggerSetState(all);
}

// Becomes the role, calls, and writes the result: in a savepoint. error: why it failed.
ran call_apart(const claimed &c, const sql_job &j, const result &success, const char **error) {
    MemoryContext context = CurrentMemoryContext;
    ResourceOwner resources = CurrentResourceOwner;
    volatile ran how = ran::failed;
    const char *volatile why = "";
    volatile bool timed = false;
    TimestampTz deadline = GetCurrentTimestamp() + j.timeout;
    BeginInternalSubTransaction(nullptr);
    MemoryContextSwitchTo(context);
    PG_TRY();
    {
        if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(j.role)))
            ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("the role that pushed this job does not exist any more")));
        int level = NewGUCNestLevel();
        // The role's usual path; what the session may have as temporary tables comes last.
        set_config_option("search_path", "\"$user\", public, pg_temp", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
        GetUserIdAndSecContext(&before.user, &before.security);
        SetUserIdAndSecContext(j.role, before.security | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
        enable_timeout_after(STATEMENT_TIMEOUT, static_cast<int>(j.timeout / 1000));
        result r = success;
        r.value = call_function(j);
        fire_deferred_triggers();
        disable_timeout(STATEMENT_TIMEOUT, false);
        AtEOXact_GUC(false, level);  // whatever the function has SET
        bool written = false;
        with_owner([&] { written = write(c, r); });
        if (!written) ereport(ERROR, (errcode(ERRCODE_QUERY_CANCELED), errmsg("the job was cancelled")));
        ReleaseCurrentSubTransaction();
        how = ran::done;
    }
    PG_CATCH();
    {
        // Whoever raised the error has read the timer's own mark already.
        timed = GetCurrentTimestamp() >= deadline;
        disable_timeout(STATEMENT_TIMEOUT, false);
        MemoryContextSwitchTo(context);
        ErrorData *told = CopyErrorData();
        FlushErrorState();
        RollbackAndReleaseCurrentSubTransaction();  // we are who we were
        before = {};
        if (told->sqlerrcode == ERRCODE_QUERY_CANCELED && !timed) how = ran::stopped;
        if (told->sqlerrcode == ERRCODE_ADMIN_SHUTDOWN) ReThrowError(told);
        why = psprintf("%s: %s%s%s", unpack_sql_state(told->sqlerrcode), told->message, told->context != nullptr ? "\n" : "",
                       told->context != nullptr ? told->context : "");
    }
    PG_END_TRY();
    MemoryContextSwitchTo(context);
    CurrentResourceOwner = resources;
    *error = why;
    return how;
}

// The second transaction. False: somebody wants this session to stop.
bool run_claimed(const claimed &c) {
    bytes me = view(own_name());
    sql_job j = find_sql_job(c.id);
    result r{};
    r.worker = me;
    r.started_at = c.started_at;
    r.retry_at = DT_NOBEGIN;
    if (!j.known) {
        r.is = outcome::discarded;
        r.error = view("this job was not pushed by push_sql");
        write(c, r);
        return true;
    }
    // Ticks stay where they were: a run that takes long leaves some out.
    TimestampTz next = 0;
    if (j.every > 0) next = c.started_at + j.every;
    if (j.every > 0 && next <= GetCurrentTimestamp()) next = GetCurrentTimestamp() + j.every;
    result success = r;
    success.is = j.every > 0 ? outcome::snoozed : outcome::succeeded;
    if (j.every > 0) success.retry_at = next;
    const char *error;
    switch (call_apart(c, j, success, &error)) {
        case ran::done:
            return true;
        case ran::failed:
            ereport(LOG, (errmsg("chancy SQL job %s failed: %s", format_procedure(j.function), error)));
            r.is = j.every > 0 ? outcome::snoozed : outcome::failed;
            r.error = view(error);
            if (j.every > 0) r.retry_at = next;
            write(c, r);
            return true;
        case ran::stopped:
            // By cancel_job: then this does not apply, and the next job may run.
            r.is = outcome::released;
            return !write(c, r);
    }
    return true;
}

void check_run(FunctionCallInfo fcinfo) {
    check_given(fcinfo, 0, "queue");
    check_given(fcinfo, 1, "up_to");
    check_text(here.at("queue"), argument_text(fcinfo, 0), max_queue);
    if (PG_GETARG_INT32(1) < 1) refuse(here.at("up_to"), "must be at least 1", "Call again for more.");
    if (!has_privs_of_role(GetUserId(), owner()))
        ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("only the extension's owner can run SQL jobs"),
                        errhint("They run as many roles; nobody else's session is to be trusted with that.")));
    bool atomic = fcinfo->context == nullptr || !IsA(fcinfo->context, CallContext) || castNode(CallContext, fcinfo->context)->atomic;
    if (atomic)
        ereport(ERROR, (errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION), errmsg("run_sql_jobs commits after each job"),
                        errhint("CALL it outside a transaction block.")));
}

void commit_and_go_on() {
    PopActiveSnapshot();
    SPI_commit();
    SPI_start_transaction();
    if (OidIsValid(before.user)) {
        // This transaction began as the job's role, to which an error in it would return.
        come_back();
        SPI_commit();
        SPI_start_transaction();
    }
    PushActiveSnapshot(GetTransactionSnapshot());
}

void run_sql_jobs(FunctionCallInfo fcinfo) {
    check_run(fcinfo);
    char *queue = to_cstring(argument_text(fcinfo, 0));
    int32 up_to = PG_GETARG_INT32(1);
    bool go_on = true;
    SPI_connect_ext(SPI_OPT_NONATOMIC);
    queue = pstrdup(queue);
    PushActiveSnapshot(GetTransactionSnapshot());
    for (int i = 0; i < up_to && go_on; i++) {
        CHECK_FOR_INTERRUPTS();
        claimed c = with_memory("chancy sql job", [=] { return claim(view(queue)); });
        commit_and_go_on();
        if (!c.any) break;
        go_on = with_memory("chancy sql job", [=] { return run_claimed(c); });
        commit_and_go_on();
    }
    PopActiveSnapshot();
    SPI_finish();
    if (!go_on) ereport(ERROR, (errcode(ERRCODE_QUERY_CANCELED), errmsg("canceling statement due to user request")));
}

// ---- background workers

constexpr int lock_class = 0x63687371;

template <jumpable Body>
void in_transaction(Body body) {
    SetCurrentStatementStartTimestamp();
    StartTransactionCommand();
    PushActiveSnapshot(GetTransactionSnapshot());
    body();
    PopActiveSnapshot();
    CommitTransactionCommand();
    come_back();
}

// One of the places of this database, until this process ends.
bool take_place() {
    bool taken = false;
    for (int i = 0; i < setting.sql_workers && !taken; i++)
        taken = DatumGetBool(DirectFunctionCall2(pg_try_advisory_lock_int4, Int32GetDatum(lock_class), Int32GetDatum(i)));
    return taken;
}

// A queue with a due SQL job, into name; passed queues gave nothing a moment ago.
bool find_due_queue(ArrayType *passed, char *name) {
    bool found = false;
    parameter parameters[] = {{TEXTARRAYOID, PointerGetDatum(passed), false}};
    with_spi([&] {
        run("SELECT j.queue FROM chancy.sql_jobs s JOIN chancy.jobs j ON j.id OPERATOR(pg_catalog.=) s.job_id"
            " WHERE j.state OPERATOR(pg_catalog.=) ANY ('{pending,retrying}') AND j.scheduled_at OPERATOR(pg_catalog.<=) pg_catalog.clock_timestamp()"
            " AND j.queue OPERATOR(pg_catalog.<>) ALL ($1) ORDER BY j.priority DESC, j.id LIMIT 1",
            parameters);
        if (SPI_processed == 0) return;
        bool null;
        strlcpy(name, to_cstring(view(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &null))), max_queue + 1);
        found = true;
    });
    return found;
}

void work() {
    char queue[max_queue + 1];
    char passed[max_queue + 1] = "";
    bool place = false;
    in_transaction([&] { place = OidIsValid(get_extension_oid("chancy", true)) && take_place(); });
    for (bool found = place; found;) {
        CHECK_FOR_INTERRUPTS();
        claimed c{};
        in_transaction([&] {
            with_owner([&] {
                Datum one = text_datum(view(passed));
                found = find_due_queue(construct_array(&one, 1, TEXTOID, -1, false, TYPALIGN_INT), queue);
                if (found) c = claim(view(queue));
            });
        });
        pgstat_report_stat(false);
        if (found && !c.any) {
            if (passed[0] != 0) return;  // two queues in a row that are paused or held: the next visit looks again
            strlcpy(passed, queue, sizeof passed);
            continue;
        }
        passed[0] = 0;
        if (!found) return;
        pgstat_report_activity(STATE_RUNNING, queue);
        in_transaction([&] { run_claimed(c); });
        pgstat_report_stat(false);
    }
}

// ---- maintenance: what pruned jobs leave

task_result forget(const task_settings &) {
    uint64 deleted = run_as_owner(
        "DELETE FROM chancy.sql_jobs d USING (SELECT s.job_id FROM chancy.sql_jobs s WHERE NOT EXISTS"
        " (SELECT FROM chancy.jobs j WHERE j.id OPERATOR(pg_catalog.=) s.job_id) FOR UPDATE SKIP LOCKED) AS old"
        " WHERE d.job_id OPERATOR(pg_catalog.=) old.job_id",
        {});
    return {psprintf("{\"deleted\": %d}", static_cast<int>(deleted)), 0, {nullptr, 0}};
}

}  // namespace

extern const task sql_jobs_task;
constinit const task sql_jobs_task{"sql_jobs", 600 * USECS_PER_SEC, {}, forget, nullptr};

namespace {

// ---- cancel

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

TimestampTz start_sql_workers() {
    if (setting.sql_workers == 0) return DT_NOEND;
    int64 due = 0;
    TimestampTz next = DT_NOEND, now = GetCurrentTimestamp();
    with_spi([&] {
        run("SELECT count(*) FILTER (WHERE j.scheduled_at OPERATOR(pg_catalog.<=) pg_catalog.clock_timestamp()),"
            " min(j.scheduled_at) FILTER (WHERE j.scheduled_at OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp())"
            " FROM chancy.sql_jobs s JOIN chancy.jobs j ON j.id OPERATOR(pg_catalog.=) s.job_id"
            " WHERE j.state OPERATOR(pg_catalog.=) ANY ('{pending,retrying}')");
        bool null;
        due = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &null));
        Datum first = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &null);
        if (!null) next = DatumGetTimestampTz(first);
    });
    for (int64 i = std::min<int64>(due, setting.sql_workers); i > 0; i--)
        if (start_worker("chancy_sql_main", "chancy sql", "chancy SQL jobs", static_cast<int>(MyDatabaseId), 0) == nullptr) break;
    // Workers run what is due until nothing is; the next look is for what they passed by.
    return due > 0 ? std::min(next, now + 5 * USECS_PER_SEC) : next;
}

void stop_sql_job(bytes taken_by) {
    int prefix = strlen(worker_prefix);
    if (taken_by.size <= prefix || memcmp(taken_by.data, worker_prefix, prefix) != 0) return;
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

PGDLLEXPORT void chancy_sql_main(Datum database);
void chancy_sql_main(Datum database) {
    chancy::begin_worker(static_cast<Oid>(DatumGetInt32(database)), "chancy sql jobs", die);
    chancy::work();
}

CHANCY_FUNCTION(chancy_run_sql_jobs) {
    PreventCommandIfReadOnly("chancy.run_sql_jobs()");
    chancy::run_sql_jobs(fcinfo);
    PG_RETURN_VOID();
}
}
