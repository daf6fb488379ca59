// The HTTP API: the program as a whole, asked over HTTP.
#include "served.hpp"

#include <atomic>

using namespace std::chrono_literals;
using chancy::json;
using test::body_of, test::fail_all, test::get, test::post, test::served, test::sql;

namespace {

// Does the value have the schema's form? The first thing that it has not, or nothing.
std::string misfit(const json& value, json schema, const json& all) {
    if (schema.contains("$ref")) {
        const std::string name = schema["$ref"].get<std::string>();
        schema = all["components"]["schemas"][name.substr(name.rfind('/') + 1)];
    }
    if (!schema.contains("type")) return {};
    const json types = schema["type"].is_array() ? schema["type"] : json::array({schema["type"]});
    const bool fits = std::ranges::any_of(types, [&](const json& t) {
        return (t == "null" && value.is_null()) || (t == "string" && value.is_string()) || (t == "integer" && value.is_number_integer()) || (t == "number" && value.is_number()) ||
               (t == "boolean" && value.is_boolean()) || (t == "object" && value.is_object()) || (t == "array" && value.is_array());
    });
    if (!fits) return value.dump() + " is no " + types.dump();
    for (const json& name : schema.value("required", json::array()))
        if (value.is_object() && !value.contains(name.get<std::string>())) return "without " + name.get<std::string>();
    if (value.is_object() && schema.contains("properties"))
        for (const auto& [name, s] : schema["properties"].items())
            if (value.contains(name))
                if (const auto m = misfit(value[name], s, all); !m.empty()) return name + ": " + m;
    if (value.is_array() && schema.contains("items"))
        for (const json& one : value)
            if (const auto m = misfit(one, schema["items"], all); !m.empty()) return m;
    return {};
}

class dashboard : public test::db_test {};

}  // namespace

TEST_F(dashboard, every_route_is_described_and_answers_as_it_is_described) {
    served d;
    auto admin = d.admin();
    const json api = get(admin, "/openapi.json");
    (void)db.declare_queue({.name = "q"});
    const json job = post(admin, "/jobs", {{"jobs", {{{"func", "f"}, {"queue", "q"}}, {{"func", "g"}, {"queue", "q"}}}}});
    fail_all("q", "Traceback\\nboom");
    test::sql("SELECT chancy.schedule_cron('k/1', '0 4 * * *', '{\"func\": \"f\", \"queue\": \"q\"}')");
    const std::string flow = test::sql("SELECT chancy.push_workflow('w', '[{\"step\": \"a\", \"func\": \"f\", \"queue\": \"later\"}, {\"step\": \"b\", \"func\": \"f\", \"after\": [\"a\"]}]')").at(0);
    test::holder snapshot("SELECT 1 FROM chancy.jobs LIMIT 1");
    const auto fill = [&](std::string path) {
        const auto put = [&](const std::string& what, const std::string& by) {
            if (const auto at = path.find(what); at != std::string::npos) path.replace(at, what.size(), by);
        };
        put("{key}", "k%2F1");
        put("{name}", path.starts_with("/metrics") ? "global%3Athroughput" : "q");
        put("{id}", path.starts_with("/workflows") ? flow : job[0]["id"].get<std::string>());
        return path;
    };
    const auto check = [&](const std::string& method, const std::string& path) {
        const json& o = api["paths"][path][method];
        const auto at = "/api/v1" + fill(path);
        json body = json::object();
        if (o.contains("requestBody") && o["requestBody"]["required"] == true) body = {{"queue", "q"}, {"state", "failed"}};
        if (path == "/jobs") body = {{"jobs", {{{"func", "f"}, {"queue", "q"}}}}};
        const auto r = method == "get" ? admin.Get(at) : method == "post" ? admin.Post(at, body.dump(), "application/json") : admin.Delete(at);
        ASSERT_TRUE(r) << method << path;
        EXPECT_EQ(r->status, 200) << method << path << r->body;
        EXPECT_EQ(misfit(json::parse(r->body), o["responses"]["200"]["content"]["application/json"]["schema"], api), "") << method << ' ' << path << r->body;
    };
    int routes = 0;
    for (const char* method : {"get", "post", "delete"})
        for (const auto& [path, operations] : api["paths"].items()) {
            if (!operations.contains(method) || path == "/events" || path == "/session") continue;
            check(method, path);
            ++routes;
        }
    EXPECT_EQ(routes, 16 + 15);
    (void)get(admin, "/nothing", 404);
}

