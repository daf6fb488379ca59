// adopt: takes over an installation of Python Chancy 0.25.
//
// One transaction locks its tables without waiting, checks them, copies what is alive, in the one order of resources,
// and gives the tables another name: whoever pushes there afterwards fails loudly, and nothing is in two places.
// Finished jobs follow in batches, each a transaction of its own. The old tables stay as the way back (give_back.cpp).
// Renaming them into place would not do: functions that return chancy.jobs stay bound to the old row type.
#include "adopt.hpp"

#include "buffer.hpp"
#include "event.hpp"
#include "rows.hpp"

namespace chancy {

namespace {

constexpr const char *finished = "('succeeded', 'failed')";

void check_not_adopted(const installation &at) {
    if (run_value("SELECT 1 FROM chancy.adoptions WHERE schema = %s AND prefix = %s", quote_literal_cstr(at.schema),
                  quote_literal_cstr(at.prefix)) == nullptr)
        return;
    ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT), errmsg("the installation %s was adopted already", old_name(at, "…")),
                    errhint("adopt_history() goes on with it, give_back() gives it back. If you dropped what was kept, delete its row from"
                            " chancy.adoptions.")));
}

// What a workflow that still runs wants to know the end of is copied with the living.
const char *live_jobs(const installation &at) {
    if (!at.has("workflow")) return psprintf("o.state NOT IN %s", finished);
    return psprintf("(o.state NOT IN %s OR o.id IN (SELECT s.job_id FROM %s s JOIN %s w ON w.id = s.workflow_id"
                    " WHERE w.state NOT IN ('completed', 'failed')))",
                    finished, old_name(at, "workflow_steps"), old_name(at, "workflows"));
}

uint64 copy_table(const installation &at, const old_table &t) {
    const char *which = "", *order = "", *conflict = "";
    if (strcmp(t.name, "jobs") == 0) {
        which = psprintf("WHERE %s", live_jobs(at));
        order = "ORDER BY coalesce(o.unique_key, '') COLLATE \"C\", o.id";
    } else if (strcmp(t.name, "queues") == 0) {
        order = "ORDER BY o.name COLLATE \"C\"";
    } else if (strcmp(t.name, "workflow_steps") == 0) {
        order = "ORDER BY o.id";
    }
    // Queues that stand are the same (check_rows); workers and counters of the moment are whoever's wrote them.
    if (t.key == nullptr && strcmp(t.name, "workflow_steps") != 0) conflict = "ON CONFLICT DO NOTHING";
    return run_text("INSERT INTO chancy.%s (%s) SELECT %s FROM %s o %s %s %s", t.name, column_list(t, nullptr), column_list(t, "o"),
                    old_name(at, t.name), which, order, conflict);
}

// A lease of Python's leader is worth nothing here, and versions are ours.
bool is_copied(const old_table &t) { return strcmp(t.name, "leader") != 0 && strcmp(t.name, "schema_version") != 0; }

void keep_tables(const installation &at) {
    for (const old_table &t : old_tables())
        if (at.has(t))
            run_text("ALTER TABLE %s RENAME TO %s", old_name(at, t.name),
                     quote_identifier(psprintf("%s%s%s", at.prefix, t.name, kept_suffix())));
}

void tell_each(const char *event, const char *sql) {
    uint64 count = run(sql);
    SPITupleTable *found = SPI_tuptable;
    for (uint64 i = 0; i < count; i++) emit(event, "q", view(SPI_getvalue(found->vals[i], found->tupdesc, 1)));
}

void put_count(const rows &out, const char *what, int64 count) {
    Datum values[] = {text_datum(view(what)), Int64GetDatum(count)};
    bool nulls[] = {false, false};
    out.put(values, nulls);
}

