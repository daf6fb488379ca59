// adopt: what is not recognised is refused, with the name of what stands in the way, before anything is written.
#include "adopt.hpp"

namespace chancy {

namespace {

using namer = const char *(*)(const installation &, const char *);

Datum oid_of(const char *quoted) { return DirectFunctionCall1(regclassin, CStringGetDatum(quoted)); }

bool table_exists(const char *quoted) { return run_value("SELECT to_regclass(%s)", quote_literal_cstr(quoted)) != nullptr; }

// By the versions that the installation itself tells; a plugin of somebody's would have tables that we do not know.
void read_components(installation &at, const char *versions) {
    const char *strange = run_value("SELECT version_of FROM %s WHERE version_of NOT IN ('chancy', 'cron', 'workflow', 'metrics') LIMIT 1", versions);
    if (strange != nullptr)
        refuse_installation(psprintf("%s names a plugin that is not known: \"%s\"", versions, strange),
                            "Its tables would stay behind. If that is well, delete its row from that table first.");
    at.components = 0;
    for (size_t i = 0; i < old_components().size(); i++) {
        const old_component &c = old_components()[i];
        const char *version = run_value("SELECT version FROM %s WHERE version_of = '%s'", versions, c.name);
        if (version == nullptr && i > 0) continue;
        if (version == nullptr || strcmp(version, psprintf("%d", c.version)) != 0)
            refuse_installation(psprintf("%s has version %s of \"%s\", not %d", versions, version == nullptr ? "0" : version, c.name, c.version),
                                "Adopted are the tables of Chancy 0.25: migrate them with it first (chancy misc migrate).");
        at.components |= 1u << i;
    }
}

void check_columns(const char *quoted, const old_table &t) {
    StringInfoData expected;
    initStringInfo(&expected);
    for (const old_column &c : t.columns)
        appendStringInfo(&expected, "%s(%s, %s)", expected.len > 0 ? ", " : "", quote_literal_cstr(c.name), quote_literal_cstr(c.type));
    const char *difference = run_value(
        "SELECT CASE WHEN a.name IS NULL THEN 'has no column ' || e.name || ' ' || e.type ELSE 'has the column ' || a.name || ' ' || a.type END"
        " FROM (SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute"
        " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped) AS a (name, type)"
        " FULL JOIN (VALUES %s) AS e (name, type) ON a.name = e.name AND a.type = e.type"
        " WHERE a.name IS NULL OR e.name IS NULL ORDER BY a.name NULLS LAST, e.name LIMIT 1",
        quote_literal_cstr(quoted), expected.data);
    if (difference != nullptr)
        refuse_installation(psprintf("%s is not a table of Chancy 0.25: it %s", quoted, difference),
                            "Columns of your own would be lost. Move them into a table of yours; or give another prefix.");
}

// What hangs on the table would go on with the kept one, and miss all that comes.
void check_hangers(const installation &at, const char *quoted, namer name) {
    const char *oid = psprintf("%u", DatumGetObjectId(oid_of(quoted)));
    const char *kind = run_value("SELECT relkind FROM pg_class WHERE oid = %s AND (relkind <> 'r' OR relispartition OR relhassubclass)", oid);
    if (kind != nullptr) refuse_installation(psprintf("%s is no plain table", quoted), "Adopted are the tables of Chancy 0.25, as it makes them.");
    if (run_value("SELECT 1 FROM pg_class WHERE oid = %s AND NOT pg_has_role(relowner, 'USAGE')", oid) != nullptr)
        ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("must be owner of %s", quoted),
                        errhint("It gets another name: call as a superuser, or as a member of its owner.")));
    const char *trigger = run_value("SELECT tgname FROM pg_trigger WHERE tgrelid = %s AND NOT tgisinternal LIMIT 1", oid);
    if (trigger != nullptr)
        refuse_installation(psprintf("%s has the trigger \"%s\"", quoted, trigger), "It would not see new jobs: drop it; LISTEN to chancy's events instead.");
    StringInfoData own;
    initStringInfo(&own);
    for (const old_table &t : old_tables())
        if (at.has(t)) appendStringInfo(&own, "%s%u", own.len > 0 ? ", " : "", DatumGetObjectId(oid_of(name(at, t.name))));
    const char *reference = run_value("SELECT conrelid::regclass FROM pg_constraint WHERE contype = 'f' AND confrelid = %s AND conrelid NOT IN (%s) LIMIT 1",
                                      oid, own.data);
    if (reference != nullptr)
        refuse_installation(psprintf("%s references %s", reference, quoted), "Drop that foreign key: new jobs will be in chancy.jobs, which none may reference.");
    const char *view = run_value("SELECT r.ev_class::regclass FROM pg_depend d JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid"
                                 " WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = %s AND r.ev_class <> %s LIMIT 1", oid, oid);
    if (view != nullptr)
        refuse_installation(psprintf("the view %s reads %s", view, quoted), "It would show the kept table: drop it, and create it again on chancy's tables.");
}