TEST_F(dashboard, jobs_by_filter_and_page_and_a_corrected_copy) {
    served d;
    auto admin = d.admin();
    const auto first = db.push({.func = "one", .kwargs = {{"n", 1}}, .unique_key = "k/1"});
    for (int i = 0; i < 5; ++i) (void)db.push({.func = "two"});
    EXPECT_EQ(get(admin, "/jobs?func=one").at(0).at("id"), first.to_string());
    EXPECT_EQ(get(admin, "/jobs?key=k%2F1").size(), 1u);
    EXPECT_EQ(get(admin, "/jobs?key=none").size(), 0u);
    EXPECT_EQ(get(admin, "/jobs?key=k%2F1&since=2100-01-01T00:00:00Z").size(), 0u);
    EXPECT_EQ(get(admin, "/jobs?since=2020-01-01T00:00:00Z").size(), 6u);
    EXPECT_EQ(get(admin, "/jobs?state=running").size(), 0u);
    const json page = get(admin, "/jobs?up_to=4");
    const json rest = get(admin, "/jobs?up_to=4&after=" + page.at(3).at("id").get<std::string>());
    EXPECT_EQ(page.size() + rest.size(), 6u);
    EXPECT_EQ(rest.back().at("id"), first.to_string());
    EXPECT_EQ(get(admin, "/jobs?before=2020-01-01T00:00:00Z").size(), 0u);
    EXPECT_EQ(get(admin, "/jobs?before=2100-01-01T00:00:00Z").size(), 6u);
    // Between the first and the others: the time in an id is where the page begins.
    const std::string between = test::sql("SELECT to_char(chancy.id_time('" + page.at(3).at("id").get<std::string>() + "') AT TIME ZONE 'UTC' + interval '1 microsecond', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')").at(0);
    EXPECT_EQ(get(admin, "/jobs?before=" + between).at(0).at("id"), page.at(3).at("id"));
    EXPECT_EQ(get(admin, "/jobs?since=" + between).size(), 3u);

    // Not while it waits; when it has failed, the copy has what was changed and all else as it was.
    (void)post(admin, "/jobs/" + first.to_string() + "/copy", {{"priority", 3}}, 409);
    fail_all("default", "Traceback\\nValueError: no\\n");
    EXPECT_EQ(get(admin, "/jobs?func=one").at(0).at("error"), "ValueError: no");
    const json copy = post(admin, "/jobs/" + first.to_string() + "/copy", {{"kwargs", {{"n", 2}}}, {"priority", 3}});
    const auto j = db.get_job(*chancy::uuid::parse(copy.at(0).at("id").get<std::string>()));
    EXPECT_EQ(j->kwargs, (json{{"n", 2}}));
    EXPECT_EQ(j->priority, 3);
    EXPECT_EQ(j->unique_key, "k/1");
    EXPECT_EQ(j->meta.at("copy_of"), first.to_string());
    EXPECT_EQ(db.get_job(first)->state, chancy::job_state::failed);

    const json bulk = post(admin, "/jobs/retry", {{"queue", "default"}, {"state", "failed"}, {"func", "two"}});
    EXPECT_EQ(bulk.at("tried"), 5);
    EXPECT_EQ(bulk.at("done"), 5);
    EXPECT_EQ(post(admin, "/jobs/cancel", {{"queue", "default"}, {"state", "pending"}, {"func", "two"}}).at("done"), 5);
}

