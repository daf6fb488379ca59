#include "check.hpp"

#include <stdexcept>
#include <vector>

#include "schema.hpp"

namespace adversary {

namespace {

struct law {
    const char* violation;
    const char* sql;  // rows are violations; TOLERANCE is replaced
};

// A push takes an uncommitted end of a job for a live job, so a job may be told as the key's live one until its end
// commits: no longer after completed_at than the longest transaction of the run, which is TOLERANCE.
// Jobs of the queue "brief" may have been deleted with it.
constexpr law laws[] = {
    {"a key is live twice", live_twice},
    {"a prepared transaction is left", "SELECT gid, prepared FROM pg_prepared_xacts WHERE database = current_database()"},
    {"a push told an id that does not exist, or of another key",
     "SELECT p.* FROM adv.pushed p LEFT JOIN chancy.jobs j USING (id) WHERE NOT p.reserved AND p.queue <> 'brief' AND "
     "(j.id IS NULL OR j.unique_key IS DISTINCT FROM p.key)"},
    {"a duplicate was told of a job that was not live then",
     "SELECT p.*, j.created_at, j.completed_at FROM adv.pushed p JOIN chancy.jobs j USING (id) WHERE NOT p.reserved AND "
     "NOT p.created AND (j.created_at > clock_timestamp() OR j.completed_at < p.began - interval 'TOLERANCE')"},
    {"a push at commit created a job that does not exist",
     "SELECT d.* FROM adv.decided d LEFT JOIN chancy.jobs j USING (id) WHERE d.created AND d.key NOT LIKE 't%' AND "
     "(j.id IS NULL OR j.unique_key IS DISTINCT FROM d.key)"},
    {"a push at commit was told a job that was not live then",
     "SELECT d.*, j.created_at, j.completed_at FROM adv.decided d LEFT JOIN chancy.jobs j USING (id) WHERE NOT d.created AND "
     "d.id IS NOT NULL AND d.key NOT LIKE 't%' AND (j.id IS NULL OR j.unique_key IS DISTINCT FROM d.key OR "
     "j.created_at > d.ended OR j.completed_at < d.began - interval 'TOLERANCE')"},
    {"a committed push is lost",
     "SELECT p.* FROM adv.pushed p WHERE p.reserved AND p.queue <> 'brief' AND NOT EXISTS (SELECT FROM adv.withdrawn w WHERE "
     "w.id = p.id) AND NOT EXISTS (SELECT FROM chancy.jobs j WHERE j.id = p.id) AND NOT EXISTS (SELECT FROM chancy.jobs j WHERE "
     "j.unique_key = p.key AND (j.completed_at IS NULL OR j.completed_at >= p.began - interval 'TOLERANCE'))"},
    {"a withdrawn push was made", "SELECT w.* FROM adv.withdrawn w JOIN chancy.jobs j USING (id)"},
    {"a push that was rolled back was made", "SELECT u.*, j.* FROM adv.undone u JOIN chancy.jobs j USING (id)"},
    {"an attempt was given twice", "SELECT id, started_at, count(*) FROM adv.claimed GROUP BY 1, 2 HAVING count(*) > 1"},
    {"a result was applied twice",
     "SELECT id, started_at, count(*), array_agg(tx), array_agg(outcome) FROM adv.applied GROUP BY 1, 2 HAVING count(*) > 1"},
    {"started_at of a job does not rise",
     "SELECT * FROM (SELECT id, started_at, lag(ctid) OVER w AS before, ctid, lag(started_at) OVER w AS earlier FROM adv.claimed "
     "WINDOW w AS (PARTITION BY id ORDER BY started_at)) c WHERE started_at <= earlier"},
    {"a tick of a schedule was pushed twice",
     "SELECT meta -> 'cron', count(*), string_agg(id::text, ' ') FROM chancy.jobs WHERE meta #>> '{cron,key}' = 'own' GROUP BY 1 HAVING count(*) > 1"},
    {"a job is in an impossible state",
     "SELECT * FROM chancy.jobs WHERE (state = 'running' AND (taken_by IS NULL OR started_at IS NULL)) OR (state IN ('succeeded', "
     "'failed')) <> (completed_at IS NOT NULL)"},
    {"a finished job that nobody finished",
     "SELECT j.* FROM chancy.jobs j WHERE j.state = 'succeeded' AND NOT EXISTS (SELECT FROM adv.applied a WHERE a.id = j.id AND "
     "a.started_at = j.started_at AND a.outcome = 'succeeded')"},
    {"a step was pushed twice",
     "SELECT meta ->> 'workflow_id', meta ->> 'workflow_step', count(*), array_agg(id) FROM chancy.jobs WHERE meta ? 'workflow_step' "
     "GROUP BY 1, 2 HAVING count(*) > 1"},
    {"a step was forgotten",
     "SELECT s.workflow_id, s.step_id, s.waits_for, s.waits_at, s.dependencies FROM chancy.workflow_steps s JOIN chancy.workflows w ON "
     "w.id = s.workflow_id WHERE w.status = 'running' AND s.job_id IS NULL AND NOT s.skipped AND NOT EXISTS (SELECT FROM "
     "chancy.workflow_todo t WHERE t.workflow_id = w.id) AND NOT EXISTS (SELECT FROM chancy.workflow_steps d LEFT JOIN chancy.jobs j ON "
     "j.id = d.job_id WHERE d.id = s.waits_for AND d.id = ANY (s.dependency_ids) AND NOT d.skipped AND (d.job_id IS NULL OR j.state NOT "
     "IN ('succeeded', 'failed')))"},
    {"a workflow was forgotten",
     "SELECT w.* FROM chancy.workflows w WHERE w.status IN ('running', 'compensating') AND NOT EXISTS (SELECT FROM chancy.workflow_todo t "
     "WHERE t.workflow_id = w.id) AND NOT EXISTS (SELECT FROM chancy.workflow_steps d LEFT JOIN chancy.jobs j ON j.id = d.job_id WHERE "
     "d.id = w.waits_for AND NOT d.skipped AND (d.job_id IS NULL OR j.state NOT IN ('succeeded', 'failed')))"},
    {"a failed step did not end its workflow",
     "SELECT w.*, j.id FROM chancy.workflows w JOIN chancy.workflow_steps s ON s.workflow_id = w.id JOIN chancy.jobs j ON j.id = s.job_id "
     "WHERE w.status = 'running' AND w.on_failure <> 'continue' AND j.state = 'failed' AND NOT EXISTS (SELECT FROM chancy.workflow_todo t "
     "WHERE t.workflow_id = w.id)"},
    {"a step ran before what it waits for had ended",
     "SELECT s.workflow_id, s.step_id, s.dependencies FROM chancy.workflow_steps s JOIN chancy.jobs j ON j.id = s.job_id JOIN "
     "chancy.workflow_steps d ON d.id = ANY (s.dependency_ids) WHERE NOT d.skipped AND d.job_id IS NULL AND s.run_when = 'succeeded'"},
    {"a result was applied but is not there",
     "SELECT a.*, j.* FROM adv.applied a JOIN chancy.jobs j USING (id) WHERE j.state = 'running' AND j.started_at = a.started_at"},
};

// "Begins after its commit" is told by the timestamps of commits: a claim that passed the pusher by until he had committed
// commits later. A run of the key may be yet to come, or have been cancelled while the job waited.
constexpr law rerun_law = {
    "no run of the key began after a committed push with rerun or replace",
    "WITH p AS (SELECT p.*, pg_xact_commit_timestamp(p.xmin) AS committed FROM adv.pushed p WHERE mode IN ('rerun', 'replace') AND queue <> "
    "'brief' AND NOT EXISTS (SELECT FROM adv.withdrawn w WHERE w.id = p.id)), c AS (SELECT j.unique_key, "
    "max(pg_xact_commit_timestamp(c.xmin)) AS committed FROM adv.claimed c JOIN chancy.jobs j USING (id) GROUP BY 1) SELECT p.*, c.committed FROM p "
    "LEFT JOIN c ON c.unique_key = p.key WHERE c.committed IS NULL OR c.committed < p.committed EXCEPT SELECT p.*, c.committed FROM p LEFT "
    "JOIN c ON c.unique_key = p.key JOIN chancy.jobs j ON j.unique_key = p.key AND (j.state IN ('pending', 'retrying') OR j.next_run IS NOT NULL "
    "OR j.state = 'failed' AND j.taken_by IS NULL AND j.completed_at >= p.began - interval 'TOLERANCE')"};

std::string replaced(std::string text, const std::string& from, const std::string& to) {
    for (size_t at; (at = text.find(from)) != std::string::npos;) text.replace(at, from.size(), to);
    return text;
}

void check_laws(world& w, connection& c) {
    c.need("SET enable_indexscan = off; SET enable_bitmapscan = off; SET enable_indexonlyscan = off");
    std::string tolerance = std::to_string(w.count().longest_transaction + 0.05) + " s";
    std::vector<law> all(std::begin(laws), std::end(laws));
    if (c.need("SHOW track_commit_timestamp").rows[0][0] == "on") all.push_back(rerun_law);
    for (const law& l : all) {
        answer a = c.need(replaced(l.sql, "TOLERANCE", tolerance));
        if (a.rows.empty()) continue;
        std::string report = std::string(l.violation) + ", " + std::to_string(a.rows.size()) + " times:";
        for (size_t i = 0; i < a.rows.size() && i < 5; i++) {
            report += "\n ";
            for (const std::string& value : a.rows[i]) report += " " + value + " |";
        }
        w.fail(report);
    }
    c.need("RESET enable_indexscan; RESET enable_bitmapscan; RESET enable_indexonlyscan");
}

// Every row has its index entries, if the server has amcheck.
void check_indexes(world& w, connection& c) {
    if (c.need("SELECT FROM pg_extension WHERE extname = 'amcheck'").rows.empty()) return;
    answer a = c.run("SELECT bt_index_check(i.indexrelid, true) FROM pg_index i JOIN pg_class r ON r.oid = i.indrelid WHERE "
                     "r.relnamespace = 'chancy'::regnamespace AND r.relname IN ('jobs', 'workflows', 'workflow_steps', 'queues', 'workers', 'watches', "
                     "'queue_rate_limits', 'task_runs')");
    if (!a.ok) w.fail("amcheck: " + a.sqlstate + " " + a.message);
    a = c.need("SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid");
    for (const auto& row : a.rows) w.fail("index " + row[0] + " is invalid");
}

}  // namespace

void check_all(world& w) {
    try {
        connection c(parameters(w.get(), "adversary"));
        check_laws(w, c);
        check_indexes(w, c);
        if (w.failed()) return;
        c.need("TRUNCATE adv.pushed, adv.decided, adv.withdrawn, adv.undone, adv.claimed, adv.orders, adv.invoices");
        // The results of attempts that are still in the table stay: a second one may come in the next round.
        c.need("DELETE FROM chancy.workflows WHERE finished_at < clock_timestamp() - interval '100 ms'");
        c.need("DELETE FROM chancy.jobs j WHERE completed_at < clock_timestamp() - interval '100 ms' AND NOT EXISTS (SELECT FROM "
               "chancy.workflow_steps s WHERE s.job_id = j.id)");
        c.need("DELETE FROM adv.applied a WHERE NOT EXISTS (SELECT FROM chancy.jobs j WHERE j.id = a.id)");
    } catch (const std::runtime_error& e) {
        w.fail(std::string("the check: ") + e.what());
    }
}

int64_t deadlocks(const options& o) {
    connection c("dbname=postgres application_name=adversary");
    return std::stoll(c.need("SELECT coalesce(sum(deadlocks), 0) FROM pg_stat_database WHERE datname = '" + o.database + "'").rows[0][0]);
}

}  // namespace adversary
