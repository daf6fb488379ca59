#include "route.hpp"

#include <sstream>

namespace chancy::dashboard {
namespace {

json type_of(std::string type) {
    const bool nullable = type.ends_with('?');
    if (nullable) type.pop_back();
    if (type == "any") return json::object();
    json s;
    if (type == "uuid" || type == "date-time") s = {{"type", "string"}, {"format", type}};
    else if (type.ends_with("[]")) s = {{"type", "array"}, {"items", type_of(type.substr(0, type.size() - 2))}};
    else if (type == "integer" || type == "number" || type == "string" || type == "boolean" || type == "object" || type == "array") s = {{"type", type}};
    else s = {{"$ref", "#/components/schemas/" + type}};
    if (nullable && s.contains("type")) s["type"] = {s["type"], "null"};
    return s;
}

// "id:uuid kwargs:any": an object with these members.
json object_of(const std::string& members) {
    json s = {{"type", "object"}, {"properties", json::object()}, {"required", json::array()}};
    std::istringstream in(members);
    for (std::string m; in >> m;) {
        const auto colon = m.find(':');
        s["properties"][m.substr(0, colon)] = type_of(m.substr(colon + 1));
        s["required"].push_back(m.substr(0, colon));
    }
    return s;
}

json schemas() {
    const std::string line = "id:uuid queue:string func:string state:string priority:integer attempts:integer max_attempts:integer unique_key:string? "
                             "taken_by:string? created_at:date-time scheduled_at:date-time started_at:date-time? completed_at:date-time? ";
    const std::string workflow = "id:uuid name:string status:string on_failure:string created_at:date-time finished_at:date-time? ";
    json s = {
        {"jobs", type_of("job_line[]")}, {"job_line", object_of(line + "error:string?")},
        // What a rule hides is the text "(hidden)".
        {"job", object_of(line + "kwargs:any meta:any limits:array errors:any result:any progress:any recoveries:integer concurrency_key:string?")},
        {"queues", type_of("queue[]")},
        {"queue", object_of("queue:string state:string? pending:integer retrying:integer scheduled:integer running:integer oldest_waiting:number? "
                            "pushed_per_second:number finished_per_second:number average_waiting:number? average_running:number? workers:integer settings:object?")},
        {"workers", type_of("worker[]")},
        {"worker", object_of("worker_id:string tags:any queues:any last_seen:date-time expires_at:date-time owner:string? alive:boolean")},
        {"schedules", type_of("schedule[]")},
        {"schedule", object_of("key:string expression:string time_zone:string func:string? kwargs:any queue:string missed:string overlap:boolean paused:boolean "
                               "last_run:date-time? next_run:date-time? next_runs:date-time[] for_python:boolean")},
        {"workflows", type_of("workflow_line[]")}, {"workflow_line", object_of(workflow)},
        {"workflow", object_of(workflow + "counts:object steps:step[]")},
        {"step", object_of("step:string state:string after:any func:string? queue:string? job_id:uuid? attempts:integer? started_at:date-time? "
                           "completed_at:date-time? result:any error:string?")},
        {"points", type_of("point[]")}, {"point", object_of("at:date-time value:number? count:integer average:number? least:number? most:number?")},
        {"holders", type_of("holder[]")},
        {"holder", object_of("kind:string pid:integer? name:string? role:string? application:string? state:string? since:date-time? age:integer? "
                             "locks:string[] blocks:integer[]")},
        {"held", type_of("held_jobs[]")},
        {"held_jobs", object_of("queue:string jobs:integer looked_at:integer due_since:date-time pid:integer? name:string? role:string? application:string? state:string? "
                                "since:date-time? query:string?")},
        {"findings", type_of("finding[]")}, {"finding", object_of("finding:string severity:string what:string hint:string")},
        {"tables", type_of("table[]")},
        {"table", object_of("name:string bytes:integer index_bytes:integer live:integer dead:integer last_vacuum:date-time? last_analyze:date-time?")},
        {"tasks", type_of("task[]")},
        {"task", object_of("name:string enabled:boolean every:number settings:object last_run:date-time? next_due:date-time? did:any error:string? failed_at:date-time?")},
        {"pushed", type_of("pushed_job[]")}, {"pushed_job", object_of("id:uuid created:boolean")}, {"run", object_of("id:uuid")},
        {"done", object_of("done:boolean")}, {"bulk", object_of("tried:integer done:integer after:uuid?")},
        {"session", object_of("name:string role:string csrf:string")}, {"description", json{{"type", "object"}}},
        {"problem", object_of("type:string status:integer title:string detail:string")},
    };
    for (const char* more : {"sqlstate", "hint", "path"}) s["problem"]["properties"][more] = {{"type", "string"}};
    return s;
}

json content(const char* media, const json& schema) { return {{media, {{"schema", schema}}}}; }

json operation(const std::string& summary, role needs, const json& answer) {
    return {{"summary", summary + ". For " + std::string(to_string(needs)) + (needs == role::admin ? "s" : "s and above")},
            {"responses", {{"200", {{"description", "Done"}, {"content", answer}}},
                           {"default", {{"description", "What went wrong"}, {"content", content("application/problem+json", type_of("problem"))}}}}}};
}

}  // namespace

json openapi() {
    json paths = json::object();
    for (const auto* routes : {&read_routes(), &act_routes()})
        for (const route& r : *routes) {
            std::string method = r.method;
            for (char& c : method) c = static_cast<char>(c | 32);
            json& o = paths[r.path][method] = operation(r.summary, r.needs, content("application/json", type_of(r.answer)));
            json body = {{"type", "object"}, {"properties", json::object()}, {"additionalProperties", false}};
            for (const parameter& p : r.parameters) {
                json schema = type_of(p.type);
                schema["description"] = p.description;
                if (std::string(p.place) != "body") {
                    o["parameters"].push_back({{"name", p.name}, {"in", p.place}, {"required", p.required}, {"description", p.description}, {"schema", type_of(p.type)}});
                    continue;
                }
                body["properties"][p.name] = std::move(schema);
                if (p.required) body["required"].push_back(p.name);
            }
            if (!body["properties"].empty())
                o["requestBody"] = {{"required", body.contains("required")}, {"content", content("application/json", body)}};
        }
    paths["/session"]["get"] = operation("Who is logged in", role::reader, content("application/json", type_of("session")));
    paths["/session"]["post"] = operation("Log in: the answer sets the cookie", role::reader, content("application/json", type_of("session")));
    paths["/session"]["post"]["requestBody"] = {{"required", true}, {"content", content("application/json", object_of("name:string password:string"))}};
    paths["/session"]["post"]["security"] = json::array();
    paths["/session"]["delete"] = operation("Log out", role::reader, content("application/json", type_of("done")));
    paths["/events"]["get"] = operation("Events as they come, as server-sent events", role::reader, content("text/event-stream", {{"type", "string"}}));
    paths["/openapi.json"]["get"] = operation("This description", role::reader, content("application/json", type_of("description")));
    return {{"openapi", "3.1.0"},
            {"info", {{"title", "chancy"}, {"version", "1"}, {"description", "The job queue in PostgreSQL. Browsers send the cookie and X-CSRF-Token; scripts HTTP Basic."}}},
            {"servers", json::array({json{{"url", "/api/v1"}}})},
            {"security", json::array({json{{"basic", json::array()}}, json{{"cookie", json::array()}}})},
            {"paths", std::move(paths)},
            {"components", {{"schemas", schemas()},
                            {"securitySchemes", {{"basic", {{"type", "http"}, {"scheme", "basic"}}},
                                                 {"cookie", {{"type", "apiKey"}, {"in", "cookie"}, {"name", "chancy_session"}}}}}}}};
}

}  // namespace chancy::dashboard
