// drain: fetch and complete a backlog.
#include "drain.hpp"

#include "scenario.hpp"

namespace bench {

int exchange_worker::exchange(int up_to) {
    const chancy::exchanged got = m_client.exchange(m_name, m_updates, "default", up_to);
    const int completed = static_cast<int>(m_updates.size() - got.refused.size());
    m_updates.clear();
    for (const chancy::job& job : got.jobs) m_updates.push_back({.id = job.id, .started_at = *job.started_at});
    return completed;
}

namespace {

// The whole Worker: handlers on threads, a heartbeat, results gathered. One for each connection.
double run_workers(const options& with) {
    std::atomic<long long> done{0};
    std::vector<std::unique_ptr<chancy::worker>> workers;
    std::vector<std::thread> threads;
    for (int i = 0; i < with.connections; i++) {
        workers.push_back(std::make_unique<chancy::worker>(chancy::worker_options{
            .conninfo = with.conninfo, .concurrency = 1, .log = [](chancy::log_level, const std::string&) {}}));
        workers.back()->on("bench.work", [&](chancy::job_context&) { done++; });
        threads.emplace_back([&, i] { workers[static_cast<std::size_t>(i)]->run(); });
    }
    while (done < with.jobs) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    for (auto& worker : workers) worker->stop();
    for (std::thread& t : threads) t.join();
    return with.jobs;
}

}  // namespace

figures drain(const options& with) {
    figures all;
    connection server(with.conninfo);
    std::vector<std::unique_ptr<connection>> connections;
    std::vector<std::unique_ptr<plain_worker>> plain;
    std::vector<std::unique_ptr<exchange_worker>> ours;
    for (int i = 0; i < with.connections; i++) {
        connections.push_back(std::make_unique<connection>(with.conninfo));
        plain.push_back(std::make_unique<plain_worker>(*connections.back(), "plain:" + std::to_string(i)));
        ours.push_back(std::make_unique<exchange_worker>(with.conninfo, "bench:" + std::to_string(i)));
    }
    const auto load = [&](const char* table) {
        return [&server, &with, table] {
            server.run(std::string("TRUNCATE ") + table);
            fill(server, table, with.jobs);
            return 0.0;
        };
    };
    make_empty(server);
    const side other{"SKIP LOCKED + UPDATE", load("bench.plain"), [&] { return static_cast<double>(work(plain, nullptr, nullptr)); }};
    const std::string size = "drain of " + std::to_string(with.jobs) + ", " + std::to_string(with.connections) + " connections";
    const int rounds = std::max(1, with.rounds - 2);
    all.push_back(compare(server, size + ", Worker", 1.5, rounds, {"Worker", load("chancy.jobs"), [&] { return run_workers(with); }}, other));
    all.push_back(compare(server, size + ", exchange", 0, rounds,
                          {"exchange()", load("chancy.jobs"), [&] { return static_cast<double>(work(ours, nullptr, nullptr)); }}, other));
    all.back().details["storage"] = storage(server, "chancy.jobs");
    return all;
}

}  // namespace bench
