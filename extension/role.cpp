// role: who may do what. Roles are the user's own: nothing here creates one.
//
// The grant functions run with the rights of whoever calls them (the GRANTs are theirs); the calls
// that the roles then make check their queues against chancy.grants.
#include "role.hpp"

#include "error.hpp"
#include "statement.hpp"

namespace chancy {

namespace {

enum grant_column : int { grant_role = 1, grant_kind, grant_queues };

constexpr const char *kind_names[] = {"producer", "worker", "admin", "reader"};

void add_queues(permit &may, Datum array) {
    Datum *elements;
    bool *nulls;
    int count;
    deconstruct_array(DatumGetArrayTypePCopy(array), TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &count);
    bytes *all = static_cast<bytes *>(palloc(sizeof(bytes) * (may.count + count + 1)));
    std::copy(may.queues, may.queues + may.count, all);
    for (int i = 0; i < count; i++)
        if (!nulls[i]) all[may.count++] = view(elements[i]);
    may.queues = all;
}

}  // namespace

permit require(role_kind kind) {
    Oid user = GetUserId();
    if (has_privs_of_role(user, owner())) return {true, nullptr, 0};
    permit may{};
    bool member = false;
    Relation grants = table_open(table_oid("grants"), AccessShareLock);
    TableScanDesc scan = table_beginscan(grants, SnapshotSelf, 0, nullptr);
    TupleTableSlot *slot = table_slot_create(grants, nullptr);
    while (!may.all && table_scan_getnextslot(scan, ForwardScanDirection, slot)) {
        bool null;
        bytes granted = view(slot_getattr(slot, grant_kind, &null));
        if (!(granted == view(kind_names[static_cast<int>(kind)])) && !(granted == view("admin"))) continue;
        Oid role = DatumGetObjectId(slot_getattr(slot, grant_role, &null));
        if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(role)) || !has_privs_of_role(user, role)) continue;
        member = true;
        Datum queues = slot_getattr(slot, grant_queues, &null);
        if (null)
            may.all = true;
        else
            add_queues(may, queues);
    }
    ExecDropSingleTupleTableSlot(slot);
    table_endscan(scan);
    table_close(grants, AccessShareLock);
    if (!member)
        ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                        errmsg("role \"%s\" is no %s of chancy", GetUserNameFromId(user, false), kind_names[static_cast<int>(kind)]),
                        errhint("The extension's owner can run: SELECT chancy.grant_%s('%s').",
                                kind_names[static_cast<int>(kind)], GetUserNameFromId(user, false))));
    return may;
}

bool permits(const permit &may, bytes queue) {
    if (may.all) return true;
    return std::any_of(may.queues, may.queues + may.count, [=](bytes q) { return q == queue; });
}

void check_queue(const permit &may, bytes queue) {
    if (permits(may, queue)) return;
    ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                    errmsg("role \"%s\" may not use queue \"%s\"", GetUserNameFromId(GetUserId(), false), to_cstring(queue)),
                    errhint("The grant functions list a role's queues; NULL means all.")));
}

