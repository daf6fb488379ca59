// A TCP proxy that can go silent without closing: the peers of a half-open connection cannot tell it from a slow one.
#pragma once

#include <atomic>
#include <chrono>
#include <list>
#include <mutex>
#include <thread>

namespace chaos {

class proxy {
public:
    explicit proxy(int upstream_port);  // listens on port()
    ~proxy();
    proxy(const proxy&) = delete;
    proxy& operator=(const proxy&) = delete;

    [[nodiscard]] int port() const noexcept { return m_port; }
    // Nothing is forwarded any more, nor is any connection accepted here ever served; none is closed.
    void go_silent() { m_silent = true; }
    // New connections work again; the old ones stay silent, until the server's keepalives would have found them dead (20 s).
    void speak() { m_silent = false; }
    // Those that are open now go silent, new ones work: what a router does that forgets them. How many.
    int forget_connections();
    // Closes all with a reset.
    int reset_connections();

private:
    struct pipe {
        int client, server;
        bool silent, closed = false;
        std::chrono::steady_clock::time_point silent_since{};
    };
    void thread();
    void accept_one();
    static bool forward(int from, int to);
    void wake() const;

    const int m_upstream;
    int m_port = 0;
    int m_listener, m_wake;
    std::atomic<bool> m_silent{false}, m_stop{false};
    std::mutex m_mutex;
    std::list<pipe> m_pipes;
    std::thread m_thread;
};

}  // namespace chaos
