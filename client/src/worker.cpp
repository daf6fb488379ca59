#include <chancy/error.hpp>
#include <chancy/worker.hpp>

#include "flow.hpp"
#include "pulse.hpp"

#include <algorithm>
#include <cstdio>
#include <random>
#include <stdexcept>

#include <csignal>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <poll.h>
#include <unistd.h>

namespace chancy {

struct worker::state {
    std::shared_ptr<detail::shared> shared = std::make_shared<detail::shared>();
    std::mutex mutex;
    int stops = 0;
    std::vector<std::shared_ptr<detail::flow>> flows;
};

namespace {

std::string new_worker_id() {
    char host[256] = "localhost";
    ::gethostname(host, sizeof host - 1);
    char random[16];
    std::snprintf(random, sizeof random, "%08x", std::random_device{}());
    return std::string(host) + ':' + std::to_string(::getpid()) + ':' + random;
}

void log_to_stderr(log_level level, const std::string& text) {
    static const char* const names[] = {"debug", "info", "warning", "error"};
    if (level >= log_level::info) std::fprintf(stderr, "chancy: %s: %s\n", names[static_cast<int>(level)], text.c_str());
}

}  // namespace

worker::worker(worker_options options) : m_state(std::make_shared<state>()) {
    const auto refuse = [](const char* what) { throw error(what, {.sqlstate = "22023", .function = "worker"}); };
    if (options.queues.empty()) refuse("a worker needs at least one queue");
    if (options.concurrency < 0) refuse("concurrency must not be negative");
    if (options.poll_interval.count() < 0 || options.heartbeat_interval.count() <= 0 || options.heartbeat_timeout.count() <= 0)
        refuse("intervals must be positive");
    if (options.maintain_interval.count() < 0) refuse("maintain_interval must not be negative");
    std::ranges::sort(options.queues);
    options.queues.erase(std::unique(options.queues.begin(), options.queues.end()), options.queues.end());
    if (options.worker_id.empty()) options.worker_id = new_worker_id();
    if (!options.log) options.log = log_to_stderr;
    m_state->shared->options = std::move(options);
}

worker::~worker() = default;

worker& worker::add(const std::string& func, handler run) {
    m_state->shared->known[func] = std::move(run);
    return *this;
}

const std::string& worker::id() const noexcept { return m_state->shared->options.worker_id; }

void worker::run() {
    std::vector<std::shared_ptr<detail::flow>> flows;
    for (const std::string& queue : m_state->shared->options.queues)
        flows.push_back(std::make_shared<detail::flow>(queue, m_state->shared));
    {
        const std::lock_guard lock(m_state->mutex);
        m_state->flows = flows;
        for (int i = 0; i < m_state->stops; ++i)
            for (const auto& f : flows) f->stop();
    }
    detail::pulse pulse(m_state->shared, flows);
    pulse.start();
    for (const auto& f : flows) f->start();
    for (const auto& f : flows) f->join();
    pulse.stop();
    const std::lock_guard lock(m_state->mutex);
    m_state->flows.clear();
    m_state->stops = 0;
}

void worker::stop() noexcept {
    const std::lock_guard lock(m_state->mutex);
    ++m_state->stops;
    for (const auto& f : m_state->flows) f->stop();
}

stop_on_signals::stop_on_signals(std::function<void()> stop) : m_end(::eventfd(0, EFD_CLOEXEC)) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
    m_thread = std::thread([set, stop = std::move(stop), end = m_end] {
        const int signals = ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        auto last = std::chrono::steady_clock::time_point();
        for (;;) {
            pollfd p[] = {{signals, POLLIN, 0}, {end, POLLIN, 0}};
            if (::poll(p, 2, -1) < 0) continue;
            if (p[1].revents != 0) break;
            signalfd_siginfo what;
            while (::read(signals, &what, sizeof what) == sizeof what) {
                // A terminal's Ctrl-C, and timeout(1), signal process and group: one wish, told twice.
                const auto now = std::chrono::steady_clock::now();
                if (now - last > std::chrono::milliseconds(500)) stop();
                last = now;
            }
        }
        ::close(signals);
    });
}

stop_on_signals::~stop_on_signals() {
    ::eventfd_write(m_end, 1);
    m_thread.join();
    ::close(m_end);
}

}  // namespace chancy
