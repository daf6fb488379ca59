// A process of ours whose only work is to fork children. It is forked while the program has few threads, and has one
// itself, so its children begin without locks that were held by threads which they do not have.
//
// It adopts what its children leave behind, each child being a session of its own; so when the worker ends, however it
// ends, nothing that was started for a job goes on.
#pragma once

#include "descriptor.hpp"

#include <functional>
#include <mutex>
#include <string>

#include <sys/types.h>

namespace chancy::detail {

class nursery {
public:
    // Forks it. serve runs in each child, with its end of a socket; the child ends when it returns.
    explicit nursery(std::function<void(int)> serve);
    ~nursery();  // children are killed
    nursery(const nursery&) = delete;
    nursery& operator=(const nursery&) = delete;

    struct child {
        pid_t pid = -1;
        descriptor socket;
    };
    // Each throws std::runtime_error; gone() tells whether the process itself is no more, so that no call can succeed.
    [[nodiscard]] child fork_child();
    void ask_to_stop(pid_t pid);                // SIGTERM
    // Kills it and all that it started, and gives its wait status: of its own end, if that came first.
    [[nodiscard]] int end(pid_t pid);
    void end_all() noexcept;                      // and the nursery
    [[nodiscard]] bool gone() const noexcept;

private:
    struct request;
    struct answer;
    class keeper;
    answer ask(const request& what, int pass = -1);

    mutable std::mutex m_mutex;
    descriptor m_control;
    pid_t m_pid = -1;
    bool m_gone = false;
};

// The number of this process's threads.
[[nodiscard]] int thread_count();

}  // namespace chancy::detail
