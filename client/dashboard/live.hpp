// Events as they come: one connection that listens, and those who hear it.
// Threads: any.
#pragma once

#include "database.hpp"

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <thread>

namespace httplib {
struct Response;
}

namespace chancy::dashboard {

class live {
public:
    live(std::string conninfo, int most) : m_conninfo(std::move(conninfo)), m_most(most), m_thread([this] { run(); }) {}
    ~live();
    live(const live&) = delete;
    live& operator=(const live&) = delete;

    // Makes the response a stream of events; false: there are as many listeners as there may be.
    [[nodiscard]] bool stream(httplib::Response& response);
    void stop();  // ends all streams

private:
    void run();
    void tell(std::string event);

    std::string m_conninfo;
    int m_most;
    std::atomic<int> m_listeners = 0;
    std::mutex m_mutex;
    std::condition_variable m_changed;
    std::deque<std::string> m_events;  // the last ones: who is slower than that misses some
    std::uint64_t m_next = 0;          // the number of the event after the last
    bool m_stopped = false;
    std::thread m_thread;
};

}  // namespace chancy::dashboard
