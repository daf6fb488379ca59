// Who may use the dashboard, and what they see.
#include "served.hpp"

#include <filesystem>
#include <fstream>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

using chancy::json;
using test::body_of, test::fail_all, test::get, test::post, test::served;

namespace {

std::string line_of(const std::string& name, const std::string& role, const std::string& password) {
    const auto made = test::shell("echo '" + password + "' | " CHANCY_PROGRAM " dashboard-user " + name + " --role " + role);
    EXPECT_EQ(made.code, 0) << made.err;
    return made.out;
}

struct users_file {
    std::string path = std::filesystem::temp_directory_path() / ("chancy-users." + std::to_string(::getpid()));
    users_file() { std::ofstream(path) << line_of("rita", "reader", "r-secret") << line_of("otto", "operator", "o-secret") << line_of("anna", "admin", "a-secret"); }
    ~users_file() { std::filesystem::remove(path); }
};

// What the server says to these bytes, until it ends the connection.
std::string raw(int port, const std::string& request) {
    const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<std::uint16_t>(port));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
    EXPECT_EQ(::write(fd, request.data(), request.size()), static_cast<ssize_t>(request.size()));
    std::string text;
    char some[4096];
    for (ssize_t n; (n = ::read(fd, some, sizeof some)) > 0;) text.append(some, static_cast<std::size_t>(n));
    ::close(fd);
    return text;
}

class dashboard_access : public test::db_test {};

}  // namespace

TEST_F(dashboard_access, nobody_without_log_in_and_a_reader_only_reads) {
    users_file users;
    test::sql("DROP ROLE IF EXISTS dashboard_reader; CREATE ROLE dashboard_reader; SELECT chancy.grant_reader('dashboard_reader')");
    std::string audit;
    {
        served d({"--users", users.path, "--reader-role", "dashboard_reader"});
        EXPECT_EQ(d.password, "");
        auto nobody = d.client();
        for (const char* path : {"/queues", "/jobs", "/holders", "/events", "/openapi.json", "/session"}) (void)get(nobody, path, 401);
        (void)post(nobody, "/jobs", {{"jobs", {{{"func", "f"}}}}}, 401);
        auto reader = d.as("rita", "r-secret"), op = d.as("otto", "o-secret"), admin = d.as("anna", "a-secret");
        const auto id = db.push({.func = "f"});
        for (const char* path : {"/queues", "/jobs", "/workers", "/schedules", "/workflows", "/holders", "/tables", "/tasks", "/metrics/x"}) (void)get(reader, path);
        (void)post(reader, "/jobs/" + id.to_string() + "/cancel", json::object(), 403);
        (void)post(reader, "/jobs", {{"jobs", {{{"func", "f"}}}}}, 403);
        EXPECT_EQ(db.get_job(id)->state, chancy::job_state::pending);
        (void)db.declare_queue({.name = "q"});
        EXPECT_EQ(body_of(op.Delete("/api/v1/queues/q"), 403).at("status"), 403);
        EXPECT_TRUE(post(op, "/jobs/" + id.to_string() + "/cancel").at("done").get<bool>());
        EXPECT_TRUE(body_of(admin.Delete("/api/v1/queues/q")).at("done").get<bool>());
        audit = d.end();
    }
    EXPECT_NE(audit.find(R"("user":"otto")"), std::string::npos) << audit;
    EXPECT_NE(audit.find("/cancel"), std::string::npos);
    EXPECT_NE(audit.find(R"("status":403)"), std::string::npos);
    // The database would not let a reader act either.
    EXPECT_EQ(test::sql("SELECT count(*) FROM pg_proc WHERE pronamespace = 'chancy'::regnamespace AND proname IN ('push', 'push_many', 'cancel_job', 'retry_job', 'pause_queue', "
                        "'delete_queue') AND has_function_privilege('dashboard_reader', oid, 'EXECUTE')").at(0), "0");
    test::sql("DELETE FROM chancy.grants WHERE role = 'dashboard_reader'::regrole; DROP OWNED BY dashboard_reader; DROP ROLE dashboard_reader");
}

