#include <chancy/future.hpp>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace chancy {
namespace detail {

using clock = std::chrono::steady_clock;

struct promising::state {
    state(std::string conninfo, async_options options, std::size_t limit)
        : max_unanswered(std::max<std::size_t>(limit, 1)), calls(std::move(conninfo), std::move(options)), wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
          thread([this] { run(); }) {}
    ~state() {
        {
            const std::lock_guard lock(mutex);
            stop = true;
        }
        ::eventfd_write(wake, 1);
        thread.join();
        ::close(wake);
    }

    void run() {
        bool readable = false, writable = false;
        for (;;) {
            std::vector<std::shared_ptr<pending>> taken;
            {
                const std::lock_guard lock(mutex);
                if (stop) break;
                taken.swap(inbox);
                in_pipeline += taken.size();
                asleep = false;
            }
            for (auto& call : taken) calls.submit(std::move(call));
            const pipeline::interest want = calls.step(readable, writable);
            {
                const std::lock_guard lock(mutex);
                in_pipeline = calls.outstanding();
                asleep = inbox.empty() && !stop;
                changed.notify_all();
                if (!asleep) {
                    readable = writable = false;
                    continue;
                }
            }
            pollfd p[] = {{wake, POLLIN, 0}, {want.socket, static_cast<short>((want.read ? POLLIN : 0) | (want.write ? POLLOUT : 0)), 0}};
            if (!want.read && !want.write) p[1].fd = -1;
            int left = -1;
            if (want.until) left = static_cast<int>(std::clamp<long long>(std::chrono::ceil<std::chrono::milliseconds>(*want.until - clock::now()).count(), 0, 1'000'000));
            if (::poll(p, 2, left) <= 0) p[0].revents = p[1].revents = 0;
            if (p[0].revents != 0) {
                eventfd_t count;
                ::eventfd_read(wake, &count);
            }
            readable = want.read && (p[1].revents & ~POLLOUT) != 0;  // an error is read, or written into
            writable = want.write && (p[1].revents & ~POLLIN) != 0;
        }
        for (auto& call : inbox) calls.submit(std::move(call));
        calls.close("the client was destroyed before the answer");
    }

    const std::size_t max_unanswered;
    pipeline calls;  // the thread's
    const int wake;  // an eventfd

    std::mutex mutex;
    std::condition_variable changed;
    std::vector<std::shared_ptr<pending>> inbox;
    std::size_t in_pipeline = 0;
    bool asleep = false, stop = false;

    std::thread thread;
};

promising::promising(std::string conninfo, async_options options, std::size_t max_unanswered)
    : m_state(new state(std::move(conninfo), std::move(options), max_unanswered)) {}
promising::promising(promising&&) noexcept = default;
promising& promising::operator=(promising&&) noexcept = default;
promising::~promising() = default;

void promising::take(std::shared_ptr<pending> call) {
    std::unique_lock lock(m_state->mutex);
    m_state->changed.wait(lock, [&] { return m_state->inbox.size() + m_state->in_pipeline < m_state->max_unanswered; });
    m_state->inbox.push_back(std::move(call));
    const bool wake = std::exchange(m_state->asleep, false);
    lock.unlock();
    if (wake) ::eventfd_write(m_state->wake, 1);
}

}  // namespace detail

void future_client::finish() {
    std::unique_lock lock(m_state->mutex);
    m_state->changed.wait(lock, [&] { return m_state->inbox.empty() && m_state->in_pipeline == 0; });
}

}  // namespace chancy
