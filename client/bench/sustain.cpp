// sustain: push and drain at the same time, one connection each, for a while; beside readers; beside a snapshot held open.
#include "drain.hpp"

#include "scenario.hpp"

#include <cmath>

namespace bench {

namespace {

constexpr int batch_size = 1000;
constexpr long long most_waiting = 20'000;  // the pusher rests while so many wait, so that both sides keep one pace

struct pace {
    double rate = 0;                 // completed a second
    std::vector<double> each_second;
};

// What completes is counted each second.
pace watch(const std::atomic<long long>& completed, double seconds) {
    pace p;
    const auto start = clock::now();
    const long long first = completed;
    for (long long before = first; seconds_since(start) < seconds;) {
        std::this_thread::sleep_for(std::chrono::seconds(1));
        const long long now = completed;
        p.each_second.push_back(static_cast<double>(now - before));
        before = now;
    }
    p.rate = static_cast<double>(completed - first) / seconds_since(start);
    return p;
}

template <class Push, class Worker>
pace run_both(Push push, std::unique_ptr<Worker> worker, double seconds) {
    std::atomic<bool> stop{false};
    std::atomic<long long> pushed{0}, completed{0};
    std::thread pusher([&] {
        while (!stop) {
            if (pushed - completed > most_waiting)
                std::this_thread::sleep_for(std::chrono::milliseconds(1));
            else
                pushed += push();
        }
    });
    std::vector<std::unique_ptr<Worker>> workers;
    workers.push_back(std::move(worker));
    std::thread drainer([&] { work(workers, &stop, &completed); });
    pace p = watch(completed, seconds);
    stop = true;
    pusher.join();
    drainer.join();
    return p;
}

pace run_ours(const options& with, double seconds) {
    connection pusher(with.conninfo);
    return run_both(
        [&] {
            pusher.run("SELECT count(*) FROM chancy.push_many($1)", {make_batch(batch_size, keys::none).json});
            return batch_size;
        },
        std::make_unique<exchange_worker>(with.conninfo, "bench:sustain"), seconds);
}

pace run_plain(const options& with, double seconds) {
    connection pusher(with.conninfo), drainer(with.conninfo);
    return run_both(
        [&] {
            const batch b = make_batch(batch_size, keys::none);
            pusher.run(unnest_statement, {b.kwargs[0], b.kwargs[1]});
            return batch_size;
        },
        std::make_unique<plain_worker>(drainer, "plain:sustain"), seconds);
}

// Connections that each hold a snapshot; scanning ones read the table again and again.
class readers {
public:
    readers(const options& with, int count, const char* table, bool scan) {
        for (int i = 0; i < count; i++) {
            m_connections.push_back(std::make_unique<connection>(with.conninfo));
            connection& c = *m_connections.back();
            c.run("BEGIN ISOLATION LEVEL REPEATABLE READ");
            c.run("SELECT 1");
            if (scan)
                m_threads.emplace_back([this, &c, table] {
                    while (!m_stop) {
                        c.run(std::string("SELECT count(*) FROM ") + table);
                        std::this_thread::sleep_for(std::chrono::milliseconds(200));
                    }
                });
        }
    }
    ~readers() {
        m_stop = true;
        for (std::thread& t : m_threads) t.join();
    }

private:
    std::atomic<bool> m_stop{false};
    std::vector<std::unique_ptr<connection>> m_connections;
    std::vector<std::thread> m_threads;
};

// Two long runs one after the other: each has the machine for itself.
figure one_after_the_other(const options& with, connection& server, const std::string& name, double reach, int scanners) {
    figure f;
    f.name = name;
    f.reach = reach;
    f.ours = "push_many + exchange()";
    f.other = "INSERT + SKIP LOCKED + UPDATE";
    make_empty(server);
    {
        readers beside(with, scanners, "chancy.jobs", true);
        meter m(server);
        const pace p = run_ours(with, with.seconds);
        f.our_value = p.rate;
        f.details["ours_per_job"] = m.per_job(p.rate * with.seconds);
        f.details["ours_storage"] = storage(server, "chancy.jobs");
    }
    {
        readers beside(with, scanners, "bench.plain", true);
        meter m(server);
        const pace p = run_plain(with, with.seconds);
        f.other_value = p.rate;
        f.details["other_per_job"] = m.per_job(p.rate * with.seconds);
        f.details["other_storage"] = storage(server, "bench.plain");
    }
    f.ratio = f.our_value / f.other_value;
    return f;
}

figure last_against_first(const options& with, connection& server, const std::string& table, double reach) {
    const bool ours = table == "chancy.jobs";
    make_empty(server);
    figure f;
    f.name = "push and drain, a snapshot held open for " + std::to_string(static_cast<int>(std::lround(with.held_minutes))) + " min" +
             (ours ? "" : ", hand-written SQL");
    f.reach = reach;
    f.ours = "last minute";
    f.other = "first minute";
    readers beside(with, 1, table.c_str(), false);
    const pace p = ours ? run_ours(with, with.held_minutes * 60) : run_plain(with, with.held_minutes * 60);
    const std::size_t part = std::min<std::size_t>(60, std::max<std::size_t>(1, p.each_second.size() / 4));
    const auto rate = [&](auto begin) {
        double sum = 0;
        for (auto at = begin; at != begin + static_cast<std::ptrdiff_t>(part); ++at) sum += *at;
        return sum / static_cast<double>(part);
    };
    f.other_value = rate(p.each_second.begin());
    f.our_value = rate(p.each_second.end() - static_cast<std::ptrdiff_t>(part));
    f.ratio = f.our_value / f.other_value;
    f.details["each_second"] = p.each_second;
    f.details["storage"] = storage(server, table);
    return f;
}

}  // namespace

figures sustain(const options& with) {
    connection server(with.conninfo);
    const std::string name = "push and drain for " + std::to_string(static_cast<int>(with.seconds)) + " s";
    return {one_after_the_other(with, server, name, 1.5, 0),
            one_after_the_other(with, server, name + ", 4 readers that scan", 0, 4)};
}

figures held(const options& with) {
    connection server(with.conninfo);
    return {last_against_first(with, server, "chancy.jobs", 0.9), last_against_first(with, server, "bench.plain", 0)};
}

}  // namespace bench
