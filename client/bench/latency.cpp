// latency: from push() to the start of the handler.
#include "scenario.hpp"

#include <chancy/chancy.hpp>

#include <atomic>
#include <thread>

namespace bench {

namespace {

double now() { return std::chrono::duration<double>(clock::now().time_since_epoch()).count(); }

// A push each 1/rate s by one connection; one Worker that listens.
std::vector<double> measure_push(const options& with, int rate, int jobs) {
    std::vector<double> sent(static_cast<std::size_t>(jobs)), started(static_cast<std::size_t>(jobs), 0);
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
    }
    while (done < jobs) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    worker.stop();
    running.join();
    for (std::size_t n = 0; n < sent.size(); n++) started[n] -= sent[n];
    return started;
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

}  // namespace

figures latency(const options& with) {
    figures all;
    connection server(with.conninfo);
    for (const int rate : {20, 100, 1000}) {
        make_empty(server);
        const int count = std::max(1, static_cast<int>(rate * with.latency_seconds));
        const json other = percentiles(measure_notify(with, rate, count)), ours = percentiles(measure_push(with, rate, count));
        for (const auto& [percentile, reach] : {std::pair{"p50_ms", 2.0}, std::pair{"p99_ms", 10.0}}) {
            figure f;
            f.name = "push to handler start, " + std::to_string(rate) + "/s, " + std::string(percentile).substr(0, 3);
            f.reach = rate == 1000 ? 0 : reach;
            f.at_most = true;
            f.unit = "ms";
            f.ours = "push() to handler";
            f.other = "NOTIFY round trip";
            f.our_value = ours[percentile];
            f.other_value = other[percentile];
            f.ratio = f.our_value / f.other_value;
            f.details = {{"ours", ours}, {"other", other}};
            all.push_back(f);
        }
    }
    return all;
}

}  // namespace bench
