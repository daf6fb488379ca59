#include "proxy.hpp"

#include <algorithm>
#include <cerrno>
#include <stdexcept>
#include <vector>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

namespace chaos {
namespace {

sockaddr_in local(int port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    return address;
}

void close_with_reset(int fd) {
    const linger at_once{1, 0};
    ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    ::close(fd);
}

}  // namespace

proxy::proxy(int upstream_port)
    : m_upstream(upstream_port), m_listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)), m_wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    sockaddr_in address = local(0);
    socklen_t size = sizeof address;
    if (::bind(m_listener, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(m_listener, 100) != 0 ||
        ::getsockname(m_listener, reinterpret_cast<sockaddr*>(&address), &size) != 0)
        throw std::runtime_error("the proxy cannot listen");
    m_port = ntohs(address.sin_port);
    m_thread = std::thread([this] { thread(); });
}

proxy::~proxy() {
    m_stop = true;
    wake();
    m_thread.join();
    for (const pipe& p : m_pipes) {
        ::close(p.client);
        ::close(p.server);
    }
    ::close(m_listener);
    ::close(m_wake);
}

void proxy::wake() const { ::eventfd_write(m_wake, 1); }

int proxy::forget_connections() {
    const std::lock_guard lock(m_mutex);
    int n = 0;
    for (pipe& p : m_pipes)
        if (!p.silent) p.silent = true, ++n;
    wake();
    return n;
}

int proxy::reset_connections() {
    const std::lock_guard lock(m_mutex);
    const int n = static_cast<int>(m_pipes.size());
    for (const pipe& p : m_pipes) {
        close_with_reset(p.client);
        close_with_reset(p.server);
    }
    m_pipes.clear();
    wake();
    return n;
}

void proxy::accept_one() {
    const int client = ::accept4(m_listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (client < 0) return;
    const int server = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in address = local(m_upstream);
    if (::connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        ::close(client);
        ::close(server);
        return;
    }
    const int one = 1;
    for (const int fd : {client, server}) ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    m_pipes.push_back({client, server, m_silent});
}

// False at the end of the stream.
bool proxy::forward(int from, int to) {
    char block[65536];
    const ssize_t n = ::recv(from, block, sizeof block, MSG_DONTWAIT);
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    for (ssize_t sent = 0; sent < n;) {
        const ssize_t m = ::send(to, block + sent, static_cast<std::size_t>(n - sent), MSG_NOSIGNAL);
        if (m <= 0) return false;
        sent += m;
    }
    return n > 0;
}

void proxy::thread() {
    while (!m_stop) {
        std::vector<pollfd> fds{{m_wake, POLLIN, 0}, {m_listener, POLLIN, 0}};
        {
            const std::lock_guard lock(m_mutex);
            for (pipe& p : m_pipes) {
                p.silent = p.silent || m_silent;
                const auto now = std::chrono::steady_clock::now();
                if (p.silent && p.silent_since == decltype(now)()) p.silent_since = now;
                if (p.silent && !m_silent && now - p.silent_since > std::chrono::seconds(20)) p.closed = true;
                // A silent pipe passes on nothing, the end of a peer neither.
                for (const int fd : {p.client, p.server}) fds.push_back({p.silent ? -1 : fd, POLLIN, 0});
            }
        }
        ::poll(fds.data(), fds.size(), 50);
        eventfd_t drained;
        ::eventfd_read(m_wake, &drained);
        const std::lock_guard lock(m_mutex);
        if (fds.size() != 2 + 2 * m_pipes.size()) continue;  // reset meanwhile
        std::size_t at = 2;
        for (pipe& p : m_pipes) {
            const bool from_client = fds[at].revents != 0, from_server = fds[at + 1].revents != 0;
            at += 2;
            if (p.silent || m_silent) continue;
            if ((from_client && !forward(p.client, p.server)) || (from_server && !forward(p.server, p.client))) p.closed = true;
        }
        std::erase_if(m_pipes, [](const pipe& p) {
            if (p.closed) ::close(p.client), ::close(p.server);
            return p.closed;
        });
        if (fds[1].revents != 0) accept_one();
    }
}

}  // namespace chaos
