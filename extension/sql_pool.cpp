// sql_job: background workers that run them, a few in each database. Each takes a place (an advisory lock that is tried), runs what
// is due, and ends when nothing is.
#include "sql_job.hpp"

#include "background.hpp"
#include "error.hpp"
#include "setting.hpp"
#include "statement.hpp"

extern "C" {
#include "pgstat.h"
#include "tcop/tcopprot.h"
}

namespace chancy {

namespace {

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
                if (found) c = claim_sql_job(view(queue));
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
        in_transaction([&] { run_sql_job(c); });
        pgstat_report_stat(false);
    }
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

}  // namespace chancy

extern "C" {

PGDLLEXPORT void chancy_sql_main(Datum database);
void chancy_sql_main(Datum database) {
    chancy::begin_worker(static_cast<Oid>(DatumGetInt32(database)), "chancy sql jobs", die);
    chancy::work();
}
}
