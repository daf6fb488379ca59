// Time limits of handlers on threads: one thread that asks a handler to stop at its deadline, whatever the database does.
#pragma once

#include "attempt.hpp"

#include <condition_variable>
#include <map>
#include <mutex>

namespace chancy::detail {

class watchdog {
public:
    watchdog() = default;
    ~watchdog();
    watchdog(const watchdog&) = delete;
    watchdog& operator=(const watchdog&) = delete;

    // While it lives, the attempt is watched.
    class watch {
    public:
        watch(watchdog& dog, attempt& of) : m_dog(dog), m_of(&of) { m_dog.add(of); }
        ~watch() { m_dog.remove(*m_of); }
        watch(const watch&) = delete;
        watch& operator=(const watch&) = delete;

    private:
        watchdog& m_dog;
        attempt* m_of;
    };

private:
    void add(attempt& of);
    void remove(attempt& of);
    void thread();

    std::mutex m_mutex;
    std::condition_variable m_changed;
    std::multimap<clock::time_point, attempt*> m_watched;
    bool m_end = false;
    std::thread m_thread;  // from the first limit on
};

}  // namespace chancy::detail