// A queue that nobody serves, and a session that holds due jobs: said, with the statement to those alone from whom nothing is hidden.
TEST_F(dashboard, findings_and_who_holds_due_jobs) {
    served d({"--hide", "kwargs"});
    auto admin = d.admin();
    const auto id = db.push({.func = "f", .queue = "q", .scheduled_at = chancy::now() - 2h});
    EXPECT_NE(get(admin, "/findings").dump().find("no worker serves it"), std::string::npos);
    EXPECT_TRUE(get(admin, "/held").empty());
    test::holder held("SELECT FROM chancy.jobs WHERE id = '" + id.to_string() + "' FOR UPDATE");
    const json found = get(admin, "/held?queue=q");
    ASSERT_EQ(found.size(), 1u);
    EXPECT_EQ(found[0].at("jobs"), 1);
    EXPECT_EQ(found[0].at("state"), "idle in transaction");
    EXPECT_NE(found[0].at("query").get<std::string>().find("FOR UPDATE"), std::string::npos);
    EXPECT_TRUE(get(admin, "/held?queue=other").empty());
}

TEST_F(dashboard, what_failed_last_comes_first) {
    served d;
    auto admin = d.admin();
    const auto fail = [&](const chancy::job& j, const char* error) {
        const chancy::update u{.id = j.id, .started_at = *j.started_at, .how = chancy::outcome::discarded, .error = error};
        EXPECT_TRUE(db.apply_updates("tester", {&u, 1}).at(0).ok.value_or(false));
    };
    const auto early = claim({.func = "early"}), late = claim({.func = "late"});
    fail(late, "exit status 1\nreading\nno @ in it\n");
    fail(early, "no number\nfunction f()");
    const json found = get(admin, "/failures");
    ASSERT_EQ(found.size(), 2u);
    EXPECT_EQ(found[0].at("func"), "early");
    EXPECT_EQ(found[0].at("error"), "no number");
    EXPECT_EQ(found[1].at("error"), "no @ in it");
}

TEST_F(dashboard, a_failed_job_runs_again_with_other_kwargs) {
    served d;
    auto admin = d.admin();
    const auto id = db.push({.func = "f", .kwargs = {{"n", 1}}});
    fail_all("default", "no");
    EXPECT_EQ(post(admin, "/jobs/" + id.to_string() + "/retry", {{"kwargs", {{"n", 2}}}}).at("done"), true);
    EXPECT_EQ(db.get_job(id)->kwargs, (json{{"n", 2}}));
    EXPECT_EQ(db.get_job(id)->state, chancy::job_state::pending);
}

TEST_F(dashboard, problems_tell_sqlstate_and_element) {
    served d;
    auto admin = d.admin();
    const json bad = post(admin, "/jobs", {{"jobs", {{{"func", "f"}}, {{"func", "f"}, {"priority", "x"}}}}}, 400);
    EXPECT_EQ(bad.at("path"), "jobs[1].priority");
    EXPECT_EQ(bad.at("sqlstate").get<std::string>().size(), 5u);
    EXPECT_TRUE(get(admin, "/jobs").empty());
    EXPECT_EQ(get(admin, "/jobs?state=strange", 400).at("status"), 400);
    EXPECT_EQ(get(admin, "/jobs?stat=failed", 400).at("path"), "stat");
    EXPECT_EQ(get(admin, "/jobs/no-uuid", 400).at("sqlstate"), "22P02");
    (void)get(admin, "/jobs/00000000-0000-0000-0000-000000000000", 404);
    (void)body_of(admin.Post("/api/v1/jobs", "{", "application/json"), 400);
    (void)body_of(admin.Post("/api/v1/jobs", std::string(5000, '['), "application/json"), 400);
    (void)body_of(admin.Post("/api/v1/jobs", "jobs=1", "application/x-www-form-urlencoded"), 415);
    const auto huge = admin.Post("/api/v1/jobs", std::string(2 << 20, ' '), "application/json");
    EXPECT_TRUE(!huge || (huge->status == 413 && huge->body.find("1 MiB") != std::string::npos));
    for (const char* path : {"/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/style.css/../../etc/passwd", "//etc/passwd"}) EXPECT_EQ(admin.Get(path)->status, 404) << path;
    const auto longest = admin.Get("/api/v1/queues/" + std::string(8000, 'a'));
    EXPECT_TRUE(longest && longest->status != 200);
    (void)get(admin, "/queues");  // and it still answers
}

