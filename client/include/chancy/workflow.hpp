// Workflows: jobs that wait for other jobs.
//
//     chancy::workflow w("report");
//     w.step("fetch", {.func = "report.fetch"})
//      .step("left", {.func = "report.part"}, {"fetch"})
//      .step("right", {.func = "report.part"}, {"fetch"})
//      .step("sum", {.func = "report.sum"}, {"left", "right"}).undo({.func = "report.unsum"})
//      .then("mail", {.func = "mail.send"});                      // after the step before it
//     chancy::uuid id = db.push_workflow(w);
//
// A step's job is pushed when the steps that it waits for have succeeded, by the server, in the transaction of the last one's
// result. Steps may be named in any order. The server refuses cycles, unknown and doubled steps: chancy::error 22023.
// Threads: plain values.
#pragma once

#include <chancy/push.hpp>

#include <optional>
#include <string>
#include <vector>

namespace chancy {

// What a failed step does to its workflow.
enum class on_failure {
    fail,        // ends it: nothing more is pushed
    go_on,       // what does not depend on it goes on; what does is skipped ("continue" in SQL)
    compensate,  // nothing more is pushed, and the steps that had succeeded are undone, the last one first
};

class workflow {
public:
    explicit workflow(std::string name, on_failure policy = on_failure::fail) : m_name(std::move(name)), m_policy(policy) {}

    workflow& step(std::string name, const new_job& job, std::vector<std::string> after = {});
    workflow& then(std::string name, const new_job& job);  // after the step added before
    // Of the step added before:
    workflow& when_finished();                // runs when all that it waits for have ended, however they ended
    workflow& undo(const new_job& job);       // what undoes it, if the workflow is compensated

    [[nodiscard]] const std::string& name() const noexcept { return m_name; }
    [[nodiscard]] on_failure policy() const noexcept { return m_policy; }
    [[nodiscard]] const json& steps() const noexcept { return m_steps; }
    // From steps as push_workflow takes them in SQL: an array of objects.
    [[nodiscard]] static workflow from(std::string name, json steps, on_failure policy = on_failure::fail);

private:
    std::string m_name;
    on_failure m_policy;
    json m_steps = json::array();
};

struct workflow_row {
    uuid id;
    std::string name;
    std::string status;      // running, completed, failed, cancelled, compensating, compensated
    std::string on_failure;  // fail, continue, compensate
    json steps;              // how many are in each state; null in lists
    timestamp created_at;
    std::optional<timestamp> finished_at;
};

struct step_row {
    std::string step;
    std::string state;  // waiting, skipped, missing (its job was deleted), or the job's
    std::vector<std::string> after;
    std::string func;
    std::string queue;
    std::optional<uuid> job_id;
    std::optional<json> result;
    std::optional<std::string> error;  // the last one
};

// How a step that another one waited for ended.
struct step_result {
    std::string step;
    std::string state;
    std::optional<json> result;
};

// Keys are the member names, timestamps ISO 8601 in UTC, absent values null.
void to_json(json& out, const workflow_row& in);
void to_json(json& out, const step_row& in);
void to_json(json& out, const step_result& in);
void from_json(const json& in, step_result& out);

}  // namespace chancy
