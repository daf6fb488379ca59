// chancy::async_client: the calls as C++20 coroutines over asio; many calls are in flight on one connection.
//
//     asio::awaitable<void> greet(chancy::async_client& db) {
//         chancy::new_job wanted{.func = "hello", .kwargs = {{"name", "world"}}};
//         chancy::uuid id = co_await db.push(wanted);
//         std::cout << to_string((co_await db.get_job(id))->state) << '\n';
//     }
//     asio::io_context io;
//     chancy::async_client db(io);                       // PGHOST, PGDATABASE, … as psql reads them
//     asio::co_spawn(io, greet(db), asio::detached);
//     io.run();
//
// A call begins when it is awaited; its arguments are read before. For more in flight, more coroutines: options.max_in_flight are
// sent, the others wait their turn. Each call is a transaction of its own, and an error of one is nothing to the others. Calls are
// sent in the order in which they began. Repeated, or reported as in doubt, by client's rules (client.hpp); what is repeated may
// come after later calls: where the order matters, await the answer.
// Nothing blocks, but that libpq looks up host names with getaddrinfo: give hostaddr, where that takes long. Connects with the
// first call. An idle client does not keep io.run() from returning. PgBouncer in transaction mode will do.
// Cancelling (operator ||, a slot of one's own) ends the wait with chancy::error 57014: a call that was sent is in doubt then.
// Needs asio (Debian: libasio-dev), link chancy::async. Threads: any, also several at once; the executor has to outlive the client.
#pragma once

#include <chancy/asio.hpp>
#include <chancy/calls.hpp>

#include <asio/execution_context.hpp>

#include <memory>
#include <string>
#include <type_traits>

namespace chancy {

namespace detail {

class awaiting {
protected:
    explicit awaiting(std::shared_ptr<asio_pipeline> on) : m_calls(std::move(on)) {}
    awaiting(awaiting&&) noexcept = default;
    awaiting& operator=(awaiting&& other) noexcept {
        std::swap(m_calls, other.m_calls);
        return *this;
    }
    ~awaiting() {
        if (m_calls) m_calls->close();
    }

    template <class T> using answer = asio::awaitable<T>;
    template <class T> asio::awaitable<T> make(call<T> wanted) { return ask_and_read(m_calls, std::move(wanted)); }

    std::shared_ptr<asio_pipeline> m_calls;
};

}  // namespace detail

class async_client : public calls_of<detail::awaiting> {
public:
    // conninfo by libpq's rules.
    explicit async_client(const asio::any_io_executor& on, std::string conninfo = "", async_options options = {})
        : calls_of<detail::awaiting>(std::make_shared<detail::asio_pipeline>(on, std::move(conninfo), std::move(options))) {}
    template <class Context>
        requires std::is_base_of_v<asio::execution_context, Context>
    explicit async_client(Context& on, std::string conninfo = "", async_options options = {})
        : async_client(asio::any_io_executor(on.get_executor()), std::move(conninfo), std::move(options)) {}
    async_client(async_client&&) noexcept = default;
    async_client& operator=(async_client&&) noexcept = default;
    // Does not wait: calls without an answer fail with 57014, in doubt if they were sent.
    ~async_client() = default;

#if defined(__GNUC__) && !defined(__clang__) && (__GNUC__ < 12 || (__GNUC__ == 12 && __GNUC_MINOR__ < 3))
    // g++ before 12.3 copies a { … } within co_await bit by bit (its bug 99576), which corrupts memory: with it, a job needs a name.
    using calls_of<detail::awaiting>::push, calls_of<detail::awaiting>::declare_queue, calls_of<detail::awaiting>::list_jobs,
        calls_of<detail::awaiting>::metric_points;
    asio::awaitable<uuid> push(new_job&&) = delete;
    asio::awaitable<queue> declare_queue(queue&&, bool = false) = delete;
    asio::awaitable<std::vector<job>> list_jobs(job_filter&&) = delete;
    asio::awaitable<std::vector<metric_point>> metric_points(metric_filter&&) = delete;
#endif

protected:
    explicit async_client(std::shared_ptr<detail::asio_pipeline> on) : calls_of<detail::awaiting>(std::move(on)) {}
};

}  // namespace chancy
