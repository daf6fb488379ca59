#include <chancy/error.hpp>
#include <chancy/worker.hpp>

#include "child.hpp"
#include "fleet.hpp"
#include "nursery.hpp"
#include "pulse.hpp"
#include "watchdog.hpp"

#include <algorithm>
#include <cstdio>
#include <random>
#include <stdexcept>

#include <csignal>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/utsname.h>
#include <poll.h>
#include <unistd.h>

namespace chancy {

struct worker::state {
    std::shared_ptr<detail::shared> shared = std::make_shared<detail::shared>();
    std::mutex mutex;
    int stops = 0;
    std::shared_ptr<detail::fleet> fleet;  // while it runs
    std::string gave_up;                   // why, if it stopped by itself
};

namespace {

std::string new_worker_id() {
    char host[256] = "localhost";
    ::gethostname(host, sizeof host - 1);
    char random[16];
    std::snprintf(random, sizeof random, "%08x", std::random_device{}());
    return std::string(host) + ':' + std::to_string(::getpid()) + ':' + random;
}

std::vector<std::string> tags_of(const worker_options& o) {
    utsname host{};
    ::uname(&host);
    std::vector<std::string> tags{"*", std::string("hostname=") + host.nodename, "worker_id=" + o.worker_id,
                                  std::string("os=") + host.sysname, std::string("arch=") + host.machine};
    tags.insert(tags.end(), o.tags.begin(), o.tags.end());
    return tags;
}

void log_to_stderr(log_level level, const std::string& text) {
    static const char* const names[] = {"debug", "info", "warning", "error"};
    if (level >= log_level::info) std::fprintf(stderr, "chancy: %s: %s\n", names[static_cast<int>(level)], text.c_str());
}

}  // namespace

worker::worker(worker_options options) : m_state(std::make_shared<state>()) {
    const auto refuse = [](const char* what) { throw error(what, {.sqlstate = "22023", .function = "worker"}); };
    if (options.concurrency < 0) refuse("concurrency must not be negative");
    for (const auto& [name, own] : options.by_queue)
        if (own.concurrency < 0) refuse("concurrency must not be negative");
    if (options.poll_interval.count() < 0 || options.heartbeat_interval.count() <= 0 || options.heartbeat_timeout.count() <= 0)
        refuse("intervals must be positive");
    if (options.maintain_interval.count() < 0) refuse("maintain_interval must not be negative");
    std::ranges::sort(options.queues);
    options.queues.erase(std::unique(options.queues.begin(), options.queues.end()), options.queues.end());
    if (options.worker_id.empty()) options.worker_id = new_worker_id();
    if (!options.log) options.log = log_to_stderr;
    m_state->shared->tags = tags_of(options);
    m_state->shared->options = std::move(options);
}

worker::~worker() = default;

worker& worker::add(const std::string& func, handler run) {
    m_state->shared->known[func] = {.one = std::move(run)};
    return *this;
}

worker& worker::on_batch(const std::string& func, batch_options how, batch_handler run) {
    const auto refuse = [](const char* what) { throw error(what, {.sqlstate = "22023", .function = "on_batch"}); };
    if (how.up_to < 1 || how.up_to > 1000) refuse("up_to must be 1 to 1000");
    if (how.wait.count() < 0 || how.wait > std::chrono::seconds(10)) refuse("wait must be 0 to 10 s");
    m_state->shared->known[func] = {.many = std::move(run), .up_to = static_cast<std::size_t>(how.up_to), .wait = how.wait};
    return *this;
}

const std::string& worker::id() const noexcept { return m_state->shared->options.worker_id; }

worker& worker::use(std::shared_ptr<middleware> around) {
    m_state->shared->around.push_back(std::move(around));
    return *this;
}

worker& worker::fork_children() {
    if (m_state->shared->children) return *this;
    const int threads = detail::thread_count();
    if (threads > 2)  // this one, and stop_on_signals'
        m_state->shared->log(log_level::warning, "children are forked while " + std::to_string(threads) +
                                                     " threads run, and may miss what those hold: call fork_children() before they start");
    m_state->shared->children = std::make_shared<detail::nursery>(
        [known = &m_state->shared->known](int socket) { detail::serve_child(socket, *known); });
    return *this;
}

void worker::run() {
    const std::shared_ptr<detail::shared> shared = m_state->shared;
    if (!shared->dog) shared->dog = std::make_shared<detail::watchdog>();
    const auto may_fork = [](executor e) { return e != executor::threads; };
    const worker_options& o = shared->options;
    if (may_fork(o.run_on) || std::ranges::any_of(o.by_queue, [&](const auto& own) { return own.second.run_on && may_fork(*own.second.run_on); }))
        fork_children();
    shared->give_up = [state = m_state.get(), this](const std::string& why) {
        {
            const std::lock_guard lock(state->mutex);
            if (!state->gave_up.empty()) return;
            state->gave_up = why;
        }
        stop();
    };
    const auto fleet = std::make_shared<detail::fleet>(shared);
    {
        const std::lock_guard lock(m_state->mutex);
        m_state->fleet = fleet;
        for (int i = 0; i < m_state->stops; ++i) fleet->stop();
    }
    detail::pulse pulse(shared, *fleet);
    pulse.start();
    fleet->join();
    if (shared->children) shared->children->end_all();
    pulse.stop();
    const std::lock_guard lock(m_state->mutex);
    shared->children.reset();
    m_state->fleet.reset();
    m_state->stops = 0;
    if (!m_state->gave_up.empty())
        throw error(std::exchange(m_state->gave_up, {}), {.sqlstate = "58000", .function = "worker", .hint = "Start the worker again."});
}

void worker::stop() noexcept {
    const std::lock_guard lock(m_state->mutex);
    ++m_state->stops;
    if (m_state->fleet) m_state->fleet->stop();
}

bool worker::ready() const noexcept {
    const std::lock_guard lock(m_state->mutex);
    return m_state->stops == 0 && *m_state->shared->announced;
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
