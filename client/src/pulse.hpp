// A worker's pulse: one thread and one connection that renew the heartbeat, listen for events, hand both on to the
// flows, and call chancy.maintain() now and then, for all workers.
#pragma once

#include <chancy/event.hpp>

#include "expiry.hpp"
#include "flow.hpp"

#include <atomic>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

namespace chancy::detail {

class pulse {
public:
    pulse(std::shared_ptr<const shared> with, std::vector<std::shared_ptr<flow>> flows);
    ~pulse();
    void start();
    void stop();  // retires the worker; after it the thread has ended

private:
    void thread();
    void open();
    void beat();
    void drop_lost_jobs(PGconn* connection, const std::vector<std::vector<uuid>>& before);
    void maintain();
    void wait(clock::time_point until);
    void hear(const event& e);
    void expired();
    void retire();

    const std::shared_ptr<const shared> m_shared;
    const std::vector<std::shared_ptr<flow>> m_flows;
    const std::chrono::milliseconds m_interval;
    const std::chrono::milliseconds m_patience;  // for each answer
    std::vector<std::string> m_tags;
    std::vector<std::string> m_queues;

    std::optional<listener> m_ear;
    std::optional<client> m_client;  // instead of the ear, when there is no listening
    clock::time_point m_next_beat{};
    clock::time_point m_next_maintenance{};
    std::string m_maintenance_trouble;  // logged already

    std::atomic<bool> m_stop{false}, m_beat_now{false};
    int m_wake;  // an eventfd
    std::thread m_thread;
    expiry m_expiry;
};

}  // namespace chancy::detail
