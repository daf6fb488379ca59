#include "watchdog.hpp"

namespace chancy::detail {

watchdog::~watchdog() {
    {
        const std::lock_guard lock(m_mutex);
        m_end = true;
    }
    m_changed.notify_one();
    if (m_thread.joinable()) m_thread.join();
}

void watchdog::add(attempt& of) {
    {
        const std::lock_guard lock(m_mutex);
        m_watched.emplace(*of.deadline, &of);
        if (!m_thread.joinable()) m_thread = std::thread([this] { thread(); });
    }
    m_changed.notify_one();
}

void watchdog::remove(attempt& of) {
    const std::lock_guard lock(m_mutex);
    const auto [first, last] = m_watched.equal_range(*of.deadline);
    for (auto i = first; i != last; ++i)
        if (i->second == &of) {
            m_watched.erase(i);
            return;
        }
}

void watchdog::thread() {
    std::unique_lock lock(m_mutex);
    while (!m_end) {
        if (m_watched.empty()) {
            m_changed.wait(lock);
            continue;
        }
        const auto first = m_watched.begin();
        if (first->first > clock::now()) {
            m_changed.wait_until(lock, clock::time_point(first->first));
            continue;
        }
        first->second->timed_out = true;
        // A copy, and unlocked: callbacks of the handler's own run here, and may take their time.
        std::stop_source stop = first->second->stop;
        m_watched.erase(first);
        lock.unlock();
        stop.request_stop();
        lock.lock();
    }
}

}  // namespace chancy::detail
