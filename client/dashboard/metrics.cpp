#include "metrics.hpp"

#include <nlohmann/json.hpp>
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

namespace chancy::dashboard {
namespace {

using json = nlohmann::json;
using prometheus::MetricType;
using namespace std::chrono_literals;

// A metric, and its samples: rows of value, or of sum and count for a summary. All other columns are labels.
struct family {
    const char* name;
    MetricType type;
    const char* help;
    const char* samples;
};

// What several families are made of is asked for once. The history has a point for each day: today's begins with 0, as a counter does
// whose program starts anew.
constexpr const char* shared = R"(
WITH stats AS MATERIALIZED (
    SELECT * FROM chancy.queue_stats
), workers AS MATERIALIZED (
    SELECT CASE WHEN expires_at > clock_timestamp() THEN 'alive' ELSE 'expired' END AS state FROM chancy.list_workers()
), tasks AS MATERIALIZED (
    SELECT * FROM chancy.list_tasks() WHERE enabled
), tables AS MATERIALIZED (
    SELECT name AS "table", bytes, index_bytes, live, dead FROM chancy.list_tables()
), holders AS MATERIALIZED (
    SELECT * FROM chancy.list_holders()
), kept AS (
    SELECT s.queue, w.what, 'queue:' || left(s.queue, 220) || ':' || w.what AS metric_key FROM stats s,
        unnest('{pushed,succeeded,failed,retrying,snoozed,released,cancelled,recovered,waiting_time,execution_time}'::text[]) AS w (what)
), today AS MATERIALIZED (
    SELECT k.queue, k.what, coalesce(p.value, 0) AS value, coalesce(p.count, 0) AS count
    FROM kept k LEFT JOIN (
        SELECT * FROM chancy.metric_points WHERE metric_key = ANY (ARRAY(SELECT metric_key FROM kept)) AND resolution = '1day'
            AND at = date_bin('1 day', clock_timestamp(), timestamptz '2000-01-01 00:00:00+00')
    ) p USING (metric_key)
)
)";

constexpr family families[] = {
    {"chancy_queue_jobs", MetricType::Gauge, "Live jobs by state.",
     "SELECT queue, state, value FROM (SELECT s.queue, v.state, v.value FROM stats s, LATERAL (VALUES ('pending', s.pending), ('retrying', s.retrying), "
     "('running', s.running)) AS v (state, value)) j"},
    {"chancy_queue_scheduled_jobs", MetricType::Gauge, "Of pending and retrying jobs, those that are not due yet.", "SELECT queue, scheduled AS value FROM stats"},
    {"chancy_queue_oldest_waiting_seconds", MetricType::Gauge, "For how long the oldest due job has waited; 0: none waits.",
     "SELECT queue, greatest(extract(epoch FROM coalesce(oldest_waiting, '0')), 0) AS value FROM stats"},
    {"chancy_queue_workers", MetricType::Gauge, "Workers that serve the queue and have not expired.", "SELECT queue, workers AS value FROM stats"},
    {"chancy_queue_paused", MetricType::Gauge, "1: the queue is paused.", "SELECT queue, (state IS NOT DISTINCT FROM 'paused')::int AS value FROM stats"},
    {"chancy_jobs_total", MetricType::Counter, "What happened to jobs since midnight UTC, by outcome; counted once a minute.",
     "SELECT queue, what AS outcome, value FROM today WHERE what NOT LIKE '%\\_time'"},
    {"chancy_job_waiting_seconds", MetricType::Summary, "From due to started, of the attempts that ended since midnight UTC.",
     "SELECT queue, value AS sum, count FROM today WHERE what = 'waiting_time'"},
    {"chancy_job_running_seconds", MetricType::Summary, "From started to the result, of the attempts that ended since midnight UTC.",
     "SELECT queue, value AS sum, count FROM today WHERE what = 'execution_time'"},
    {"chancy_workers", MetricType::Gauge, "Workers: alive, or expired since yesterday and not seen again.",
     "SELECT s.state, count(w.state) AS value FROM unnest('{alive,expired}'::text[]) AS s (state) LEFT JOIN workers w USING (state) GROUP BY s.state"},
    {"chancy_task_failed", MetricType::Gauge, "1: the task of maintenance failed when it ran last.",
     "SELECT name AS task, (failed_at IS NOT NULL AND failed_at IS NOT DISTINCT FROM last_run)::int AS value FROM tasks"},
    {"chancy_task_overdue_seconds", MetricType::Gauge, "For how long the task of maintenance has been due; if it has not run yet, since the server started.",
     "SELECT name AS task, coalesce(greatest(extract(epoch FROM clock_timestamp() - CASE WHEN last_run IS NULL AND next_due <= clock_timestamp() "
     "THEN pg_postmaster_start_time() ELSE next_due END), 0), 0) AS value FROM tasks"},
    {"chancy_table_size_bytes", MetricType::Gauge, "Size of the table without its indexes.", "SELECT \"table\", bytes AS value FROM tables"},
    {"chancy_table_index_size_bytes", MetricType::Gauge, "Size of the table's indexes.", "SELECT \"table\", index_bytes AS value FROM tables"},
    {"chancy_table_live_rows", MetricType::Gauge, "Live rows by the server's statistics.", "SELECT \"table\", live AS value FROM tables"},
    {"chancy_table_dead_rows", MetricType::Gauge, "Dead rows by the server's statistics.", "SELECT \"table\", dead AS value FROM tables"},
    {"chancy_oldest_snapshot_transactions", MetricType::Gauge, "Age of the oldest snapshot that keeps dead rows, in transactions.",
     "SELECT coalesce(max(age), 0) AS value FROM holders"},
    {"chancy_longest_transaction_seconds", MetricType::Gauge, "Age of the oldest transaction that has a snapshot or a lock on our tables.",
     "SELECT coalesce(greatest(max(extract(epoch FROM clock_timestamp() - since)), 0), 0) AS value FROM holders"},
    {"chancy_blocked_sessions", MetricType::Gauge, "Sessions that wait for such a transaction.", "SELECT count(DISTINCT b) AS value FROM holders LEFT JOIN LATERAL unnest(blocks) AS b ON true"},
    {"chancy_findings", MetricType::Gauge, "What check_installation() finds.", "SELECT severity, finding, count(*) AS value FROM chancy.check_installation() GROUP BY 1, 2"},
};

}  // namespace

