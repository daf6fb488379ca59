// interop: switching it on and off, and what a Python client's role needs for it.
//
// Python runs CREATE TABLE IF NOT EXISTS schema_version at its start, which needs CREATE on the first schema of the
// search_path though the table is there. Nobody gets that on chancy; so a schema of its own, chancy_client, comes
// first, and holds nothing but a view of that name.
#include "buffer.hpp"
#include "error.hpp"
#include "role.hpp"
#include "statement.hpp"

namespace chancy {

namespace {

constexpr const char *client_path = "search_path=chancy_client, chancy, public";

// Tables that Python reads and writes, and the sequences behind them.
constexpr const char *client_tables =
    "chancy.jobs, chancy.queues, chancy.workers, chancy.leader, chancy.queue_rate_limits, chancy.cron, chancy.workflows, "
    "chancy.workflow_steps, chancy.metrics";
constexpr const char *client_sequences = "chancy.leader_id_seq, chancy.workflow_steps_id_seq";

const char *quoted(Oid role) { return quote_identifier(GetUserNameFromId(role, false)); }
const char *quoted_database() { return quote_identifier(get_database_name(MyDatabaseId)); }

// Roles and schemas are made with the caller's rights; what those have to be is told before anything is done.
void require_owner(const char *what) {
    if (has_privs_of_role(GetUserId(), owner())) return;
    ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("only the extension's owner can %s", what),
                    errhint("SET ROLE %s.", quoted(owner()))));
}

void require_create() {
    Datum may = DirectFunctionCall2(has_database_privilege_id, ObjectIdGetDatum(MyDatabaseId),
                                    PointerGetDatum(cstring_to_text("CREATE")));
    if (DatumGetBool(may)) return;
    ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                    errmsg("the schema chancy_client cannot be created: role \"%s\" may not create schemas in this database",
                           GetUserNameFromId(GetUserId(), false)),
                    errhint("Call as a superuser, or GRANT CREATE ON DATABASE %s TO %s.", quoted_database(), quoted(GetUserId()))));
}

bool exists(const char *sql) { return run(sql) > 0; }

bool has_client_schema() { return OidIsValid(get_namespace_oid("chancy_client", true)); }

bool in_client_schema(const char *condition) {
    return exists(psprintf("SELECT FROM pg_catalog.pg_class c WHERE c.relnamespace OPERATOR(pg_catalog.=)"
                           " 'chancy_client'::pg_catalog.regnamespace AND %s", condition));
}

bool has_client_view() {
    return in_client_schema("c.relname OPERATOR(pg_catalog.=) 'schema_version' AND c.relkind OPERATOR(pg_catalog.=) 'v'");
}

// Somebody's own schema of that name would put its tables before ours. An empty one is left of a DROP EXTENSION … CASCADE.
void check_client_schema() {
    if (!has_client_schema()) return require_create();
    if (has_client_view() || !in_client_schema("true")) return;
    ereport(ERROR, (errcode(ERRCODE_DUPLICATE_SCHEMA), errmsg("there is a schema chancy_client that chancy did not make"),
                    errhint("Drop or rename it.")));
}

void make_client_schema() {
    if (!has_client_schema()) {
        run("CREATE SCHEMA chancy_client");
        run("COMMENT ON SCHEMA chancy_client IS 'First in the search_path of Python Chancy''s roles: see chancy.enable_python_interop()'");
    }
    if (has_client_view()) return;
    run("CREATE VIEW chancy_client.schema_version AS SELECT version_of, version FROM chancy.schema_version");
    run("COMMENT ON VIEW chancy_client.schema_version IS 'What Python looks for at its start'");
}

// The role's own search_path in this database, if it has one.
const char *role_path(Oid role) {
    parameter parameters[] = {{OIDOID, ObjectIdGetDatum(role), false}, {OIDOID, ObjectIdGetDatum(MyDatabaseId), false}};
    if (run("SELECT s FROM pg_catalog.pg_db_role_setting, pg_catalog.unnest(setconfig) AS s"
            " WHERE setrole OPERATOR(pg_catalog.=) $1 AND setdatabase OPERATOR(pg_catalog.=) $2"
            " AND pg_catalog.starts_with(s, 'search_path=')", parameters) == 0)
        return nullptr;
    return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
}

void check_path(Oid role) {
    const char *path = role_path(role);
    if (path != nullptr && strcmp(path, client_path) != 0)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("role \"%s\" has a search_path of its own in this database: %s", GetUserNameFromId(role, false),
                               path + strlen("search_path=")),
                        errhint("Give Python a role of its own, or ALTER ROLE %s IN DATABASE %s RESET search_path.", quoted(role),
                                quoted_database())));
}