namespace {

// The functions of each kind, by signature. An admin has all functions.
constexpr const char *producer_functions =
    "chancy.push(pg_catalog.text, pg_catalog.jsonb, pg_catalog.text, pg_catalog.int4, pg_catalog.int4, "
    "pg_catalog.timestamptz, pg_catalog.text, pg_catalog.jsonb, pg_catalog.jsonb, pg_catalog.text, pg_catalog.text, pg_catalog.interval), "
    "chancy.push_arrays(pg_catalog._text, pg_catalog.jsonb, pg_catalog._text, pg_catalog._int4, pg_catalog._int4, pg_catalog._timestamptz, "
    "pg_catalog._text, pg_catalog._jsonb, pg_catalog._jsonb, pg_catalog._text, pg_catalog._text, pg_catalog._interval), "
    "chancy.push_many(pg_catalog.jsonb), chancy.push_at_commit(pg_catalog.jsonb), chancy.pushed(), chancy.flush(), "
    "chancy.id_time(pg_catalog.uuid), chancy.push_workflow(pg_catalog.text, pg_catalog.jsonb, pg_catalog.text), "
    "chancy.add_steps(pg_catalog.uuid, pg_catalog.jsonb), chancy.push_group(pg_catalog.text, pg_catalog.jsonb, pg_catalog.jsonb), "
    "chancy.next_runs(pg_catalog.text, pg_catalog.text, pg_catalog.int4, pg_catalog.timestamptz, pg_catalog.text, pg_catalog.text), "
    "chancy.push_sql(pg_catalog.regprocedure, pg_catalog.jsonb, pg_catalog.text, pg_catalog.int4, pg_catalog.int4, "
    "pg_catalog.timestamptz, pg_catalog.interval, pg_catalog.interval)";
constexpr const char *worker_functions =
    "chancy.fetch_jobs(pg_catalog.text, pg_catalog.text, pg_catalog.int4), "
    "chancy.apply_updates(pg_catalog.text, pg_catalog.jsonb, pg_catalog.text), "
    "chancy.exchange(pg_catalog.text, pg_catalog.jsonb, pg_catalog.text, pg_catalog.int4, pg_catalog.text), "
    "chancy.exchange_arrays(pg_catalog.text, pg_catalog.text, pg_catalog.int4, pg_catalog._uuid, pg_catalog._timestamptz, pg_catalog._text, "
    "pg_catalog._text, pg_catalog._timestamptz, pg_catalog._jsonb, pg_catalog._jsonb, pg_catalog.text), "
    "chancy.running_jobs(pg_catalog.text), "
    "chancy.report_progress(pg_catalog.text, pg_catalog.jsonb), chancy.get_checkpoint(pg_catalog.text, pg_catalog.uuid), "
    "chancy.heartbeat(pg_catalog.text, pg_catalog._text, pg_catalog._text, pg_catalog.interval), "
    "chancy.retire_worker(pg_catalog.text), chancy.acquire_leadership(pg_catalog.text, pg_catalog.interval), "
    "chancy.release_leadership(pg_catalog.text), chancy.record_metrics(pg_catalog.jsonb), chancy.list_queues(), chancy.maintain(), chancy.next_maintenance(), chancy.event_channel(), "
    "chancy.flush(), chancy.id_time(pg_catalog.uuid), chancy.advance_workflows(pg_catalog.int4), "
    "chancy.step_results(pg_catalog.uuid), "
    "chancy.run_cron(pg_catalog.int4), "
    "chancy.next_runs(pg_catalog.text, pg_catalog.text, pg_catalog.int4, pg_catalog.timestamptz, pg_catalog.text, pg_catalog.text)";
constexpr const char *reader_functions =
    "chancy.list_jobs(pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.uuid, pg_catalog.int4, pg_catalog.timestamptz, "
    "pg_catalog.timestamptz, pg_catalog.text), "
    "chancy.get_job(pg_catalog.uuid), chancy.get_jobs(pg_catalog._uuid), chancy.get_live_job(pg_catalog.text), "
    "chancy.get_progress(pg_catalog.uuid), chancy.list_queues(), chancy.queue_depths(), chancy.list_workers(), chancy.list_tasks(), "
    "chancy.list_cron(), chancy.next_runs(pg_catalog.text, pg_catalog.text, pg_catalog.int4, pg_catalog.timestamptz, pg_catalog.text, pg_catalog.text), "
    "chancy.list_workflows(pg_catalog.text, pg_catalog.timestamptz, pg_catalog.int4), chancy.get_workflow(pg_catalog.uuid), "
    "chancy.get_workflow_steps(pg_catalog.uuid), chancy.workflow_dot(pg_catalog.uuid), chancy.workflow_mermaid(pg_catalog.uuid), "
    "chancy.list_sql_jobs(pg_catalog.uuid, pg_catalog.int4), chancy.list_holders(), chancy.held_jobs(pg_catalog.text), chancy.list_held_jobs(pg_catalog.text), chancy.list_tables(), "
    "chancy.check_installation(pg_catalog.interval), chancy.library_version(), chancy.event_channel(), chancy.id_time(pg_catalog.uuid)";

void check_queue_names(ArrayType *queues) {
    if (array_contains_nulls(queues)) refuse({nullptr, 0, "queues"}, "must not contain NULL", "Leave queues out to grant all.");
    Datum *elements;
    int count;
    deconstruct_array(queues, TEXTOID, -1, false, TYPALIGN_INT, &elements, nullptr, &count);
    for (int i = 0; i < count; i++) check_text({"queues", i, nullptr}, view(elements[i]), max_queue);
}

void grant(FunctionCallInfo fcinfo, role_kind kind) {
    check_given(fcinfo, 0, "role");
    Oid role = PG_GETARG_OID(0);
    if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(role)))
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("role with OID %u does not exist", role),
                        errhint("CREATE ROLE first: chancy creates none.")));
    if (!has_privs_of_role(GetUserId(), owner()))
        ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("only the extension's owner can grant its use"),
                        errhint("SET ROLE \"%s\".", GetUserNameFromId(owner(), false))));
    bool all_queues = kind == role_kind::admin || kind == role_kind::reader || fcinfo->args[1].isnull;
    if (!all_queues) check_queue_names(PG_GETARG_ARRAYTYPE_P(1));
    const char *name = quote_identifier(GetUserNameFromId(role, false));
    parameter parameters[] = {{REGROLEOID, ObjectIdGetDatum(role), false},
                              {TEXTOID, text_datum(view(kind_names[static_cast<int>(kind)])), false},
                              {TEXTARRAYOID, all_queues ? 0 : PG_GETARG_DATUM(1), all_queues}};
    with_spi([=] {
        run(
            "INSERT INTO chancy.grants (role, kind, queues) VALUES ($1, $2, $3)"
            " ON CONFLICT (role, kind) DO UPDATE SET queues = EXCLUDED.queues",
            parameters);
        run(psprintf("GRANT USAGE ON SCHEMA chancy TO %s", name));
        if (kind == role_kind::admin) {
            run(psprintf("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA chancy TO %s", name));
            run(psprintf("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA chancy TO %s", name));
            run(psprintf("GRANT USAGE ON ALL SEQUENCES IN SCHEMA chancy TO %s", name));
            // Giving rights away stays with the owner.
            run(psprintf("REVOKE ALL ON chancy.grants FROM %s", name));
            // So does saying what runs as whom.
            run(psprintf("REVOKE INSERT, UPDATE ON chancy.sql_jobs, chancy.sql_schedules FROM %s", name));
        } else {
            run(psprintf("GRANT EXECUTE ON FUNCTION %s TO %s",
                             kind == role_kind::producer ? producer_functions : kind == role_kind::worker ? worker_functions : reader_functions, name));
            if (kind == role_kind::reader) run(psprintf("GRANT SELECT ON chancy.queue_stats, chancy.metric_points TO %s", name));
        }
    });
}

}  // namespace

}  // namespace chancy

