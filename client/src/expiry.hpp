// When a worker's heartbeat expires: a thread of its own that stops the handlers before, whatever the pulse waits for
// meanwhile (an answer, a name server).
//
// It goes by the clock that counts a sleeping machine's time too. steady_clock stands still then, so that a worker would
// wake up and believe its heartbeat good, when others have had its jobs for long.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <thread>

namespace chancy::detail {

struct boot_clock {
    using duration = std::chrono::nanoseconds;
    using rep = duration::rep;
    using period = duration::period;
    using time_point = std::chrono::time_point<boot_clock>;
    static constexpr bool is_steady = true;
    static time_point now() noexcept;
};

// Until when the heartbeat is good. What starts a handler looks at it too: a machine that wakes up may run that thread before the
// one below. Threads: any.
class heartbeat_term {
public:
    void set(boot_clock::time_point until) noexcept { m_until = until.time_since_epoch().count(); }
    [[nodiscard]] bool over() const noexcept { return boot_clock::now().time_since_epoch().count() >= m_until; }

private:
    std::atomic<boot_clock::rep> m_until{0};
};

class expiry {
public:
    // tell(false): it has expired, called on the thread; tell(true): it holds again, called by renew().
    // Never two at once.
    expiry(heartbeat_term& term, std::function<void(bool alive)> tell);
    ~expiry();
    expiry(const expiry&) = delete;
    expiry& operator=(const expiry&) = delete;

    void renew(boot_clock::time_point until);

private:
    void thread();

    heartbeat_term& m_term;
    const std::function<void(bool)> m_tell;
    std::mutex m_mutex;
    bool m_alive = false;
    int m_timer, m_end;
    std::thread m_thread;
};

}  // namespace chancy::detail
