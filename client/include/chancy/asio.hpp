// How a pipeline waits under asio, and how a call becomes something to await. What async.hpp is built of; not for applications.
#pragma once

#include <chancy/pipeline.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/associated_cancellation_slot.hpp>
#include <asio/associated_executor.hpp>
#include <asio/async_result.hpp>
#include <asio/awaitable.hpp>
#include <asio/cancellation_type.hpp>
#include <asio/dispatch.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>
#include <asio/strand.hpp>
#include <asio/use_awaitable.hpp>

#include <exception>
#include <memory>
#include <type_traits>
#include <utility>

#include <fcntl.h>

namespace chancy::detail {

// A pipeline in a strand of its own. Lives as long as somebody waits for it, the kernel included.
class asio_pipeline : public std::enable_shared_from_this<asio_pipeline> {
public:
    asio_pipeline(const asio::any_io_executor& on, std::string conninfo, async_options options, bool listens = false)
        : m_strand(asio::make_strand(on)), m_socket(m_strand), m_timer(m_strand), m_calls(std::move(conninfo), std::move(options), listens) {}

    // From any thread.
    void submit(std::shared_ptr<pending> call) {
        asio::dispatch(m_strand, [self = shared_from_this(), call = std::move(call)]() mutable {
            if (self->m_closed) return self->refuse(std::move(call));
            self->m_calls.submit(std::move(call));
            self->soon();
        });
    }
    void cancel(std::weak_ptr<pending> call, bool if_sent) {
        asio::dispatch(m_strand, [self = shared_from_this(), call = std::move(call), if_sent] {
            if (const auto alive = call.lock(); alive && self->m_calls.cancel(*alive, if_sent)) self->soon();
        });
    }
    void close() {
        asio::dispatch(m_strand, [self = shared_from_this()] {
            self->m_closed = true;
            self->m_calls.close(destroyed);
            self->step(false, false);
        });
    }

    using strand = asio::strand<asio::any_io_executor>;
    [[nodiscard]] const strand& executor() const noexcept { return m_strand; }
    pipeline& calls() noexcept { return m_calls; }  // in the strand

private:
    static constexpr const char* destroyed = "the client was destroyed before the answer";

    void refuse(std::shared_ptr<pending> call) {
        m_calls.submit(std::move(call));
        m_calls.close(destroyed);
    }
    // Once for all that was submitted in one go: they share a packet.
    void soon() {
        if (std::exchange(m_soon, true)) return;
        asio::post(m_strand, [self = shared_from_this()] {
            self->m_soon = false;
            self->step(false, false);
        });
    }
    void step(bool readable, bool writable) {
        const pipeline::interest want = m_calls.step(readable, writable);
        if (want.generation != m_generation || (want.socket < 0) != !m_socket.is_open()) watch(want);
        if ((m_reading && !want.read) || (m_writing && !want.write)) forget_waits();
        wait(m_reading, want.read, asio::posix::stream_descriptor::wait_read);
        wait(m_writing, want.write, asio::posix::stream_descriptor::wait_write);
        if (want.until == m_until) return;
        m_until = want.until;
        m_timer.cancel();
        if (!m_until) return;
        m_timer.expires_at(*m_until);
        m_timer.async_wait([self = shared_from_this()](const asio::error_code& e) {
            if (e) return;
            self->m_until.reset();
            self->step(false, false);
        });
    }
    // A duplicate of the descriptor: libpq closes its own whenever it likes, and the number may be another socket's then.
    void watch(const pipeline::interest& want) {
        asio::error_code ignored;
        forget_waits();
        m_socket.close(ignored);
        m_generation = want.generation;
        if (want.socket >= 0) m_socket.assign(::fcntl(want.socket, F_DUPFD_CLOEXEC, 0), ignored);
    }
    // Whoever runs the executor is not to be kept by an idle connection.
    void forget_waits() {
        ++m_waits;
        m_reading = m_writing = false;
        asio::error_code ignored;
        m_socket.cancel(ignored);
    }
    void wait(bool& waiting, bool wanted, asio::posix::stream_descriptor::wait_type what) {
        if (!wanted || waiting || !m_socket.is_open()) return;
        waiting = true;
        m_socket.async_wait(what, [self = shared_from_this(), &waiting, what, wait = m_waits](const asio::error_code&) {
            if (wait != self->m_waits) return;  // of another socket, or forgotten
            waiting = false;
            self->step(what == asio::posix::stream_descriptor::wait_read, what == asio::posix::stream_descriptor::wait_write);
        });
    }

    strand m_strand;
    asio::posix::stream_descriptor m_socket;
    asio::steady_timer m_timer;
    pipeline m_calls;
    unsigned m_generation = 0, m_waits = 0;
    bool m_reading = false, m_writing = false, m_soon = false, m_closed = false;
    std::optional<pipeline::time> m_until;
};

template <class Handler>
class handled : public pending {
public:
    handled(statement what, Handler then, const asio::any_io_executor& otherwise)
        : pending(std::move(what)), m_then(std::move(then)), m_executor(asio::get_associated_executor(*m_then, otherwise)), m_work(m_executor) {}

private:
    void done(result&& rows) noexcept override { answer(nullptr, std::move(rows)); }
    void failed(const error& why) noexcept override { answer(std::make_exception_ptr(why), result(nullptr)); }
    void answer(std::exception_ptr problem, result&& rows) {
        Handler then = std::move(*m_then);
        m_then.reset();  // it may keep alive who holds us
        asio::post(m_executor, [then = std::move(then), problem, rows = std::move(rows)]() mutable { std::move(then)(problem, std::move(rows)); });
        m_work.reset();
    }

    std::optional<Handler> m_then;
    asio::associated_executor_t<Handler, asio::any_io_executor> m_executor;
    asio::executor_work_guard<asio::associated_executor_t<Handler, asio::any_io_executor>> m_work;
};

// Awaits the rows. A cancellation that forbids side effects is obeyed only while the call has not been sent.
inline asio::awaitable<result> ask(std::shared_ptr<asio_pipeline> on, statement what) {
    auto start = [&on](auto handler, statement wanted) {
        auto slot = asio::get_associated_cancellation_slot(handler);
        auto call = std::make_shared<handled<decltype(handler)>>(std::move(wanted), std::move(handler), on->executor());
        if (slot.is_connected())
            slot.assign([on = std::weak_ptr(on), call = std::weak_ptr<pending>(call)](asio::cancellation_type type) {
                const auto if_sent = asio::cancellation_type::terminal | asio::cancellation_type::partial;
                if (const auto alive = on.lock()) alive->cancel(call, (type & if_sent) != asio::cancellation_type::none);
            });
        on->submit(std::move(call));
    };
    co_return co_await asio::async_initiate<const asio::use_awaitable_t<>, void(std::exception_ptr, result)>(start, asio::use_awaitable, std::move(what));
}

template <class T>
asio::awaitable<T> ask_and_read(std::shared_ptr<asio_pipeline> on, call<T> wanted) {
    const result rows = co_await ask(std::move(on), std::move(wanted.what));
    co_return wanted.read(rows);
}

}  // namespace chancy::detail