TEST_F(dashboard_access, a_browser_shows_the_token_and_tries_few_passwords) {
    served d;
    auto browser = d.client();
    const auto in = browser.Post("/api/v1/session", json{{"name", "admin"}, {"password", d.password}}.dump(), "application/json");
    const json session = body_of(in);
    const std::string set = in->get_header_value("Set-Cookie");
    for (const char* flag : {"HttpOnly", "SameSite=Strict", "Path=/"}) EXPECT_NE(set.find(flag), std::string::npos);
    const std::string cookie = set.substr(0, set.find(';'));
    const std::string push = json{{"jobs", {{{"func", "f"}}}}}.dump();
    const auto status = [&](httplib::Headers h) {
        h.emplace("Cookie", cookie);
        return browser.Post("/api/v1/jobs", h, push, "application/json")->status;
    };
    const std::string token = session.at("csrf").get<std::string>();
    EXPECT_EQ(status({}), 403);
    EXPECT_EQ(status({{"X-CSRF-Token", "guess"}}), 403);
    EXPECT_EQ(status({{"X-CSRF-Token", token}, {"Origin", "http://evil.example"}}), 403);
    EXPECT_EQ(status({{"X-CSRF-Token", token}, {"Sec-Fetch-Site", "cross-site"}}), 403);
    EXPECT_EQ(status({{"X-CSRF-Token", token}}), 200);
    const auto page = browser.Get("/");
    EXPECT_NE(page->get_header_value("Content-Security-Policy").find("script-src 'self'"), std::string::npos);
    EXPECT_EQ(page->get_header_value("X-Content-Type-Options"), "nosniff");
    EXPECT_EQ(body_of(browser.Delete("/api/v1/session", {{"Cookie", cookie}, {"X-CSRF-Token", token}})).at("done"), true);
    EXPECT_EQ(status({{"X-CSRF-Token", token}}), 401);

    int refused = 0, last = 0;
    for (int i = 0; i < 7; ++i) {
        last = browser.Post("/api/v1/session", R"({"name":"admin","password":"guess"})", "application/json")->status;
        refused += last == 401;
    }
    EXPECT_EQ(refused, 5);
    EXPECT_EQ(last, 429);
    EXPECT_EQ(browser.Post("/api/v1/session", json{{"name", "admin"}, {"password", d.password}}.dump(), "application/json")->status, 429);
}

TEST_F(dashboard_access, tries_at_the_same_time_are_not_more_tries_and_scripts_have_an_origin_too) {
    served d;
    auto admin = d.admin();
    const std::string push = R"({"jobs":[{"func":"f"}]})";
    EXPECT_EQ(admin.Post("/api/v1/jobs", {{"Origin", "http://evil.example"}}, push, "application/json")->status, 403);
    EXPECT_EQ(admin.Post("/api/v1/jobs", {{"Sec-Fetch-Site", "cross-site"}}, push, "application/json")->status, 403);
    EXPECT_EQ(admin.Post("/api/v1/jobs", {{"Origin", "http://127.0.0.1:" + std::to_string(d.port)}}, push, "application/json")->status, 200);
    std::atomic<int> hashed = 0, refused = 0;
    std::vector<std::thread> at_once;
    for (int i = 0; i < 12; ++i)
        at_once.emplace_back([&] {
            const int status = d.client().Post("/api/v1/session", R"({"name":"admin","password":"guess"})", "application/json")->status;
            ++(status == 401 ? hashed : refused);
        });
    for (auto& t : at_once) t.join();
    EXPECT_EQ(hashed, 5);
    EXPECT_EQ(refused, 7);
}

TEST_F(dashboard_access, a_body_that_would_pass_the_limit_ends_the_connection) {
    served d;
    for (const char* head : {"POST /api/v1/session HTTP/1.1\r\nTransfer-Encoding: chunked\r\n", "POST /api/v1/session HTTP/1.1\r\nContent-Length: 30\r\nContent-Encoding: gzip\r\n",
                             "POST /api/v1/session HTTP/1.1\r\n", "PUT /api/v1/session HTTP/1.1\r\nContent-Length: 30\r\n", "GET / HTTP/1.1\r\nContent-Length: 30\r\n",
                             "POST /api/v1/session HTTP/1.1\r\nContent-Length: 30\r\nContent-Length: 2\r\n"}) {
        const std::string said = raw(d.port, head + std::string("Host: a\r\n\r\nGET /style.css HTTP/1.1\r\n\r\n"));
        EXPECT_TRUE(said.starts_with("HTTP/1.1 41")) << head << said;
        EXPECT_NE(said.find("Not read"), std::string::npos) << said;  // by what ends the connection
        EXPECT_EQ(said.find("200 OK"), std::string::npos) << head << said;
    }
}

