// A child's side: it serves one job after another, on its only socket, until its worker closes it.
#include "child.hpp"

#include "descriptor.hpp"
#include "frame.hpp"

#include <csignal>
#include <cstdio>
#include <deque>
#include <iostream>
#include <mutex>
#include <new>
#include <thread>
#include <vector>

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>

namespace chancy::detail {
namespace {

int asked = -1;  // an eventfd that SIGTERM's handler writes to

class worker_socket {
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

    // index: of the job in its batch.
    void report(std::size_t index, progress told) {
        const std::lock_guard lock(m_mutex);
        json content{{"of", index}};
        if (told.percent) content["percent"] = *told.percent;
        if (told.message) content["message"] = *told.message;
        if (told.checkpoint) content["checkpoint"] = *told.checkpoint;
        send({{"progress", std::move(content)}});
    }

    // An array.
    json ask(const char* what, std::size_t index) {
        const std::lock_guard lock(m_mutex);
        send({{what, index}});
        json answer;
        if (!receive(answer)) ::_exit(0);
        if (answer.contains("cancelled")) throw cancelled{};
        if (answer.contains("error")) throw std::runtime_error(answer["error"].get<std::string>());
        return std::move(answer["is"]);
    }

private:
    int m_fd;
    frames m_frames;
    std::mutex m_mutex;  // a handler may report from several threads
};

class job_reports : public reports {
public:
    job_reports(worker_socket& through, std::size_t index) : m_through(through), m_index(index) {}
    void report(progress told) override { m_through.report(m_index, std::move(told)); }
    std::optional<json> checkpoint() override {
        json found = m_through.ask("load", m_index);
        return found.empty() ? std::nullopt : std::optional<json>(std::in_place, std::move(found[0]));
    }
    std::vector<step_result> step_results() override { return m_through.ask("steps", m_index).get<std::vector<step_result>>(); }

private:
    worker_socket& m_through;
    std::size_t m_index;
};

// The least memory limit of the jobs, while their handler runs.
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

void call_limited(attempts of, const std::function<void()>& call) {
    std::optional<std::int64_t> bytes;
    for (const attempt* a : of)
        if (const auto own = limit_of(a->job, "memory"); own && (!bytes || *own < *bytes)) bytes = own;
    try {
        const memory_limit limited(bytes);
        call();
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
    attempts current;
    std::stop_source stop;  // one for all its jobs: a child that was asked to stop gets no other one
    std::thread([&] {
        eventfd_t count;
        while (::eventfd_read(asked, &count) != 0) continue;
        {
            const std::lock_guard lock(mutex);
            for (attempt* a : current)
                if (a->deadline && clock::now() + std::chrono::milliseconds(100) >= *a->deadline) a->timed_out = true;
        }
        stop.request_stop();
    }).detach();

    worker_socket worker(socket);
    for (json in; worker.receive(in);) {
        std::deque<attempt> jobs;
        std::deque<job_reports> told;
        std::vector<attempt*> of;
        for (const json& packed : in.at("jobs")) {
            attempt& a = jobs.emplace_back();
            a.job = unpack_job(packed.at("job"));
            a.fetched_at = clock::now();
            a.stop = stop;
            if (packed.contains("microseconds")) a.deadline = a.fetched_at + std::chrono::microseconds(packed["microseconds"].get<std::int64_t>());
            a.to = &told.emplace_back(worker, of.size());
            of.push_back(&a);
        }
        {
            const std::lock_guard lock(mutex);
            current = of;
        }
        const std::vector<ended> ends = run_handler(known, of, [&](const std::function<void()>& call) { call_limited(of, call); });
        {
            const std::lock_guard lock(mutex);
            current = {};
        }
        std::cout.flush();
        std::fflush(nullptr);
        json end = json::array();
        for (const ended& e : ends) end.push_back(pack(e.what));
        worker.send({{"end", std::move(end)}});
    }
}

}  // namespace chancy::detail
