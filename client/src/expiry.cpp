#include "expiry.hpp"

#include <ctime>

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

namespace chancy::detail {

boot_clock::time_point boot_clock::now() noexcept {
    timespec t;
    ::clock_gettime(CLOCK_BOOTTIME, &t);
    return time_point(std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec));
}

expiry::expiry(heartbeat_term& term, std::function<void(bool)> tell)
    : m_term(term), m_tell(std::move(tell)), m_timer(::timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK)), m_end(::eventfd(0, EFD_CLOEXEC)) {
    m_thread = std::thread([this] { thread(); });
}

expiry::~expiry() {
    ::eventfd_write(m_end, 1);
    m_thread.join();
    ::close(m_timer);
    ::close(m_end);
}

void expiry::renew(boot_clock::time_point until) {
    const std::lock_guard lock(m_mutex);
    // The thread may not have noticed yet that the last one was over before this one came.
    if (m_alive && m_term.over()) m_tell(m_alive = false);
    m_term.set(until);
    const auto since_boot = until.time_since_epoch();
    const auto whole = std::chrono::floor<std::chrono::seconds>(since_boot);
    itimerspec at{};
    at.it_value = {whole.count(), (since_boot - whole).count()};
    ::timerfd_settime(m_timer, TFD_TIMER_ABSTIME, &at, nullptr);
    // An answer that came too late for one heartbeat may be in time for none.
    if (m_alive || m_term.over()) return;
    m_alive = true;
    m_tell(true);
}

void expiry::thread() {
    for (;;) {
        pollfd p[] = {{m_timer, POLLIN, 0}, {m_end, POLLIN, 0}};
        ::poll(p, 2, -1);
        if (p[1].revents != 0) return;
        const std::lock_guard lock(m_mutex);
        std::uint64_t times;
        if (::read(m_timer, &times, sizeof times) < 0 || !m_alive || !m_term.over()) continue;  // renewed meanwhile
        m_alive = false;
        m_tell(false);
    }
}

}  // namespace chancy::detail
