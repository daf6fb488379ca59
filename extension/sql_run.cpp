// sql_job: one of them runs.
//
// A runner claims a job in a first transaction, as any worker. In a second one it becomes the recorded role, as logical
// replication and autovacuum do (SECURITY_RESTRICTED_OPERATION), calls the function, and writes the result: both or nothing, so a
// job whose server dies has done nothing and runs again, and a result that does not apply (the job was cancelled) undoes what the
// function did. What fails is rolled back to a savepoint, and its error is the result. The transaction commits as that role, too: what
// the function has left for the commit does not run as anybody else. (PostgreSQL refuses deferred triggers there.)
#include "sql_job.hpp"

#include "buffer.hpp"
#include "fetch.hpp"
#include "role.hpp"
#include "statement.hpp"
#include "worker.hpp"

extern "C" {
#include "catalog/pg_proc.h"
#include "commands/defrem.h"
#include "tcop/tcopprot.h"
#include "utils/timeout.h"
}

namespace chancy {

namespace {

constexpr place here{nullptr, 0, nullptr};

struct sql_job {
    bool known;
    Oid role;
    const char *function;
    Jsonb *args;
    int64 timeout, every;  // microseconds; every 0: once
};

sql_job find_sql_job(const pg_uuid_t &id) {
    sql_job j{};
    with_row("sql_jobs", F_UUID_EQ, UUIDPGetDatum(&id), [&](HeapTuple row, TupleDesc desc) {
        bool null;
        j.known = true;
        j.role = DatumGetObjectId(heap_getattr(row, 2, desc, &null));
        j.function = TextDatumGetCString(heap_getattr(row, 3, desc, &null));
        j.args = DatumGetJsonbPCopy(heap_getattr(row, 4, desc, &null));
        j.timeout = microseconds(DatumGetIntervalP(heap_getattr(row, 5, desc, &null)));
        Datum every = heap_getattr(row, 6, desc, &null);
        j.every = null ? 0 : microseconds(DatumGetIntervalP(every));
    });
    return j;
}

const char *own_name() { return psprintf("%s%d/%lld", sql_worker_prefix, MyProcPid, static_cast<long long>(MyStartTimestamp)); }

}  // namespace

// The first transaction. The worker's row outlives the job's timeout, so that recovery waits for it.
claimed claim_sql_job(bytes queue) {
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
    Datum none = PointerGetDatum(construct_empty_array(TEXTOID)), one = text_datum(queue);
    TimestampTz now = GetCurrentTimestamp();
    announce({text_datum(me), none, PointerGetDatum(construct_array(&one, 1, TEXTOID, -1, false, TYPALIGN_INT)),
              now, now + timeout + USECS_PER_MINUTE, 0, true});
    return c;
}

namespace {

// SELECT f(CAST($1 AS t), …), or CALL.
const char *call_text(const sql_job &j, int given, bool *returns) {
    Oid function = DatumGetObjectId(DirectFunctionCall1(regprocedurein, CStringGetDatum(j.function)));  // 42883: not there any more
    HeapTuple row = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
    if (!HeapTupleIsValid(row)) elog(ERROR, "cache lookup failed for function %u", function);
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

}  // namespace

void come_back() {
    if (OidIsValid(before.user)) SetUserIdAndSecContext(before.user, before.security);
    before = {};
}

namespace {

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

}  // namespace

// The second transaction. False: somebody wants this session to stop.
bool run_sql_job(const claimed &c) {
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
            ereport(LOG, (errmsg("chancy SQL job %s failed: %s", j.function, error)));
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

namespace {

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
        claimed c = with_memory("chancy sql job", [=] { return claim_sql_job(view(queue)); });
        commit_and_go_on();
        if (!c.any) break;
        go_on = with_memory("chancy sql job", [=] { return run_sql_job(c); });
        commit_and_go_on();
    }
    PopActiveSnapshot();
    SPI_finish();
    if (!go_on) ereport(ERROR, (errcode(ERRCODE_QUERY_CANCELED), errmsg("canceling statement due to user request")));
}

}  // namespace

}  // namespace chancy

extern "C" {

CHANCY_FUNCTION(chancy_run_sql_jobs) {
    PreventCommandIfReadOnly("chancy.run_sql_jobs()");
    chancy::run_sql_jobs(fcinfo);
    PG_RETURN_VOID();
}
}