void adopt(FunctionCallInfo fcinfo, const rows &out) {
    installation at = read_installation(fcinfo);
    check_not_adopted(at);
    lock_installation(at, old_name);
    check_installation(at, old_name);
    check_rows(at);
    const char *before = psprintf("SELECT name FROM %s", old_name(at, "queues"));
    tell_each("queue.declared", before);
    tell_each("queue.pushed", psprintf("SELECT DISTINCT queue FROM %s WHERE state IN ('pending', 'retrying') AND scheduled_at <= now()",
                                       old_name(at, "jobs")));
    for (const old_table &t : old_tables())
        if (at.has(t) && is_copied(t)) put_count(out, t.name, static_cast<int64>(copy_table(at, t)));
    note_locks();
    run_text("INSERT INTO chancy.adoptions (schema, prefix, history) SELECT %s, %s, count(*) FROM %s WHERE state IN %s",
             quote_literal_cstr(at.schema), quote_literal_cstr(at.prefix), old_name(at, "jobs"), finished);
    keep_tables(at);
}

struct progress {
    int32 copied;
    bool done;
    int64 so_far, history;
};

// The next batch starts below the oldest job that was copied; what a pruner has deleted meanwhile does not come back.
progress adopt_history(FunctionCallInfo fcinfo) {
    installation at = read_installation(fcinfo);
    check_given(fcinfo, 2, "up_to");
    int32 up_to = PG_GETARG_INT32(2);
    if (up_to < 1 || up_to > max_batch) refuse({nullptr, 0, "up_to"}, psprintf("must be from 1 to %d", max_batch), "Call again for more.");
    const char *row = psprintf("schema = %s AND prefix = %s", quote_literal_cstr(at.schema), quote_literal_cstr(at.prefix));
    const char *done = run_value("SELECT done FROM chancy.adoptions WHERE %s FOR NO KEY UPDATE NOWAIT", row);
    if (done == nullptr)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("the installation %s was not adopted", old_name(at, "…")),
                        errhint("Call adopt() first.")));
    const old_table &jobs = old_tables()[2];
    progress now{};
    if (strcmp(done, "t") != 0) {
        const char *from = run_value("SELECT quote_literal(copied_from) FROM chancy.adoptions WHERE %s AND copied_from IS NOT NULL", row);
        const char *batch = psprintf("SELECT o.* FROM %s o WHERE o.state IN %s %s ORDER BY o.id DESC LIMIT %d", kept_name(at, "jobs"), finished,
                                     from == nullptr ? "" : psprintf("AND o.id < %s", from), up_to);
        // Those of running workflows are there already.
        now.copied = static_cast<int32>(run_text("INSERT INTO chancy.jobs (%s) SELECT %s FROM (%s) AS o ON CONFLICT (id) DO NOTHING",
                                                 column_list(jobs, nullptr), column_list(jobs, "o"), batch));
        run_text("UPDATE chancy.adoptions SET copied = copied + n, copied_from = coalesce(last, copied_from), done = n < %d"
                 " FROM (SELECT count(*), (array_agg(id ORDER BY id))[1] FROM (%s) AS batch) AS seen (n, last) WHERE %s", up_to, batch, row);
    }
    run_text("SELECT done, copied, history FROM chancy.adoptions WHERE %s", row);
    bool null;
    now.done = DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &null));
    now.so_far = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &null));
    now.history = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 3, &null));
    return now;
}

// Refuses what adopt_history() or a new installation stands in the way of.
void check_kept(const installation &at) {
    const char *row = psprintf("schema = %s AND prefix = %s", quote_literal_cstr(at.schema), quote_literal_cstr(at.prefix));
    if (run_value("SELECT 1 FROM chancy.adoptions WHERE %s", row) == nullptr)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("the installation %s was not adopted", old_name(at, "…")),
                        errhint("chancy.adoptions lists those that were.")));
    const char *other = run_value("SELECT format('%%I.%%I', schema, prefix) FROM chancy.adoptions WHERE NOT (%s) LIMIT 1", row);
    if (other != nullptr)
        refuse_installation(psprintf("another installation was adopted too: %s", other), "Nobody can tell any more which jobs are whose.");
    for (const old_table &t : old_tables())
        if (at.has(t) && run_value("SELECT to_regclass(%s)", quote_literal_cstr(old_name(at, t.name))) != nullptr)
            refuse_installation(psprintf("there is a table %s again", old_name(at, t.name)), "Drop or rename it: the kept table gets its name back.");
    if (!at.has("workflow") && run_value("SELECT 1 FROM chancy.workflows LIMIT 1") != nullptr)
        refuse_installation("there are workflows, and the installation has no tables for them", "Let Chancy 0.25 make them in the kept installation, or delete the workflows.");
    if (!at.has("cron") && run_value("SELECT 1 FROM chancy.cron LIMIT 1") != nullptr)
        refuse_installation("there are schedules, and the installation has no table for them", "Let Chancy 0.25 make it in the kept installation, or unschedule them.");
}

