// drain: fetch and complete a backlog.
#include "drain.hpp"

#include "scenario.hpp"

#include <algorithm>

namespace bench {

int exchange_worker::exchange(int up_to) {
    const chancy::exchanged got = m_client.exchange(m_name, m_updates, "default", up_to);
    const int completed = static_cast<int>(m_updates.size() - got.refused.size());
    m_updates.clear();
    for (const chancy::job& job : got.jobs) m_updates.push_back({.id = job.id, .started_at = *job.started_at});
    return completed;
}

namespace {

// The whole Worker: handlers on threads, a heartbeat, results gathered. One for each connection. They stand before a paused queue until
// drain() resumes it, as the other side's connections are open when its turn begins; that they stop is part of the time.
class worker_fleet {
public:
    worker_fleet(const options& with, connection& server) : m_server(server), m_jobs(with.jobs) {
        m_server.run("SELECT chancy.pause_queue('default')");
        for (int i = 0; i < with.connections; i++) {
            m_workers.push_back(std::make_unique<chancy::worker>(chancy::worker_options{
                .conninfo = with.conninfo, .concurrency = 1, .log = [](chancy::log_level, const std::string&) {}}));
            m_workers.back()->on("bench.work", [this](chancy::job_context&) { m_done++; });
            m_threads.emplace_back([w = m_workers.back().get()] { w->run(); });
        }
        while (!std::ranges::all_of(m_workers, [](const auto& w) { return w->ready(); })) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    double drain() {
        m_server.run("SELECT chancy.resume_queue('default')");
        while (m_done < m_jobs) std::this_thread::sleep_for(std::chrono::milliseconds(1));
        for (auto& worker : m_workers) worker->stop();
        for (std::thread& t : m_threads) t.join();
        return m_jobs;
    }

private:
    connection& m_server;
    const int m_jobs;
    std::atomic<long long> m_done{0};
    std::vector<std::unique_ptr<chancy::worker>> m_workers;
    std::vector<std::thread> m_threads;
};

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
    std::unique_ptr<worker_fleet> fleet;
    const auto load_and_start = [&] {
        load("chancy.jobs")();
        fleet = std::make_unique<worker_fleet>(with, server);
        return 0.0;
    };
    all.push_back(compare(server, size + ", Worker", 1.5, rounds, {"Worker", load_and_start, [&] { return fleet->drain(); }}, other));
    all.push_back(compare(server, size + ", exchange", 0, rounds,
                          {"exchange()", load("chancy.jobs"), [&] { return static_cast<double>(work(ours, nullptr, nullptr)); }}, other));
    all.back().details["storage"] = storage(server, "chancy.jobs");
    return all;
}

}  // namespace bench
