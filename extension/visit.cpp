// background: one visit of one database. Runs the tasks that are due, each in a transaction of its own, so that none
// holds its locks for another, and goes.
#include "background.hpp"
#include "maintenance.hpp"
#include "sql_job.hpp"

extern "C" {
#include "commands/dbcommands.h"
#include "commands/extension.h"
#include "pgstat.h"
#include "tcop/tcopprot.h"
}

namespace chancy {

namespace {

// A visit that finds more and more to do ends after this, for DROP DATABASE.
constexpr int64 longest_visit = 2 * USECS_PER_SEC;

// Runs body in a transaction with the rights of the extension's owner; false when there is no extension.
template <jumpable Body>
bool in_transaction(Body body) {
    SetCurrentStatementStartTimestamp();
    StartTransactionCommand();
    PushActiveSnapshot(GetTransactionSnapshot());
    bool there = OidIsValid(get_extension_oid("chancy", true));
    if (there) with_owner(body);
    PopActiveSnapshot();
    CommitTransactionCommand();
    return there;
}

// How a task that fails is told: once, not every time.
void log_run(const task &t, const ran &run) {
    if (run.news)
        ereport(LOG, (errmsg("chancy task \"%s\" failed in database \"%s\": %s", t.name, get_database_name(MyDatabaseId), run.error)));
    else
        elog(DEBUG1, "chancy task \"%s\": %s", t.name, run.did);
}

bool run_tasks() {
    for (const task *t : tasks()) {
        CHECK_FOR_INTERRUPTS();
        pgstat_report_activity(STATE_RUNNING, t->name);
        bool there = in_transaction([=] {
            ran run = with_runs([=](table &runs) { return run_if_due(runs, *t); });
            if (run.any) log_run(*t, run);
        });
        pgstat_report_stat(false);
        if (!there) return false;
    }
    return true;
}

// Sets next to when the database is to be visited again.
visit look_after(TimestampTz *next) {
    TimestampTz end = GetCurrentTimestamp() + longest_visit;
    do {
        if (!run_tasks() || !in_transaction([=] { *next = std::min(next_due(), start_sql_workers()); })) return visit::absent;
    } while (*next <= GetCurrentTimestamp() && GetCurrentTimestamp() < end);
    return visit::done;
}

visit look_after_safely(TimestampTz *next) {
    volatile visit how = visit::failed;
    PG_TRY();
    {
        how = look_after(next);
    }
    PG_CATCH();
    {
        HOLD_INTERRUPTS();
        EmitErrorReport();
        AbortCurrentTransaction();
        FlushErrorState();
        RESUME_INTERRUPTS();
    }
    PG_END_TRY();
    return how;
}

}  // namespace

}  // namespace chancy

extern "C" {

PGDLLEXPORT void chancy_visit_main(Datum argument);
void chancy_visit_main(Datum argument) {
    using namespace chancy;
    int slot = DatumGetInt32(argument);
    uint32 generation;
    memcpy(&generation, MyBgworkerEntry->bgw_extra, sizeof generation);
    work_slot mine = read_slot(slot);
    if (mine.generation != generation) return;
    begin_worker(mine.database, "chancy maintenance", die);
    TimestampTz next = 0;
    visit how = look_after_safely(&next);
    tell(slot, generation, how, next);
}
}
