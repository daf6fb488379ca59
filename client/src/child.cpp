// A child's side: it serves one job after another, on its only socket, until its worker closes it.
#include "child.hpp"

#include "descriptor.hpp"
#include "frame.hpp"

#include <csignal>
#include <cstdio>
#include <iostream>
#include <mutex>
#include <new>
#include <thread>

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>

namespace chancy::detail {
namespace {

int asked = -1;  // an eventfd that SIGTERM's handler writes to

class worker_socket : public reports {
public:
    explicit worker_socket(int fd) : m_fd(fd) {}

    // False: the worker has closed it.
    bool receive(json& content) {
        for (;;) {
            if (auto next = m_frames.next()) {
                content = std::move(*next);
                return true;
            }
            char bytes[65536];
            const ssize_t n = ::recv(m_fd, bytes, sizeof bytes, 0);
            if (n == 0 || (n < 0 && errno != EINTR)) return false;
            if (n > 0) m_frames.add({bytes, static_cast<std::size_t>(n)});
        }
    }

    void send(const json& content) {
        const std::string bytes = frame(content);
        for (std::size_t at = 0; at < bytes.size();) {
            const ssize_t n = ::send(m_fd, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
            if (n < 0 && errno != EINTR) ::_exit(0);  // nobody is there any more
            if (n > 0) at += static_cast<std::size_t>(n);
        }
    }

    void report(progress told) override {
        const std::lock_guard lock(m_mutex);
        json content = json::object();
        if (told.percent) content["percent"] = *told.percent;
        if (told.message) content["message"] = *told.message;
        if (told.checkpoint) content["checkpoint"] = *told.checkpoint;
        send({{"progress", std::move(content)}});
    }

    std::optional<json> checkpoint() override {
        const std::lock_guard lock(m_mutex);
        send({{"load", true}});
        json answer;
        if (!receive(answer)) ::_exit(0);
        return answer.contains("checkpoint") ? std::optional<json>(std::in_place, std::move(answer["checkpoint"])) : std::nullopt;
    }

private:
    int m_fd;
    frames m_frames;
    std::mutex m_mutex;  // a handler may report from several threads
};

// The job's memory limit, while its handler runs.
class memory_limit {
public:
    explicit memory_limit(std::optional<std::int64_t> bytes) {
        if (!bytes || ::getrlimit(RLIMIT_AS, &m_before) != 0) return;
        rlimit limited = m_before;
        limited.rlim_cur = std::min(static_cast<rlim_t>(*bytes), m_before.rlim_max);
        m_set = ::setrlimit(RLIMIT_AS, &limited) == 0;
    }
    ~memory_limit() {
        if (m_set) ::setrlimit(RLIMIT_AS, &m_before);
    }
    memory_limit(const memory_limit&) = delete;
    memory_limit& operator=(const memory_limit&) = delete;

private:
    rlimit m_before{};
    bool m_set = false;
};

std::optional<json> call_limited(const handlers& known, const attempt& of, reports* to) {
    const auto bytes = limit_of(of.job, "memory");
    try {
        const memory_limit limited(bytes);
        return call_handler(known, of, to);
    } catch (const std::bad_alloc&) {
        if (!bytes) throw;
        throw std::runtime_error("memory limit of " + std::to_string(*bytes) + " bytes exceeded");
    }
}

}  // namespace

void serve_child(int socket, const handlers& known) {
    asked = ::eventfd(0, EFD_CLOEXEC);
    struct sigaction action{};
    action.sa_handler = [](int) {
        const int saved = errno;
        ::eventfd_write(asked, 1);
        errno = saved;
    };
    action.sa_flags = SA_RESTART;
    ::sigaction(SIGTERM, &action, nullptr);

    std::mutex mutex;
    attempt* current = nullptr;
    std::stop_source stop;  // one for all its jobs: a child that was asked to stop gets no other one
    std::thread([&] {
        eventfd_t count;
        while (::eventfd_read(asked, &count) != 0) continue;
        {
            const std::lock_guard lock(mutex);
            if (current && current->deadline && clock::now() + std::chrono::milliseconds(100) >= *current->deadline) current->timed_out = true;
        }
        stop.request_stop();
    }).detach();

    worker_socket worker(socket);
    for (json in; worker.receive(in);) {
        attempt of;
        of.job = unpack_job(in.at("job"));
        of.fetched_at = clock::now();
        of.stop = stop;
        if (in.contains("microseconds")) of.deadline = of.fetched_at + std::chrono::microseconds(in["microseconds"].get<std::int64_t>());
        {
            const std::lock_guard lock(mutex);
            current = &of;
        }
        const ended end = conclude(of, [&] { return call_limited(known, of, &worker); });
        {
            const std::lock_guard lock(mutex);
            current = nullptr;
        }
        std::cout.flush();
        std::fflush(nullptr);
        worker.send({{"end", pack(end.what)}});
    }
}

}  // namespace chancy::detail
