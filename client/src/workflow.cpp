#include <chancy/calls.hpp>

#include "statement.hpp"

#include <stdexcept>

namespace chancy {
namespace {

const char* text(on_failure policy) {
    return policy == on_failure::fail ? "fail" : policy == on_failure::go_on ? "continue" : "compensate";
}

json& last(json& steps) {
    if (steps.empty()) throw std::logic_error("chancy::workflow: add a step first");
    return steps.back();
}

}  // namespace

workflow& workflow::step(std::string name, const new_job& job, std::vector<std::string> after) {
    json step = json::parse(detail::object(job));
    step["step"] = std::move(name);
    step["after"] = std::move(after);
    m_steps.push_back(std::move(step));
    return *this;
}

workflow& workflow::then(std::string name, const new_job& job) {
    if (m_steps.empty()) return step(std::move(name), job);
    return step(std::move(name), job, {m_steps.back().at("step").get<std::string>()});
}

workflow& workflow::when_finished() {
    last(m_steps)["when"] = "finished";
    return *this;
}

workflow& workflow::undo(const new_job& job) {
    last(m_steps)["undo"] = json::parse(detail::object(job));
    return *this;
}

workflow workflow::from(std::string name, json steps, on_failure policy) {
    workflow w(std::move(name), policy);
    w.m_steps = std::move(steps);
    return w;
}

namespace detail::describe {
namespace {

workflow_row read_workflow(const result& rows, int row, bool steps) {
    return {.id = rows.id(row, 0), .name = rows.text(row, 1), .status = rows.text(row, 2), .on_failure = rows.text(row, 3),
            .steps = steps ? rows.document(row, 4) : json(nullptr), .created_at = rows.time(row, 5),
            .finished_at = rows.null(row, 6) ? std::nullopt : std::optional(rows.time(row, 6))};
}

std::optional<std::string> read_text(const result& rows) {
    return rows.rows() == 0 || rows.null(0, 0) ? std::nullopt : std::optional(rows.text(0, 0));
}

}  // namespace

call<uuid> push_workflow(const workflow& w) {
    return {{"push_workflow", "SELECT chancy.push_workflow($1::text, $2::jsonb, $3::text)", {w.name(), dump(w.steps()), text(w.policy())},
             repeat::never},
            [](const result& rows) { return rows.id(0, 0); }};
}

call<uuid> push_group(const std::string& name, std::span<const new_job> jobs, const new_job& then_push) {
    json all = json::array();
    for (const new_job& job : jobs) all.push_back(json::parse(object(job)));
    return {{"push_group", "SELECT chancy.push_group($1::text, $2::jsonb, $3::jsonb)", {name, dump(all), object(then_push)}, repeat::never},
            [](const result& rows) { return rows.id(0, 0); }};
}

call<void> add_steps(const uuid& id, const workflow& steps) {
    return {{"add_steps", "SELECT chancy.add_steps($1::uuid, $2::jsonb)", {id.to_string(), dump(steps.steps())}, repeat::never}, read_nothing};
}

call<bool> cancel_workflow(const uuid& id) {
    return {{"cancel_workflow", "SELECT chancy.cancel_workflow($1::uuid)", {id.to_string()}, repeat::never}, read_verdict};
}

call<bool> retry_workflow(const uuid& id) {
    return {{"retry_workflow", "SELECT chancy.retry_workflow($1::uuid)", {id.to_string()}, repeat::never}, read_verdict};
}

call<std::optional<workflow_row>> get_workflow(const uuid& id) {
    return {{"get_workflow", "SELECT id, name, status, on_failure, steps, created_at, finished_at FROM chancy.get_workflow($1::uuid)",
             {id.to_string()}},
            [](const result& rows) { return rows.rows() == 0 ? std::nullopt : std::optional(read_workflow(rows, 0, true)); }};
}

call<std::vector<workflow_row>> list_workflows(const std::optional<std::string>& state, int up_to) {
    return {{"list_workflows", "SELECT id, name, status, on_failure, NULL, created_at, finished_at FROM chancy.list_workflows(state => $1::text, "
             "up_to => $2::int)", {state, std::to_string(up_to)}},
            [](const result& rows) {
                std::vector<workflow_row> out;
                for (int row = 0; row < rows.rows(); ++row) out.push_back(read_workflow(rows, row, false));
                return out;
            }};
}

call<std::vector<step_row>> get_workflow_steps(const uuid& id) {
    return {{"get_workflow_steps", "SELECT step, state, ARRAY(SELECT jsonb_array_elements_text(after)), func, queue, job_id, result, error "
             "FROM chancy.get_workflow_steps($1::uuid)", {id.to_string()}},
            [](const result& rows) {
                std::vector<step_row> out;
                for (int row = 0; row < rows.rows(); ++row)
                    out.push_back({.step = rows.text(row, 0), .state = rows.text(row, 1), .after = rows.texts(row, 2), .func = rows.text(row, 3),
                                   .queue = rows.text(row, 4), .job_id = rows.null(row, 5) ? std::nullopt : std::optional(rows.id(row, 5)),
                                   .result = rows.null(row, 6) ? std::nullopt : std::optional(rows.document(row, 6)),
                                   .error = rows.null(row, 7) ? std::nullopt : std::optional(rows.text(row, 7))});
                return out;
            }};
}

call<std::vector<step_result>> step_results(const uuid& job_id) {
    return {{"step_results", "SELECT step, state, result FROM chancy.step_results($1::uuid)", {job_id.to_string()}},
            [](const result& rows) {
                std::vector<step_result> out;
                for (int row = 0; row < rows.rows(); ++row)
                    out.push_back({rows.text(row, 0), rows.text(row, 1), rows.null(row, 2) ? std::nullopt : std::optional(rows.document(row, 2))});
                return out;
            }};
}

call<std::optional<std::string>> workflow_dot(const uuid& id) {
    return {{"workflow_dot", "SELECT chancy.workflow_dot($1::uuid)", {id.to_string()}}, read_text};
}

call<std::optional<std::string>> workflow_mermaid(const uuid& id) {
    return {{"workflow_mermaid", "SELECT chancy.workflow_mermaid($1::uuid)", {id.to_string()}}, read_text};
}

call<int> advance_workflows(int up_to) {
    return {{"advance_workflows", "SELECT advanced FROM chancy.advance_workflows($1::int)", {std::to_string(up_to)}, repeat::safe},
            [](const result& rows) { return rows.integer(0, 0); }};
}

call<int> prune_workflows(std::chrono::milliseconds age, int up_to) {
    return {{"prune_workflows", "SELECT chancy.prune_workflows(make_interval(secs => $1::float8), $2::int)", {seconds(age), std::to_string(up_to)},
             repeat::safe},
            [](const result& rows) { return rows.integer(0, 0); }};
}

}  // namespace detail::describe

void to_json(json& out, const workflow_row& in) {
    out = {{"id", in.id.to_string()}, {"name", in.name}, {"status", in.status}, {"on_failure", in.on_failure}, {"steps", in.steps},
           {"created_at", to_string(in.created_at)}, {"finished_at", in.finished_at ? json(to_string(*in.finished_at)) : json(nullptr)}};
}

void to_json(json& out, const step_row& in) {
    out = {{"step", in.step}, {"state", in.state}, {"after", in.after}, {"func", in.func}, {"queue", in.queue},
           {"job_id", in.job_id ? json(in.job_id->to_string()) : json(nullptr)}, {"result", in.result ? *in.result : json(nullptr)},
           {"error", in.error ? json(*in.error) : json(nullptr)}};
}

void to_json(json& out, const step_result& in) { out = {{"step", in.step}, {"state", in.state}, {"result", in.result ? *in.result : json()}}; }

void from_json(const json& in, step_result& out) {
    out = {.step = in.at("step").get<std::string>(), .state = in.at("state").get<std::string>(), .result = {}};
    if (!in.at("result").is_null()) out.result.emplace(in.at("result"));
}

}  // namespace chancy
