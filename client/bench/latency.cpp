// latency: from push() to the start of the handler, and from its end to the result as others see it.
#include "scenario.hpp"

#include <chancy/chancy.hpp>

#include <atomic>
#include <cstdlib>
#include <optional>
#include <semaphore>
#include <thread>

namespace bench {

namespace {

double now() { return std::chrono::duration<double>(clock::now().time_since_epoch()).count(); }

struct push_times {
    std::vector<double> start, call;  // until the handler's first line; and until push() returned, which is part of it
};

// A push each 1/rate s by one connection; one Worker that listens.
push_times measure_push(const options& with, int rate, int jobs) {
    std::vector<double> sent(static_cast<std::size_t>(jobs)), started(static_cast<std::size_t>(jobs), 0), returned;
    std::atomic<int> done{0};
    chancy::worker worker({.conninfo = with.conninfo, .concurrency = 4, .log = [](chancy::log_level, const std::string&) {}});
    worker.on("bench.latency", [&](chancy::job_context& job) {
        started[job.kwargs().at("n").get<std::size_t>()] = now();
        done++;
    });
    std::thread running([&] { worker.run(); });
    chancy::client client(with.conninfo);
    while (client.list_workers().empty()) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    auto next = clock::now();
    for (int n = 0; n < jobs; n++) {
        std::this_thread::sleep_until(next += std::chrono::microseconds(1'000'000 / rate));
        sent[static_cast<std::size_t>(n)] = now();
        client.push({.func = "bench.latency", .kwargs = {{"n", n}}});
        returned.push_back(now() - sent[static_cast<std::size_t>(n)]);
    }
    while (done < jobs) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    worker.stop();
    running.join();
    for (std::size_t n = 0; n < sent.size(); n++) started[n] -= sent[n];
    return {started, returned};
}

// The same without a queue: from NOTIFY to its arrival at a connection that listens.
std::vector<double> measure_notify(const options& with, int rate, int count) {
    connection sender(with.conninfo), ear(with.conninfo);
    ear.run("LISTEN bench");
    std::vector<double> took;
    auto next = clock::now();
    for (int n = 0; n < count; n++) {
        std::this_thread::sleep_until(next += std::chrono::microseconds(1'000'000 / rate));
        const auto start = clock::now();
        sender.run("NOTIFY bench");
        ear.await_notification();
        took.push_back(seconds_since(start));
    }
    return took;
}

// One job at a time, so each result is alone: from the handler's end to the event of its commit at a connection that listens.
std::vector<double> measure_result(const options& with, int jobs) {
    std::atomic<double> ended{0};
    std::binary_semaphore watched{0};
    chancy::worker worker({.conninfo = with.conninfo, .concurrency = 4, .log = [](chancy::log_level, const std::string&) {}});
    worker.on("bench.latency", [&](chancy::job_context&) {
        watched.acquire();
        ended = now();
    });
    std::thread running([&] { worker.run(); });
    chancy::client client(with.conninfo);
    chancy::listener ear(with.conninfo);
    std::vector<double> took;
    for (int n = 0; n < jobs; n++) {
        const chancy::uuid id = client.push({.func = "bench.latency"});
        client.watch_jobs({&id, 1});
        watched.release();
        for (bool seen = false; !seen;)
            for (const chancy::event& e : ear.wait(std::chrono::seconds(60)))
                seen = seen || (e.type() == "job.finished" && e.body.at("j") == id.to_string());
        took.push_back(now() - ended);
    }
    worker.stop();
    running.join();
    return took;
}

// The same by hand: the row is written and the listener told, in one transaction.
std::vector<double> measure_update(const options& with, int count) {
    connection server(with.conninfo), ear(with.conninfo);
    server.run("CREATE SCHEMA IF NOT EXISTS bench");
    server.run("CREATE TABLE IF NOT EXISTS bench.latency AS SELECT 0 AS n");
    ear.run("LISTEN bench");
    std::vector<double> took;
    for (int n = 0; n < count; n++) {
        const auto start = clock::now();
        server.run("UPDATE bench.latency SET n = n + 1; NOTIFY bench");
        ear.await_notification();
        took.push_back(seconds_since(start));
    }
    return took;
}

void add(figures& all, const std::string& what, const json& ours, const json& other, double reach_p50, double reach_p99, const char* our_way,
         const char* other_way) {
    for (const auto& [percentile, reach] : {std::pair{"p50_ms", reach_p50}, std::pair{"p99_ms", reach_p99}}) {
        figure f;
        f.name = what + ", " + std::string(percentile).substr(0, 3);
        f.reach = reach;
        f.at_most = true;
        f.unit = "ms";
        f.ours = our_way;
        f.other = other_way;
        f.our_value = ours[percentile];
        f.other_value = other[percentile];
        f.ratio = f.our_value / f.other_value;
        f.details = {{"ours", ours}, {"other", other}};
        all.push_back(f);
    }
}

// Connections that are made while it lives do not wait for the disk.
class not_durable {
public:
    not_durable() { setenv("PGOPTIONS", "-c synchronous_commit=off", 1); }
    ~not_durable() { unsetenv("PGOPTIONS"); }
    not_durable(const not_durable&) = delete;
    not_durable& operator=(const not_durable&) = delete;
};

}  // namespace

figures latency(const options& with) {
    figures all;
    connection server(with.conninfo);
    for (const bool durable : {true, false}) {
        std::optional<not_durable> off;
        if (!durable) off.emplace();
        const std::string how = durable ? "" : ", not durable";
        for (const int rate : {20, 100, 1000}) {
            make_empty(server);
            const int count = std::max(1, static_cast<int>(rate * with.latency_seconds));
            const json other = percentiles(measure_notify(with, rate, count));
            const push_times took = measure_push(with, rate, count);
            const json ours = percentiles(took.start), call = percentiles(took.call);
            const bool low = durable && rate < 1000;
            add(all, "push to handler start, " + std::to_string(rate) + "/s" + how, ours, other, low ? 2 : 0, low ? 10 : 0, "push() to handler",
                "NOTIFY round trip");
            add(all, "of it push(), " + std::to_string(rate) + "/s" + how, call, other, 0, 0, "push()", "NOTIFY round trip");
        }
        make_empty(server);
        const int count = std::max(1, static_cast<int>(50 * with.latency_seconds));
        const json ours = percentiles(measure_result(with, count)), other = percentiles(measure_update(with, count));
        add(all, "handler end to result seen" + how, ours, other, 0, 0, "end to event", "UPDATE, NOTIFY");
    }
    return all;
}

}  // namespace bench