TEST_F(dashboard_access, a_proxy_is_believed_only_from_its_address) {
    served from_here({"--proxy", "127.0.0.1", "--role-header", "X-Remote-Role"}), from_elsewhere({"--proxy", "10.1.2.3", "--role-header", "X-Remote-Role"});
    served without_role({"--proxy", "127.0.0.1"});
    auto yes = from_here.client(), no = from_elsewhere.client();
    const httplib::Headers otto = {{"X-Remote-User", "otto"}, {"X-Remote-Role", "operator"}};
    EXPECT_EQ(body_of(yes.Get("/api/v1/session", otto)).at("role"), "operator");
    EXPECT_EQ(body_of(yes.Get("/api/v1/session", {{"X-Remote-User", "rita"}})).at("role"), "reader");
    EXPECT_EQ(yes.Get("/api/v1/session", {{"X-Remote-User", "otto"}, {"X-Remote-Role", "root"}})->status, 401);
    EXPECT_EQ(no.Get("/api/v1/session", otto)->status, 401);
    auto plain = without_role.client();
    EXPECT_EQ(body_of(plain.Get("/api/v1/session", otto)).at("role"), "reader");
    EXPECT_EQ(yes.Post("/api/v1/jobs", otto, json{{"jobs", {{{"func", "f"}}}}}.dump(), "application/json")->status, 403);  // no token
}

TEST_F(dashboard_access, what_a_rule_hides_only_an_admin_sees) {
    users_file users;
    served d({"--users", users.path, "--hide", "kwargs.card", "--hide", "kwargs.all.card", "--hide", "mail.send:kwargs", "--hide", "errors"});
    const auto pay = db.push({.func = "pay", .kwargs = {{"card", "4111"}, {"sum", 5}}}), mail = db.push({.func = "mail.send", .kwargs = {{"to", "a@b.c"}}});
    fail_all("default", "secret in a traceback");
    auto reader = d.as("rita", "r-secret"), op = d.as("otto", "o-secret"), admin = d.as("anna", "a-secret");
    for (auto* who : {&reader, &op}) {
        EXPECT_EQ(get(*who, "/jobs/" + pay.to_string()).at("kwargs"), (json{{"card", "(hidden)"}, {"sum", 5}}));
        EXPECT_EQ(get(*who, "/jobs/" + mail.to_string()).at("kwargs"), "(hidden)");
        EXPECT_EQ(get(*who, "/jobs").dump().find("secret"), std::string::npos);
    }
    EXPECT_EQ(get(admin, "/jobs/" + pay.to_string()).at("kwargs").at("card"), "4111");
    const auto many = db.push({.func = "pay", .kwargs = json::parse(R"({"all": [{"card": "4112"}, {"card": "4113"}]})")});
    EXPECT_EQ(get(reader, "/jobs/" + many.to_string()).at("kwargs"), json::parse(R"-({"all": [{"card": "(hidden)"}, {"card": "(hidden)"}]})-"));
    // What is hidden is not stored in place of what it hides; a copy keeps what it does not see.
    (void)post(op, "/jobs/" + pay.to_string() + "/copy", {{"kwargs", {{"card", "(hidden)"}, {"sum", 5}}}}, 400);
    (void)post(op, "/jobs", {{"jobs", {{{"func", "pay"}, {"kwargs", {{"cards", json::array({"(hidden)"})}}}}}}}, 400);
    const json copy = post(op, "/jobs/" + pay.to_string() + "/copy", {{"priority", 3}});
    EXPECT_EQ(get(admin, "/jobs/" + copy.at(0).at("id").get<std::string>()).at("kwargs").at("card"), "4111");
    EXPECT_EQ(test::shell(CHANCY_PROGRAM " dashboard --port 0 --hide func").code, 1);
}
