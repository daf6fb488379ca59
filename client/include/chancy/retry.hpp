// How long to wait before trying again: doubling pauses with jitter.
//
//     chancy::backoff pause({.first = 10ms, .limit = 2s});
//     while (!done()) std::this_thread::sleep_for(pause.next());
//
// Threads: a backoff belongs to one thread.
#pragma once

#include <chrono>

namespace chancy {

struct retry_policy {
    std::chrono::milliseconds first{20};
    std::chrono::milliseconds limit{2'000};
    std::chrono::milliseconds total{30'000};  // give up after; 0: never try again
};

class backoff {
public:
    explicit backoff(retry_policy policy = {}) : m_policy(policy), m_pause(policy.first) {}
    // Between half the pause and the whole of it; the pause doubles up to the limit.
    [[nodiscard]] std::chrono::milliseconds next();
    void reset() noexcept { m_pause = m_policy.first; }

private:
    retry_policy m_policy;
    std::chrono::milliseconds m_pause;
};

}  // namespace chancy
