#include "route.hpp"

namespace chancy::dashboard {
namespace {

#define DONE(call) "SELECT jsonb_build_object('done', " call ")"
// What a bulk action is about: a page of jobs. The answer tells where it ended.
#define CHOSEN "chancy.list_jobs($1, $2, $3, $4::uuid, least($8::int, 1000), $5::timestamptz, $6::timestamptz, $7) j"

std::vector<parameter> filter() {
    return {{"queue", "body", "string", "Of this queue", true},
            {"state", "body", "string", "Of this state", true},
            {"func", "body", "string", "Of this func"},
            {"after", "body", "uuid", "Older than this id: what the answer to the call before said"},
            {"since", "body", "date-time", "Pushed at this time or later"},
            {"before", "body", "date-time", "Pushed before this time"},
            {"key", "body", "string", "Of this unique_key"},
            {"up_to", "body", "integer", "At most so many in one call, 1 to 1000", false, "1000"}};
}

}  // namespace

const std::vector<route>& act_routes() {
    static const parameter id{"id", "path", "uuid", "The id", true};
    static const parameter name{"name", "path", "string", "The name", true};
    static const parameter key{"key", "path", "string", "The schedule's key", true};
    static const std::vector<route> all = {
        {"POST", "/jobs", role::operators, "Push jobs, all or none; as push_many takes them",
         {{"jobs", "body", "array", "Objects with the parameters of push", true}}, "pushed",
         "SELECT jsonb_agg(jsonb_build_object('id', p.id, 'created', p.created) ORDER BY p.ord) FROM chancy.push_many($1::jsonb) p"},
        {"POST", "/jobs/{id}/cancel", role::operators, "End a live job", {id}, "done", DONE("chancy.cancel_job($1::uuid)")},
        {"POST", "/jobs/{id}/retry", role::operators, "Run a finished job again, as it is or with other kwargs",
         {id, {"kwargs", "body", "object", "In place of all its kwargs"}}, "done", DONE("chancy.retry_job($1::uuid, $2::jsonb)")},
        {"POST", "/jobs/{id}/copy", role::operators, "Push a finished job anew, with what is given changed; the old one stays as it was",
         {id,
          {"kwargs", "body", "object", "In place of all its kwargs"},
          {"priority", "body", "integer", "In place of its priority"},
          {"queue", "body", "string", "In place of its queue"},
          {"max_attempts", "body", "integer", "In place of its max_attempts"}},
         "pushed",
         "SELECT jsonb_agg(jsonb_build_object('id', c.copy, 'created', c.created)) FROM chancy.copy_job($1::uuid, $2::jsonb, $4, $3::int, $5::int) c HAVING count(*) > 0"},
        {"POST", "/jobs/cancel", role::operators, "End the jobs that match, a page at a time; done and tried count, after is where it goes on",
         filter(), "bulk", "SELECT jsonb_agg(j.id) FROM " CHOSEN, DONE("chancy.cancel_job($1::uuid)")},
        {"POST", "/jobs/retry", role::operators, "Run the finished jobs that match again, a page at a time; done and tried count, after is where it goes on",
         filter(), "bulk", "SELECT jsonb_agg(j.id) FROM " CHOSEN, DONE("chancy.retry_job($1::uuid)")},
        {"POST", "/queues/{name}/pause", role::operators, "Start nothing more of the queue",
         {name, {"resume_at", "body", "date-time", "Until then; without it, until resumed"}}, "done", DONE("chancy.pause_queue($1, $2::timestamptz)")},
        {"POST", "/queues/{name}/resume", role::operators, "End the pause", {name}, "done", DONE("chancy.resume_queue($1)")},
        {"DELETE", "/queues/{name}", role::admin, "Delete the queue with all its jobs", {name}, "done", DONE("chancy.delete_queue($1)")},
        {"POST", "/schedules/{key}/run", role::operators, "Push the schedule's job now", {key}, "run", "SELECT jsonb_build_object('id', i) FROM chancy.push_cron($1) i WHERE i IS NOT NULL"},
        {"POST", "/schedules/{key}/pause", role::operators, "Run the schedule no more", {key}, "done", DONE("chancy.pause_cron($1)")},
        {"POST", "/schedules/{key}/resume", role::operators, "Go on with the schedule", {key}, "done", DONE("chancy.resume_cron($1)")},
        {"DELETE", "/schedules/{key}", role::admin, "Delete the schedule", {key}, "done", DONE("chancy.unschedule_cron($1)")},
        {"POST", "/workflows/{id}/cancel", role::operators, "End the workflow", {id}, "done", DONE("chancy.cancel_workflow($1::uuid)")},
        {"POST", "/workflows/{id}/retry", role::operators, "Run the workflow on from its failed steps", {id}, "done", DONE("chancy.retry_workflow($1::uuid)")},
    };
    return all;
}

}  // namespace chancy::dashboard