extern "C" {

CHANCY_FUNCTION(chancy_grant_producer) {
    chancy::grant(fcinfo, chancy::role_kind::producer);
    PG_RETURN_VOID();
}

CHANCY_FUNCTION(chancy_grant_worker) {
    chancy::grant(fcinfo, chancy::role_kind::worker);
    PG_RETURN_VOID();
}

CHANCY_FUNCTION(chancy_grant_reader) {
    chancy::grant(fcinfo, chancy::role_kind::reader);
    PG_RETURN_VOID();
}

CHANCY_FUNCTION(chancy_grant_admin) {
    chancy::grant(fcinfo, chancy::role_kind::admin);
    PG_RETURN_VOID();
}

// Without check_version(), as what tells of a drift is.
PGDLLEXPORT Datum chancy_kind_functions(PG_FUNCTION_ARGS);
PG_FUNCTION_INFO_V1(chancy_kind_functions);
Datum chancy_kind_functions(PG_FUNCTION_ARGS) {
    chancy::bytes kind = chancy::view(PG_GETARG_DATUM(0));
    if (kind == chancy::view("producer")) PG_RETURN_DATUM(chancy::text_datum(chancy::view(chancy::producer_functions)));
    if (kind == chancy::view("worker")) PG_RETURN_DATUM(chancy::text_datum(chancy::view(chancy::worker_functions)));
    if (kind == chancy::view("reader")) PG_RETURN_DATUM(chancy::text_datum(chancy::view(chancy::reader_functions)));
    PG_RETURN_NULL();
}
}
