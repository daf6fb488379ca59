#include "scrape.hpp"

#include "cli.hpp"

#include <httplib.h>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <thread>

namespace chancy::cli {
namespace {

using namespace std::chrono_literals;

// All that there may be stands there from the start, with 0: who looks at how much it grows sees the first one too.
class counts : public middleware {
public:
    counts(const std::string& worker_id, const std::vector<std::string>& funcs, std::function<bool()> ready) : m_is_ready(std::move(ready)) {
        prometheus::BuildGauge().Name("chancy_worker_info").Help("Always 1.").Register(m_registry).Add({{"worker", worker_id}, {"version", CHANCY_VERSION}}).Set(1);
        auto& attempts = prometheus::BuildCounter().Name("chancy_worker_attempts_total").Help("Attempts that ended, by outcome.").Register(m_registry);
        auto& seconds = prometheus::BuildHistogram().Name("chancy_worker_attempt_seconds").Help("How long attempts ran.").Register(m_registry);
        const auto add = [&](const std::string& func) {
            func_counts& to = m_by_func[func];
            to.seconds = &seconds.Add({{"func", func}}, prometheus::Histogram::BucketBoundaries{0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3600});
            for (const outcome o : {outcome::succeeded, outcome::failed, outcome::discarded, outcome::snoozed, outcome::released})
                to.by_outcome[o] = &attempts.Add({{"func", func}, {"outcome", std::string(to_string(o))}});
        };
        for (const std::string& func : funcs) add(func);
        add("");
    }
    void before(job_context&) override { m_running.Increment(); }
    void after(job_context& job, const attempt_end& end) override {
        m_running.Decrement();
        const auto found = m_by_func.find(job.job().func);
        const func_counts& to = found == m_by_func.end() ? m_by_func.at("") : found->second;
        to.by_outcome.at(end.result.how)->Increment();
        to.seconds->Observe(std::chrono::duration<double>(end.took).count());
    }
    [[nodiscard]] std::string text() {
        m_ready.Set(m_is_ready() ? 1 : 0);
        return prometheus::TextSerializer().Serialize(m_registry.Collect());
    }

private:
    struct func_counts {
        std::map<outcome, prometheus::Counter*> by_outcome;
        prometheus::Histogram* seconds;
    };
    const std::function<bool()> m_is_ready;
    prometheus::Registry m_registry;
    prometheus::Gauge& m_running = prometheus::BuildGauge().Name("chancy_worker_running_attempts").Help("Attempts that run.").Register(m_registry).Add({});
    prometheus::Gauge& m_ready = prometheus::BuildGauge().Name("chancy_worker_ready").Help("1: what /readyz says is yes.").Register(m_registry).Add({});
    std::map<std::string, func_counts> m_by_func;  // "": those that have no command
};

}  // namespace

struct scrape::state {
    std::string url;
    std::shared_ptr<counts> counted;
    httplib::Server server;
    std::thread serving;
};

scrape::scrape(const std::string& address, const std::string& worker_id, const std::vector<std::string>& funcs, std::function<bool()> ready)
    : m_state(std::make_unique<state>()) {
    state& s = *m_state;
    const auto colon = address.rfind(':');
    const std::string port = address.substr(colon == std::string::npos ? 0 : colon + 1);
    std::string host = colon == std::string::npos ? "127.0.0.1" : address.substr(0, colon);
    if (host.empty() || port.empty() || port.size() > 5 || port.find_first_not_of("0123456789") != std::string::npos || std::stoi(port) > 65535)
        throw CLI::ValidationError("--metrics wants [ADDRESS:]PORT, not \"" + address + '"');
    const std::string shown = host;
    if (host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
    s.counted = std::make_shared<counts>(worker_id, funcs, ready);
    s.server.new_task_queue = [] { return new httplib::ThreadPool(2); };
    s.server.set_read_timeout(2);
    s.server.set_write_timeout(2);
    s.server.set_keep_alive_timeout(1);  // with two threads, who stays keeps others away
    s.server.set_pre_routing_handler([](const httplib::Request& request, httplib::Response& r) {
        if (request.method == "GET" || request.method == "HEAD") return httplib::Server::HandlerResponse::Unhandled;
        r.status = 405;  // before a body is read
        r.set_header("Connection", "close");
        return httplib::Server::HandlerResponse::Handled;
    });
    s.server.Get("/metrics", [&s](const httplib::Request&, httplib::Response& r) { r.set_content(s.counted->text(), "text/plain; version=0.0.4; charset=utf-8"); });
    s.server.Get("/healthz", [](const httplib::Request&, httplib::Response& r) { r.set_content(R"({"healthy":true})", "application/json"); });
    s.server.Get("/readyz", [ready](const httplib::Request&, httplib::Response& r) {
        const bool yes = ready();
        r.status = yes ? 200 : 503;
        r.set_content(yes ? R"({"ready":true})" : R"({"ready":false})", "application/json");
    });
    const int at = port == "0" ? s.server.bind_to_any_port(host) : s.server.bind_to_port(host, std::stoi(port)) ? std::stoi(port) : -1;
    if (at < 0) throw std::runtime_error(address + " cannot be listened at");
    s.url = "http://" + shown + ':' + std::to_string(at) + "/metrics";
    s.serving = std::thread([&s] { s.server.listen_after_bind(); });
    while (!s.server.is_running()) std::this_thread::sleep_for(1ms);  // stop() does nothing before
}

scrape::~scrape() {
    m_state->server.stop();
    m_state->serving.join();
}

const std::string& scrape::url() const { return m_state->url; }
std::shared_ptr<middleware> scrape::counting() { return m_state->counted; }

}  // namespace chancy::cli