// What is in the kept table and was copied is out of date; only history that was not copied yet is not.
void empty_kept(const installation &at, const old_table &t) {
    const char *kept = kept_name(at, t.name);
    if (strcmp(t.name, "jobs") == 0)
        run_text("DELETE FROM %s o USING chancy.adoptions a WHERE a.schema = %s AND a.prefix = %s AND"
                 " (o.state NOT IN %s OR a.done OR o.id >= a.copied_from OR o.id IN (SELECT id FROM chancy.jobs))",
                 kept, quote_literal_cstr(at.schema), quote_literal_cstr(at.prefix), finished);
    else
        run_text("DELETE FROM %s", kept);
}

void give_back(FunctionCallInfo fcinfo, const rows &out) {
    installation at = read_installation(fcinfo);
    lock_installation(at, kept_name);
    check_installation(at, kept_name);
    check_kept(at);
    for (const old_table &t : old_tables()) run_text("LOCK TABLE chancy.%s IN ACCESS EXCLUSIVE MODE NOWAIT", t.name);
    for (const old_table &t : old_tables())
        if (at.has(t) && strcmp(t.name, "schema_version") != 0) empty_kept(at, t);
    for (const old_table &t : old_tables()) {
        if (!at.has(t)) continue;
        if (is_copied(t))
            put_count(out, t.name, static_cast<int64>(run_text("INSERT INTO %s (%s) SELECT %s FROM chancy.%s o %s", kept_name(at, t.name),
                      column_list(t, nullptr), column_list(t, "o"), t.name, strcmp(t.name, "workflow_steps") == 0 ? "ORDER BY o.id" : "")));
        run_text("ALTER TABLE %s RENAME TO %s", kept_name(at, t.name), quote_identifier(psprintf("%s%s", at.prefix, t.name)));
    }
    // Nothing is in two places.
    for (const old_table &t : old_tables())
        if (strcmp(t.name, "schema_version") != 0) run_text("DELETE FROM chancy.%s", t.name);
    run_text("DELETE FROM chancy.adoptions");
    note_locks();
}

}  // namespace

}  // namespace chancy

extern "C" {

CHANCY_FUNCTION(chancy_adopt) {
    using namespace chancy;
    PreventCommandIfReadOnly("chancy.adopt()");
    rows out = begin_rows(fcinfo);
    with_spi([=] { adopt(fcinfo, out); });
    return 0;
}

CHANCY_FUNCTION(chancy_adopt_history) {
    using namespace chancy;
    PreventCommandIfReadOnly("chancy.adopt_history()");
    progress now{};
    TupleDesc desc;
    if (get_call_result_type(fcinfo, nullptr, &desc) != TYPEFUNC_COMPOSITE) elog(ERROR, "the function's result is not a row type");
    desc = BlessTupleDesc(desc);
    with_spi([=, &now] { now = adopt_history(fcinfo); });
    Datum values[] = {Int32GetDatum(now.copied), BoolGetDatum(now.done), Int64GetDatum(now.so_far), Int64GetDatum(now.history)};
    bool nulls[] = {false, false, false, false};
    PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}

CHANCY_FUNCTION(chancy_give_back) {
    using namespace chancy;
    PreventCommandIfReadOnly("chancy.give_back()");
    rows out = begin_rows(fcinfo);
    with_spi([=] { give_back(fcinfo, out); });
    return 0;
}
}
