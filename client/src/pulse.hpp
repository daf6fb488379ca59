// A worker's pulse: one thread and one connection that renew the heartbeat, listen for events, read the queues' rows,
// hand all that on to the flows, and call chancy.maintain() now and then, for all workers.
#pragma once

#include <chancy/event.hpp>

#include "expiry.hpp"
#include "fleet.hpp"

#include <atomic>
#include <memory>
#include <optional>
#include <thread>
#include <unordered_map>

namespace chancy::detail {

class pulse {
public:
    pulse(std::shared_ptr<const shared> with, fleet& queues);
    ~pulse();
    void start();
    void stop();  // retires the worker; after it the thread has ended

private:
    void thread();
    void open();
    void beat();
    void drop_lost_jobs();
    void drop_cancelled_jobs();
    void read_queues();
    [[nodiscard]] PGconn* connection();
    void maintain();
    void wait(clock::time_point until);
    void hear(const event& e);
    void expired();
    void retire();

    const std::shared_ptr<const shared> m_shared;
    fleet& m_fleet;
    const std::chrono::milliseconds m_interval;
    const std::chrono::milliseconds m_patience;  // for each answer

    std::optional<listener> m_ear;
    std::optional<client> m_client;  // instead of the ear, when there is no listening
    clock::time_point m_next_beat{};
    clock::time_point m_next_queues{};  // read them then
    std::set<std::string> m_declared;   // or tried to: once
    std::unordered_map<uuid, clock::time_point> m_cancelled;  // since when we know it; their attempts are yet to be dropped
    clock::time_point m_next_cancelled = clock::time_point::max();
    clock::time_point m_next_maintenance{};
    std::string m_maintenance_trouble;  // logged already

    std::atomic<bool> m_stop{false}, m_beat_now{false};
    int m_wake;  // an eventfd
    std::thread m_thread;
    expiry m_expiry;
};

}  // namespace chancy::detail