probe::probe(const options& how, std::string statement, int seconds)
    : m_database(how.conninfo, how.reader, true, seconds), m_statement(std::move(statement)) {}

std::string probe::ask() {
    const std::unique_lock one(m_mutex, 2s);
    if (!one) throw database_error("the database has not answered the one who asked before", "08006", "");
    if (std::chrono::steady_clock::now() >= m_good_until) {
        m_answer = m_database.ask(m_statement, {}).value_or("");
        m_good_until = std::chrono::steady_clock::now() + 1s;
    }
    return m_answer;
}

std::string metrics_statement() {
    std::string out = shared;
    const char* before = "SELECT jsonb_build_array(";
    for (const family& f : families) {
        ((out += before) += "(SELECT coalesce(jsonb_agg(to_jsonb(r)), '[]') FROM (") += f.samples;
        out += ") r)";
        before = ",\n";
    }
    return out + ')';
}

std::string metrics_text(const std::string& answer) {
    std::vector<prometheus::MetricFamily> all;
    const json documents = json::parse(answer);
    for (std::size_t i = 0; i < std::size(families); ++i) {
        const family& f = families[i];
        prometheus::MetricFamily& out = all.emplace_back(prometheus::MetricFamily{f.name, f.help, f.type, {}});
        for (const json& row : documents.at(i)) {
            prometheus::ClientMetric& m = out.metric.emplace_back();
            for (const auto& [name, value] : row.items())
                if (value.is_string()) m.label.push_back({name, value.get<std::string>()});
            if (f.type == MetricType::Summary) {
                m.summary.sample_sum = row.at("sum").get<double>();
                m.summary.sample_count = row.at("count").get<std::uint64_t>();
            } else {
                (f.type == MetricType::Counter ? m.counter.value : m.gauge.value) = row.at("value").get<double>();
            }
        }
    }
    return prometheus::TextSerializer().Serialize(all);
}

}  // namespace chancy::dashboard
