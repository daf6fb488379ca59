#include "dashboard.hpp"

#include "access.hpp"
#include "asset.hpp"
#include "live.hpp"
#include "request.hpp"

#include <httplib.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <csignal>
#include <iostream>
#include <thread>

namespace chancy::dashboard {
namespace {

constexpr int most_requests = 16;  // at once, beside the listeners

// For every answer. Nothing comes from elsewhere, nothing is framed, nothing is guessed.
void set_headers(const httplib::Request&, httplib::Response& response) {
    response.set_header("Content-Security-Policy",
                        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; "
                        "form-action 'self'; frame-ancestors 'none'");
    response.set_header("X-Content-Type-Options", "nosniff");
    response.set_header("X-Frame-Options", "DENY");
    response.set_header("Referrer-Policy", "no-referrer");
    response.set_header("Cross-Origin-Opener-Policy", "same-origin");
    response.set_header("Cross-Origin-Resource-Policy", "same-origin");
    if (!response.has_header("Cache-Control")) response.set_header("Cache-Control", "no-store");
}

// A body has a length and is what was sent: one that is chunked, compressed or without a length passes the limit, and that of a GET
// is never read. What is left of it would be taken for the next request, so the connection ends: the provider says that it failed.
httplib::Server::HandlerResponse refuse_bodies(const httplib::Request& request, httplib::Response& response) {
    using decision = httplib::Server::HandlerResponse;
    const std::string& method = request.method;
    const std::size_t lengths = request.get_header_value_count("Content-Length");
    const bool nothing = lengths == 0 || (lengths == 1 && request.get_header_value("Content-Length") == "0");
    const bool encoded = request.has_header("Transfer-Encoding") || request.has_header("Content-Encoding");
    const bool may = method == "POST" ? lengths == 1 : method == "DELETE" ? lengths <= 1 : nothing && (method == "GET" || method == "HEAD");
    if (!encoded && may) return decision::Unhandled;
    const json why = encoded ? problem(415, "Not read", "A body is sent as it is: no Transfer-Encoding, no Content-Encoding")
                             : problem(411, "Not read", "POST with one Content-Length, DELETE, GET and HEAD are all that there is");
    response.status = why["status"];
    response.set_header("Connection", "close");
    response.set_content_provider(why.dump().size(), "application/problem+json", [text = why.dump()](std::size_t at, std::size_t length, httplib::DataSink& to) {
        to.write(text.data() + at, length);
        return false;
    });
    return decision::Handled;
}

std::shared_ptr<spdlog::logger> make_audit(const std::string& file) {
    auto log = file.empty() ? std::make_shared<spdlog::logger>("audit", std::make_shared<spdlog::sinks::stderr_sink_mt>())
                            : std::make_shared<spdlog::logger>("audit", std::make_shared<spdlog::sinks::basic_file_sink_mt>(file));
    log->set_pattern("%v");  // JSON lines, with the time inside
    log->flush_on(spdlog::level::info);
    return log;
}

void serve_assets(httplib::Server& server) {
    for (const asset& a : assets())
        server.Get(a.path, [a](const httplib::Request&, httplib::Response& response) {
            response.set_header("Cache-Control", "no-cache");
            response.set_content(a.text.data(), a.text.size(), a.type);
        });
}

}  // namespace

int serve(const options& how) {
    // Before there is any thread: the signals are for sigwait below.
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    pthread_sigmask(SIG_BLOCK, &ends, nullptr);

    access who(how);
    connections readers(how.conninfo, how.reader, true), operators(how.conninfo, how.operators, false), admins(how.conninfo, how.admin, false);
    for (connections* c : {&readers, &operators, &admins}) (void)c->ask("SELECT 1", {});
    live events(readers.conninfo(), how.listeners);
    const hiding hidden(how.hide);

    httplib::Server server;
    server.new_task_queue = [&] { return new httplib::ThreadPool(static_cast<std::size_t>(how.listeners + most_requests)); };
    server.set_payload_max_length(1 << 20);
    server.set_read_timeout(10);
    server.set_write_timeout(10);
    server.set_keep_alive_timeout(2);
    server.set_pre_routing_handler(refuse_bodies);
    server.set_post_routing_handler(set_headers);
    probe metrics(how, metrics_statement(), 8), ready(how, "SELECT 1", 2);  // Prometheus waits for 10 s
    requests all{how, who, {readers, operators, admins}, events, hidden, make_audit(how.audit), metrics, ready};
    add_api(server, all);
    serve_assets(server);

    const int port = how.port == 0 ? server.bind_to_any_port(how.address) : server.bind_to_port(how.address, how.port) ? how.port : -1;
    if (port < 0) throw std::runtime_error(how.address + ":" + std::to_string(how.port) + " cannot be listened at");
    if (!who.new_password().empty()) std::cout << "Log in as admin with the password " << who.new_password() << '\n';
    std::cout << "http://" << (how.address.find(':') == std::string::npos ? how.address : '[' + how.address + ']') << ':' << port << "/" << std::endl;

    std::thread stopper([&] {
        int which;
        sigwait(&ends, &which);
        events.stop();
        server.stop();
    });
    const bool served = server.listen_after_bind();
    if (!served) pthread_kill(stopper.native_handle(), SIGTERM);
    stopper.join();
    return 0;
}

}  // namespace chancy::dashboard