TEST_F(dashboard, events_come_as_they_happen_to_as_many_as_may_listen) {
    served d({"--listeners", "1"});
    auto admin = d.admin(), second = d.admin();
    std::atomic<bool> heard = false, enough = false;
    std::thread listening([&] {
        (void)admin.Get("/api/v1/events", [&](const char* data, std::size_t size) {
            if (std::string(data, size).find("queue.paused") != std::string::npos) heard = true;
            return !enough;
        });
    });
    (void)db.declare_queue({.name = "q"});
    const auto happen = [&] {
        (void)db.pause_queue("q");
        (void)db.resume_queue("q");
        return heard.load();
    };
    EXPECT_TRUE(test::eventually(happen));
    EXPECT_EQ(get(second, "/events", 503).at("status"), 503);
    enough = true;
    happen();
    listening.join();
}

TEST_F(dashboard, prometheus_gets_what_readers_may_see) {
    served d;
    (void)db.declare_queue({.name = R"(a "b"\)"});
    (void)db.push({.func = "f", .kwargs = {{"card", "4711"}}, .queue = R"(a "b"\)", .unique_key = "4711"});
    (void)db.pause_queue(R"(a "b"\)");
    sql("SELECT chancy.heartbeat('gone', '{}', '{other}', '1 s')");
    auto admin = d.admin(), nobody = d.client();
    EXPECT_EQ(nobody.Get("/metrics")->status, 401);
    std::string text;
    const auto has = [&](const std::string& line) { return text.find(line + '\n') != std::string::npos; };
    EXPECT_TRUE(test::eventually([&] { return text = admin.Get("/metrics")->body, has(R"(chancy_workers{state="expired"} 1)"); })) << text;
    for (const char* line : {R"(chancy_queue_jobs{queue="a \"b\"\\",state="pending"} 1)", R"(chancy_queue_jobs{queue="a \"b\"\\",state="running"} 0)",
                             R"(chancy_queue_paused{queue="a \"b\"\\"} 1)", R"(chancy_jobs_total{outcome="recovered",queue="a \"b\"\\"} 0)",
                             R"(chancy_task_failed{task="recovery"} 0)", R"(chancy_workers{state="alive"} 0)", R"(chancy_findings{finding="queue",severity="notice"} 1)"})
        EXPECT_TRUE(has(line)) << line << " is not in\n" << text;
    EXPECT_EQ(text.find("4711"), std::string::npos);
}

// However many ask, while the database is silent, there is one connection that waits; and it says so when it is gone.
TEST_F(dashboard, is_ready_while_the_database_answers) {
    served d;
    auto nobody = d.client();
    const auto status = [&](const char* path) { return nobody.Get(path)->status; };
    EXPECT_EQ(status("/readyz"), 200);
    sql("ALTER DATABASE " + test::database() + " ALLOW_CONNECTIONS false", "postgres");
    sql("SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE application_name = 'chancy_dashboard'", "postgres");
    EXPECT_TRUE(test::eventually([&] { return status("/readyz") == 503; }));
    EXPECT_EQ(nobody.Get("/readyz")->body, R"({"ready":false})");
    EXPECT_EQ(d.admin().Get("/metrics")->status, 503);
    EXPECT_EQ(status("/healthz"), 200);
    sql("ALTER DATABASE " + test::database() + " ALLOW_CONNECTIONS true", "postgres");
    EXPECT_TRUE(test::eventually([&] { return status("/readyz") == 200; }));
    std::optional<test::holder> lock("LOCK chancy.workers");
    std::vector<std::thread> many;
    std::atomic<int> refused = 0;
    for (int i = 0; i < 6; ++i) many.emplace_back([&] { refused += d.admin().Get("/metrics")->status == 503; });
    EXPECT_EQ(status("/readyz"), 200);
    int most = 0;
    EXPECT_TRUE(test::eventually([&] {
        most = std::max(most, std::stoi(sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'chancy_dashboard' AND wait_event_type = 'Lock'").at(0)));
        return refused == 5;
    }));
    EXPECT_EQ(most, 1);
    lock.reset();
    for (std::thread& t : many) t.join();
    EXPECT_EQ(d.admin().Get("/metrics")->status, 200);
}
