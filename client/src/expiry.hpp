// When a worker's heartbeat expires: a thread of its own that stops the handlers before, whatever the pulse waits for
// meanwhile (an answer, a name server).
//
// It goes by the clock that counts a sleeping machine's time too. steady_clock stands still then, so that a worker would
// wake up and believe its heartbeat good, when others have had its jobs for long.
#pragma once

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

class expiry {
public:
    // tell(false): it has expired, called on the thread; tell(true): it holds again, called by renew().
    // Never two at once.
    explicit expiry(std::function<void(bool alive)> tell);
    ~expiry();
    expiry(const expiry&) = delete;
    expiry& operator=(const expiry&) = delete;

    void renew(boot_clock::time_point until);

private:
    void thread();

    const std::function<void(bool)> m_tell;
    std::mutex m_mutex;
    bool m_alive = false;
    boot_clock::time_point m_until{};
    int m_timer, m_end;
    std::thread m_thread;
};

}  // namespace chancy::detail
