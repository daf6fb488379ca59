#include "request.hpp"

#include <httplib.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>

namespace chancy::dashboard {
namespace {

// What ends a request early.
struct refusal {
    json why;
};

[[noreturn]] void refuse(int status, const std::string& title, const std::string& detail, const std::string& path = "") {
    json why = problem(status, title, detail);
    if (!path.empty()) why["path"] = path;
    throw refusal{std::move(why)};
}

void answer(httplib::Response& response, int status, const std::string& text, const char* type = "application/json") {
    response.status = status;
    response.set_content(text, type);
}

void answer_problem(httplib::Response& response, const json& why) {
    answer(response, why["status"], why.dump(-1, ' ', false, json::error_handler_t::replace), "application/problem+json");
}

std::string now() {
    const auto t = std::chrono::time_point_cast<std::chrono::milliseconds>(std::chrono::system_clock::now());
    const std::time_t seconds = std::chrono::system_clock::to_time_t(t);
    std::tm utc{};
    gmtime_r(&seconds, &utc);
    char text[40];
    const std::size_t n = std::strftime(text, sizeof text, "%FT%T", &utc);
    std::snprintf(text + n, sizeof text - n, ".%03dZ", static_cast<int>(t.time_since_epoch().count() % 1000));
    return text;
}

// A line of JSON, so that nobody's name can forge another one. Payloads are not in it.
void note(requests& all, const httplib::Request& request, const std::string& user, std::string_view may, json parameters, int status) {
    for (const char* payload : {"kwargs", "jobs", "password"})
        if (parameters.is_object()) parameters.erase(payload);
    const json line = {{"at", now()}, {"user", user}, {"role", may}, {"address", request.remote_addr}, {"action", request.method + " " + request.path},
                       {"parameters", std::move(parameters)}, {"status", status}};
    all.audit->info("{}", line.dump(-1, ' ', false, json::error_handler_t::replace));
}

identity authorize(requests& all, const httplib::Request& request, role needs, bool acts) {
    const auto who = all.who.of(request);
    if (!who) refuse(401, "Log in first", "No session, or it has ended");
    // Whatever the credentials are: a browser may keep those of HTTP Basic too.
    if (acts && !all.who.same_origin(request)) refuse(403, "Not from a page of ours", "The Origin is another one");
    if (acts && who->by_browser && (who->csrf.empty() || request.get_header_value("X-CSRF-Token") != who->csrf))
        refuse(403, "Not from a page of ours", "X-CSRF-Token is missing or wrong");
    if (who->may < needs) refuse(403, "Not allowed", std::string(to_string(who->may)) + "s may not do this");
    return *who;
}

json read_body(const httplib::Request& request) {
    if (request.body.empty()) return json::object();
    // A form of another site cannot send this type.
    if (!request.get_header_value("Content-Type").starts_with("application/json")) refuse(415, "Not JSON", "Content-Type must be application/json");
    // PostgreSQL's own reader takes deeper ones, but nobody needs them.
    int deepest = 0;
    json body = json::parse(request.body, [&](int depth, json::parse_event_t, json&) { return (deepest = std::max(deepest, depth)) < 200; }, false);
    if (!body.is_object() || deepest >= 200) refuse(400, "Not JSON", "The body must be a JSON object");
    return body;
}

bool fits(const json& value, const std::string& type) {
    if (type == "integer") return value.is_number_integer();
    if (type == "boolean") return value.is_boolean();
    if (type == "object") return value.is_object();
    if (type == "array") return value.is_array();
    return value.is_string();
}

using values = std::vector<std::optional<std::string>>;

values parameters_of(const route& r, const httplib::Request& request, const json& body) {
    values out;
    std::size_t at_path = 0;
    for (const parameter& p : r.parameters) {
        const std::string place = p.place;
        std::optional<std::string> value;
        if (place == "path") value = request.matches[++at_path].str();
        else if (place == "query" && request.has_param(p.name)) value = request.get_param_value(p.name);
        else if (const auto found = body.find(p.name); place == "body" && found != body.end() && !found->is_null()) {
            if (!fits(*found, p.type)) refuse(400, "Bad input", std::string(p.name) + " must be of type " + p.type, p.name);
            value = found->is_string() ? found->get<std::string>() : found->dump();
        }
        // Not a value that the database can hold.
        if (value && value->find('\0') != std::string::npos) refuse(400, "Bad input", std::string(p.name) + " holds a zero byte", p.name);
        if (p.required && !value) refuse(400, "Bad input", std::string(p.name) + " is missing", p.name);
        if (!value && p.fallback) value = p.fallback;
        out.push_back(std::move(value));
    }
    const auto known = [&](const std::string& name, const char* place) {
        return std::ranges::any_of(r.parameters, [&](const parameter& p) { return name == p.name && std::string(place) == p.place; });
    };
    for (const auto& [name, unused] : body.items())
        if (!known(name, "body")) refuse(400, "Bad input", name + " is not known here", name);
    for (const auto& [name, unused] : request.params)
        if (!known(name, "query")) refuse(400, "Bad input", name + " is not known here", name);
    return out;
}

// For each id of the page a transaction of its own: none waits for a lock while it holds another one's.
std::string run_each(connections& db, const route& r, const std::string& page) {
    int done = 0;
    const json ids = json::parse(page);
    for (const json& id : ids) {
        const auto answered = db.ask(r.each, {id.get<std::string>()});
        if (answered && json::parse(*answered)["done"] == true) ++done;
    }
    return json{{"tried", ids.size()}, {"done", done}, {"after", ids.empty() ? json() : ids.back()}}.dump();
}

void run_route(requests& all, const route& r, const httplib::Request& request, httplib::Response& response) {
    const bool acts = std::string(r.method) != "GET";
    std::string user;
    role may = role::reader;
    json body = json::object();
    try {
        const identity who = authorize(all, request, r.needs, acts);
        user = who.name, may = who.may;
        body = read_body(request);
        const values given = parameters_of(r, request, body);
        if (!all.hidden.empty() && hiding::is_hidden(body))
            refuse(400, "Bad input", "A hidden value was sent back: it would be stored as it stands. A copy keeps the kwargs that are left out");
        // What only looks does so as a reader, whoever asks.
        connections& db = all.databases[acts ? static_cast<std::size_t>(who.may) : 0];
        auto text = db.ask(r.statement, given);
        if (r.each) text = run_each(db, r, text.value_or("[]"));
        if (!text) refuse(acts ? 409 : 404, "No such thing", acts ? "It is not there, or not in a state in which this can be done" : "It is not there");
        if (!all.hidden.empty() && may != role::admin) {
            json document = json::parse(*text);
            all.hidden.apply(document);
            text = document.dump();
        }
        answer(response, 200, *text);
    } catch (const refusal& e) {
        answer_problem(response, e.why);
    } catch (const database_error& e) {
        answer_problem(response, problem_of(e));
    } catch (const std::exception& e) {
        answer_problem(response, problem(500, "The dashboard failed", e.what()));
    }
    if (acts) note(all, request, user, to_string(may), body, response.status);
}

std::string cookie(const requests& all, const httplib::Request& request, const std::string& value, int seconds) {
    return "chancy_session=" + value + "; Path=/; HttpOnly; SameSite=Strict; Max-Age=" + std::to_string(seconds) + (all.who.is_https(request) ? "; Secure" : "");
}

json describe(const identity& who) { return {{"name", who.name}, {"role", to_string(who.may)}, {"csrf", who.csrf}}; }

void log_in(requests& all, const httplib::Request& request, httplib::Response& response) {
    std::string name;
    try {
        if (!all.who.same_origin(request)) refuse(403, "Not from a page of ours", "The Origin is another one");
        const json body = read_body(request);
        name = body.value("name", "");
        const auto in = all.who.log_in(request, name, body.value("password", ""));
        if (in.wait > 0) {
            response.set_header("Retry-After", std::to_string(in.wait));
            refuse(429, "Too many tries", "Try again in " + std::to_string(in.wait) + " s");
        }
        if (!in.who) refuse(401, "Wrong name or password", "No such user, or another password");
        response.set_header("Set-Cookie", cookie(all, request, in.cookie, 12 * 3600));
        answer(response, 200, describe(*in.who).dump());
    } catch (const refusal& e) {
        answer_problem(response, e.why);
    } catch (const json::exception&) {
        answer_problem(response, problem(400, "Bad input", "name and password must be texts"));
    }
    note(all, request, name, "", json::object(), response.status);
}

// For the few that are no statement.
template <class Body>
httplib::Server::Handler guarded(requests& all, bool acts, Body body) {
    return [&all, acts, body](const httplib::Request& request, httplib::Response& response) {
        try {
            body(authorize(all, request, role::reader, acts), request, response);
        } catch (const refusal& e) {
            answer_problem(response, e.why);
        } catch (const database_error& e) {
            answer_problem(response, problem_of(e));
        }
    };
}

// {name} may hold slashes, {id} and {key} too: what follows tells where it ends.
std::string pattern_of(const char* path) {
    std::string out = "/api/v1";
    for (const char* p = path; *p; ++p) {
        if (*p != '{') out += *p;
        else {
            out += "([^]+)";
            while (*p != '}') ++p;
        }
    }
    return out;
}

}  // namespace

void add_api(httplib::Server& server, requests& all) {
    server.Get("/api/v1/session", guarded(all, false, [](const identity& who, const auto&, auto& response) { answer(response, 200, describe(who).dump()); }));
    server.Post("/api/v1/session", [&all](const auto& request, auto& response) { log_in(all, request, response); });
    server.Delete("/api/v1/session", guarded(all, true, [&all](const identity&, const auto& request, auto& response) {
        all.who.log_out(request);
        response.set_header("Set-Cookie", cookie(all, request, "", 0));
        answer(response, 200, R"({"done":true})");
    }));
    server.Get("/api/v1/events", guarded(all, false, [&all](const identity&, const auto&, auto& response) {
        if (!all.events.stream(response)) refuse(503, "Too many listeners", "Look again from time to time instead");
    }));
    server.Get("/api/v1/openapi.json", guarded(all, false, [text = openapi().dump(1)](const identity&, const auto&, auto& response) { answer(response, 200, text); }));
    server.Get("/metrics", guarded(all, false, [&all](const identity&, const auto&, auto& response) {
        answer(response, 200, metrics_text(all.metrics.ask()), "text/plain; version=0.0.4; charset=utf-8");
    }));
    server.Get("/healthz", [](const auto&, auto& response) { answer(response, 200, R"({"healthy":true})"); });
    server.Get("/readyz", [&all](const auto&, auto& response) {
        try {
            (void)all.ready.ask();
            answer(response, 200, R"({"ready":true})");
        } catch (const database_error&) {  // what it says names hosts and roles, and anybody asks here
            answer(response, 503, R"({"ready":false})");
        }
    });
    const auto add = [&](const route& r) {
        const auto handler = [&all, &r](const httplib::Request& request, httplib::Response& response) { run_route(all, r, request, response); };
        const std::string method = r.method;
        if (method == "GET") server.Get(pattern_of(r.path), handler);
        else if (method == "POST") server.Post(pattern_of(r.path), handler);
        else server.Delete(pattern_of(r.path), handler);
    };
    for (const auto* routes : {&read_routes(), &act_routes()})
        for (const route& r : *routes) add(r);
    server.set_error_handler([](const httplib::Request&, httplib::Response& response) {
        if (!response.body.empty() || response.has_header("Connection")) return;
        answer_problem(response, response.status == 413 ? problem(413, "Too large", "A request may have 1 MiB: push such a job by SQL, or keep what is large elsewhere")
                                                        : problem(response.status, "No such page", "See /api/v1/openapi.json for what there is"));
    });
    server.set_exception_handler([](const httplib::Request&, httplib::Response& response, std::exception_ptr) {
        answer_problem(response, problem(500, "The dashboard failed", "Its own fault, not the request's"));
    });
}

}  // namespace chancy::dashboard
