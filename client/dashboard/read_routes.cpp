#include "route.hpp"

namespace chancy::dashboard {
namespace {

#define ALL(row, from) "SELECT coalesce(jsonb_agg(" row "), '[]') FROM " from

// A page of jobs: without payloads, which may be large, and of the error the line that libchancy's error_line() chooses.
#define JOB_LINE                                                                                                               \
    "jsonb_build_object('id', j.id, 'queue', j.queue, 'func', j.func, 'state', j.state, 'priority', j.priority, 'attempts', "  \
    "j.attempts, 'max_attempts', j.max_attempts, 'unique_key', j.unique_key, 'taken_by', j.taken_by, 'created_at', "           \
    "j.created_at, 'scheduled_at', j.scheduled_at, 'started_at', j.started_at, 'completed_at', j.completed_at, 'error', "      \
    "left(regexp_replace(rtrim(j.errors -> -1 ->> 'traceback', E' \\t\\r\\n'), CASE WHEN starts_with(j.errors -> -1 ->> 'traceback', "      \
    "'Traceback') OR j.errors -> -1 ->> 'traceback' ~ '^(exit status|killed by signal) ' THEN '^.*\\n' ELSE '\\n.*$' END, ''), 300))"

}  // namespace

const std::vector<route>& read_routes() {
    static const parameter id{"id", "path", "uuid", "The id", true};
    static const parameter name{"name", "path", "string", "The name", true};
    static const std::vector<route> all = {
        {"GET", "/queues", role::reader, "Every queue as it is now: live jobs by state, rates over the last minute, settings", {}, "queues",
         ALL("to_jsonb(s) - 'oldest_waiting' || jsonb_build_object('oldest_waiting', extract(epoch FROM s.oldest_waiting), 'settings', "
             "to_jsonb(q)) ORDER BY s.queue COLLATE \"C\"", "chancy.queue_stats s LEFT JOIN chancy.list_queues() q ON q.name = s.queue")},
        {"GET", "/queues/{name}", role::reader, "One queue", {name}, "queue",
         "SELECT to_jsonb(s) - 'oldest_waiting' || jsonb_build_object('oldest_waiting', extract(epoch FROM s.oldest_waiting), 'settings', "
         "to_jsonb(q)) FROM chancy.queue_stats s LEFT JOIN chancy.list_queues() q ON q.name = s.queue WHERE s.queue = $1"},
        {"GET", "/jobs", role::reader, "Jobs, the newest first, a page at a time",
         {{"queue", "query", "string", "Of this queue"},
          {"state", "query", "string", "pending, running, retrying, succeeded or failed"},
          {"func", "query", "string", "Of this func"},
          {"after", "query", "uuid", "The last id of the page before"},
          {"since", "query", "date-time", "Pushed at this time or later"},
          {"before", "query", "date-time", "Pushed before this time"},
          {"key", "query", "string", "Of this unique_key"},
          {"up_to", "query", "integer", "The size of a page, 1 to 1000", false, "50"}},
         "jobs",
         ALL(JOB_LINE " ORDER BY j.id DESC", "chancy.list_jobs($1, $2, $3, $4::uuid, least($8::int, 1000), $5::timestamptz, $6::timestamptz, $7) j")},
        {"GET", "/failures", role::reader, "Of the 200 failed jobs that were pushed last, the five that ended last", {}, "jobs",
         ALL(JOB_LINE " ORDER BY j.completed_at DESC", "(SELECT * FROM chancy.list_jobs(NULL, 'failed', NULL, NULL, 200) ORDER BY completed_at DESC LIMIT 5) j")},
        {"GET", "/jobs/{id}", role::reader, "One job with payload, errors, result, progress", {id}, "job",
         "SELECT to_jsonb(j) || jsonb_build_object('progress', CASE WHEN p.job_id IS NOT NULL THEN to_jsonb(p) - 'job_id' END) "
         "FROM chancy.get_job($1::uuid) j, chancy.get_progress($1::uuid) p WHERE j.id IS NOT NULL"},
        {"GET", "/workers", role::reader, "The workers that are known, by id", {}, "workers",
         ALL("to_jsonb(w) || jsonb_build_object('alive', w.expires_at > clock_timestamp()) ORDER BY w.worker_id", "chancy.list_workers() w")},
        {"GET", "/schedules", role::reader, "Every schedule, with its next runs", {}, "schedules",
         ALL("to_jsonb(c) - 'job' || jsonb_build_object('func', c.job ->> 'func', 'kwargs', c.job -> 'kwargs', 'queue', coalesce(c.job ->> 'queue', 'default'), "
             "'next_runs', CASE WHEN c.paused THEN '[]' ELSE (SELECT coalesce(jsonb_agg(n.tick ORDER BY n.tick), '[]') FROM chancy.next_runs(c.expression, c.time_zone, 5, "
             "skipped_times => c.skipped_times, repeated_times => c.repeated_times) n) END) ORDER BY c.key COLLATE \"C\"", "chancy.list_cron() c")},
        {"GET", "/workflows", role::reader, "Workflows, the newest first",
         {{"status", "query", "string", "running, compensating, completed, failed, cancelled, compensated"},
          {"before", "query", "date-time", "created_at of the last one of the page before", false, "infinity"},
          {"up_to", "query", "integer", "The size of a page, 1 to 1000", false, "50"}},
         "workflows", ALL("to_jsonb(w) ORDER BY w.created_at DESC, w.id DESC", "chancy.list_workflows($1, $2::timestamptz, least($3::int, 1000)) w")},
        {"GET", "/workflows/{id}", role::reader, "One workflow and its steps", {id}, "workflow",
         "SELECT to_jsonb(w) - 'steps' || jsonb_build_object('counts', w.steps, 'steps', (SELECT coalesce(jsonb_agg(to_jsonb(s)), '[]') FROM chancy.get_workflow_steps($1::uuid) s)) "
         "FROM chancy.get_workflow($1::uuid) w"},
        {"GET", "/metrics/{name}", role::reader, "The history of a metric, such as global:throughput, oldest first",
         {name, {"resolution", "query", "string", "1min, 5min, 1hour or 1day", false, "1min"}}, "points",
         ALL("jsonb_build_object('at', p.at, 'value', p.value, 'count', p.count, 'average', p.average, 'least', p.least, 'most', p.most) ORDER BY p.at",
             "chancy.metric_points p WHERE p.metric_key = $1 AND p.resolution = $2")},
        {"GET", "/holders", role::reader, "Who holds back the removal of dead rows, holds locks or blocks others", {}, "holders",
         ALL("to_jsonb(h)", "chancy.list_holders() h")},
        {"GET", "/held", role::reader, "Sessions that hold rows of due jobs, which no worker takes therefore", {{"queue", "query", "string", "Of this queue"}}, "held",
         ALL("to_jsonb(h)", "chancy.list_held_jobs($1) h")},
        {"GET", "/findings", role::reader, "What is wrong with the installation and what to do, the worst first", {}, "findings",
         ALL("to_jsonb(f)", "chancy.check_installation() f")},
        {"GET", "/tables", role::reader, "Sizes and dead rows of the tables", {}, "tables", ALL("to_jsonb(t)", "chancy.list_tables() t")},
        {"GET", "/tasks", role::reader, "The tasks of maintenance, and how each went last", {}, "tasks",
         ALL("to_jsonb(t) - 'every' || jsonb_build_object('every', extract(epoch FROM t.every))", "chancy.list_tasks() t")},
    };
    return all;
}

}  // namespace chancy::dashboard