void give(Oid role) {
    make_client_schema();
    run(psprintf("ALTER ROLE %s IN DATABASE %s SET search_path = chancy_client, chancy, public", quoted(role), quoted_database()));
    run(psprintf("GRANT USAGE, CREATE ON SCHEMA chancy_client TO %s", quoted(role)));
    run(psprintf("GRANT SELECT ON chancy_client.schema_version TO %s", quoted(role)));
    run(psprintf("GRANT USAGE ON SCHEMA chancy TO %s", quoted(role)));
    run(psprintf("GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO %s", client_tables, quoted(role)));
    run(psprintf("GRANT USAGE ON SEQUENCE %s TO %s", client_sequences, quoted(role)));
}

void enable(FunctionCallInfo fcinfo) {
    require(role_kind::admin);
    Oid role = fcinfo->args[0].isnull ? InvalidOid : PG_GETARG_OID(0);
    if (OidIsValid(role)) {
        if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(role)))
            ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("role with OID %u does not exist", role),
                            errhint("CREATE ROLE first: chancy creates none.")));
        require_owner("give a role what Python needs");
        with_spi([=] {
            check_client_schema();
            check_path(role);
        });
    }
    run_as_owner("INSERT INTO chancy.event_channels (channel) VALUES ('events') ON CONFLICT (channel) DO NOTHING", {});
    note_locks();
    if (OidIsValid(role)) with_spi([=] { give(role); });
}

// What grant_admin or another grant gave the role as well is not taken.
void take(Oid role) {
    const char *path = role_path(role);
    if (path != nullptr && strcmp(path, client_path) == 0)
        run(psprintf("ALTER ROLE %s IN DATABASE %s RESET search_path", quoted(role), quoted_database()));
    run(psprintf("REVOKE ALL ON SCHEMA chancy_client FROM %s", quoted(role)));
    run(psprintf("REVOKE ALL ON chancy_client.schema_version FROM %s", quoted(role)));
    parameter parameters[] = {{OIDOID, ObjectIdGetDatum(role), false}};
    if (run("SELECT FROM chancy.grants g WHERE g.role OPERATOR(pg_catalog.=) $1 AND g.kind OPERATOR(pg_catalog.=) 'admin'", parameters) > 0)
        return;
    run(psprintf("REVOKE ALL ON %s FROM %s", client_tables, quoted(role)));
    run(psprintf("REVOKE ALL ON SEQUENCE %s FROM %s", client_sequences, quoted(role)));
    if (run("SELECT FROM chancy.grants g WHERE g.role OPERATOR(pg_catalog.=) $1", parameters) == 0)
        run(psprintf("REVOKE ALL ON SCHEMA chancy FROM %s", quoted(role)));
}

void drop_client_schema() {
    if (!has_client_view()) return;
    uint64 count = run(
        "SELECT a.grantee FROM pg_catalog.pg_namespace n, pg_catalog.aclexplode(n.nspacl) AS a"
        " WHERE n.nspname OPERATOR(pg_catalog.=) 'chancy_client' AND a.privilege_type OPERATOR(pg_catalog.=) 'CREATE'"
        " AND a.grantee OPERATOR(pg_catalog.<>) n.nspowner AND a.grantee OPERATOR(pg_catalog.<>) 0");
    SPITupleTable *found = SPI_tuptable;
    for (uint64 i = 0; i < count; i++) {
        bool null;
        take(DatumGetObjectId(SPI_getbinval(found->vals[i], found->tupdesc, 1, &null)));
    }
    run("DROP VIEW chancy_client.schema_version");
    // Somebody's plugin may have made its tables there.
    if (in_client_schema("true"))
        ereport(NOTICE, (errmsg("the schema chancy_client stays: it has tables of others in it")));
    else
        run("DROP SCHEMA chancy_client");
}

void disable() {
    require(role_kind::admin);
    if (has_client_schema()) require_owner("take from roles what Python needed");
    run_as_owner("DELETE FROM chancy.event_channels c WHERE c.channel OPERATOR(pg_catalog.=) 'events'", {});
    note_locks();
    if (has_client_schema()) with_spi([] { drop_client_schema(); });
}

}  // namespace

}  // namespace chancy

extern "C" {

CHANCY_FUNCTION(chancy_enable_python_interop) {
    PreventCommandIfReadOnly("chancy.enable_python_interop()");
    chancy::enable(fcinfo);
    PG_RETURN_VOID();
}

CHANCY_FUNCTION(chancy_disable_python_interop) {
    PreventCommandIfReadOnly("chancy.disable_python_interop()");
    chancy::disable();
    PG_RETURN_VOID();
}
}