void refuse_rows(const char *what, const char *which, const char *hint) {
    ereport(ERROR, (errcode(ERRCODE_UNIQUE_VIOLATION), errmsg("%s: %s", what, which), errhint("%s", hint)));
}

}  // namespace

void lock_installation(installation &at, namer name) {
    const char *versions = name(at, "schema_version");
    if (!table_exists(versions))
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("there is no table %s", versions),
                        errhint("Give the schema and the prefix of the Python application. What adopt() keeps has the suffix %s.", kept_suffix())));
    run_text("LOCK TABLE %s IN ACCESS EXCLUSIVE MODE NOWAIT", versions);
    check_columns(versions, old_tables().back());
    read_components(at, versions);
    for (const old_table &t : old_tables()) {
        if (!at.has(t)) continue;
        if (!table_exists(name(at, t.name)))
            refuse_installation(psprintf("there is no table %s, which its version tells of", name(at, t.name)), "Repair the installation first.");
        run_text("LOCK TABLE %s IN ACCESS EXCLUSIVE MODE NOWAIT", name(at, t.name));
    }
}

void check_installation(const installation &at, namer name) {
    for (const old_table &t : old_tables())
        if (at.has(t)) check_columns(name(at, t.name), t);
    for (const old_table &t : old_tables())
        if (at.has(t)) check_hangers(at, name(at, t.name), name);
}

void check_rows(const installation &at) {
    const char *jobs = old_name(at, "jobs");
    const char *state = run_value("SELECT quote_literal(state) || ', job ' || id FROM %s WHERE state NOT IN"
                                  " ('pending', 'running', 'retrying', 'succeeded', 'failed') LIMIT 1", jobs);
    if (state != nullptr)
        refuse_installation(psprintf("%s has a job in a state that is not Chancy's: %s", jobs, state), "Give it one of Chancy's states first.");
    const char *live = "unique_key IS NOT NULL AND state NOT IN ('succeeded', 'failed')";
    const char *twice = run_value("SELECT quote_literal(unique_key) FROM %s WHERE %s GROUP BY unique_key HAVING count(*) > 1 LIMIT 1", jobs, live);
    if (twice != nullptr) refuse_rows(psprintf("two live jobs of %s have one unique_key", jobs), twice, "Its index is gone: let one of them fail, and make the index again.");
    const char *keys = run_value("SELECT string_agg(quote_literal(k), ', ' ORDER BY k) FROM (SELECT unique_key AS k FROM %s WHERE %s INTERSECT"
                                 " SELECT unique_key FROM chancy.jobs WHERE %s ORDER BY k LIMIT 3) AS both_live", jobs, live, live);
    if (keys != nullptr)
        refuse_rows("live jobs on both sides have one unique_key", keys, "A key has one live job: let those of one side end, or cancel them.");
    for (const old_table &t : old_tables()) {
        if (t.key == nullptr || !at.has(t)) continue;
        const char *same = run_value("SELECT string_agg(r, ', ') FROM (SELECT concat_ws(' ', %s) AS r FROM %s o JOIN chancy.%s n USING (%s) ORDER BY r LIMIT 3) AS both_have",
                                     t.key, old_name(at, t.name), t.name, t.key);
        if (same != nullptr) refuse_rows(psprintf("%s and chancy.%s have the same rows", old_name(at, t.name), t.name), same, "Delete them on one side.");
    }
    const char *settings = "state, concurrency, tags, executor, executor_options, polling_interval, rate_limit, rate_limit_window, resume_at, eager_polling";
    const char *queues = run_value(
        "SELECT string_agg(quote_literal(name), ', ' ORDER BY name) FROM (SELECT name FROM (SELECT name, %s FROM (SELECT %s FROM %s o) AS q (%s)"
        " WHERE name IN (SELECT name FROM chancy.queues) EXCEPT SELECT name, %s FROM chancy.queues) AS differing LIMIT 3) AS d",
        settings, column_list(old_tables()[3], "o"), old_name(at, "queues"), column_list(old_tables()[3], nullptr), settings);
    if (queues != nullptr)
        refuse_rows(psprintf("queues are declared in %s and in chancy.queues, with other settings", old_name(at, "queues")), queues,
                    "Delete them on one side (chancy.delete_queue(…, purge_jobs => false)), or make them the same.");
}

}  // namespace chancy
