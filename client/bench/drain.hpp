// Workers of both kinds, as drain and sustain use them.
#pragma once

#include "plain.hpp"

#include <chancy/chancy.hpp>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace bench {

// Completes what it has, and fetches more: exchange(), as the Worker does it, without handlers.
class exchange_worker {
public:
    exchange_worker(const std::string& conninfo, std::string name) : m_client(conninfo), m_name(std::move(name)) {}
    int exchange(int up_to);
    [[nodiscard]] bool idle() const { return m_updates.empty(); }

private:
    chancy::client m_client;
    std::string m_name;
    std::vector<chancy::update> m_updates;
};

// Runs exchange(1000) on each worker, a thread each, until nothing is left (or stop is set); returns how many were completed.
template <class Worker>
long long work(std::vector<std::unique_ptr<Worker>>& workers, const std::atomic<bool>* stop, std::atomic<long long>* count) {
    std::atomic<long long> completed{0};
    std::vector<std::thread> threads;
    for (auto& worker : workers)
        threads.emplace_back([&] {
            for (;;) {
                const int done = worker->exchange(stop != nullptr && *stop ? 0 : 1000);
                completed += done;
                if (count != nullptr) *count += done;
                if (worker->idle() && (stop == nullptr || *stop)) break;
            }
        });
    for (std::thread& t : threads) t.join();
    return completed;
}

}  // namespace bench
