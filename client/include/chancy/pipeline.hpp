// chancy::detail::pipeline: many calls in flight on one connection, without waiting anywhere. What future_client and
// async_client share; each of them waits for the socket in its own way, and calls step().
// Each call is a transaction of its own (a sync follows it), answered in order; calls are sent in the order of submit().
// Not for applications. Threads: one at a time.
#pragma once

#include <chancy/call.hpp>
#include <chancy/error.hpp>
#include <chancy/event.hpp>
#include <chancy/retry.hpp>

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace chancy {

struct async_options {
    retry_policy retry{};
    std::chrono::milliseconds timeout{0};               // the server's silence while it owes an answer; 0 waits for ever
    std::chrono::milliseconds connect_timeout{10'000};  // for each host; connect_timeout in the conninfo wins
    int max_in_flight = 128;                            // sent and not answered; further calls wait their turn
};

namespace detail {

struct host_list;
class prepared;

// A call that a pipeline has taken over. One of the two is called, once, from within a function of the pipeline, which it must
// not call back.
class pending {
public:
    explicit pending(statement what) : m_what(std::move(what)) {}
    virtual ~pending() = default;
    pending(const pending&) = delete;
    pending& operator=(const pending&) = delete;

protected:
    virtual void done(result&& rows) noexcept = 0;
    virtual void failed(const error& why) noexcept = 0;

private:
    friend class pipeline;
    using time = std::chrono::steady_clock::time_point;

    statement m_what;
    enum class stage { waiting, sent, finished } m_stage = stage::waiting;
    bool m_doubt = false;             // an earlier try may have been committed
    bool m_named = false;             // was sent as the name of a prepared statement
    std::optional<backoff> m_backoff{};  // once it is tried again
    time m_give_up{}, m_due{};
};

class pipeline {
public:
    using time = std::chrono::steady_clock::time_point;

    // What step() waits for. Another generation is another socket, even if its number is the same.
    struct interest {
        int socket = -1;
        unsigned generation = 0;
        bool read = false, write = false;
        std::optional<time> until{};
    };

    // listens: reads while no call is in flight, and hands on what it hears.
    pipeline(std::string conninfo, async_options options, bool listens = false);
    ~pipeline();  // calls that are left are neither done nor failed: close() before
    pipeline(const pipeline&) = delete;
    pipeline& operator=(const pipeline&) = delete;

    void submit(std::shared_ptr<pending> call);  // then step()
    // The call fails, in doubt if it was sent, and its answer will be thrown away. false: it has ended, or it was sent and
    // if_sent forbids.
    bool cancel(pending& call, bool if_sent);
    // All that can be done now. The flags: what the socket, as told last, is ready for.
    interest step(bool readable, bool writable);
    void close(const char* why);  // every call fails, the connection ends

    [[nodiscard]] std::size_t outstanding() const noexcept { return m_outstanding; }
    // For one that listens; called as a pending's functions are.
    std::function<void(std::vector<event>&&)> on_events{};
    std::function<void(const error& why)> on_lost{};

private:
    void connect(time now);
    void go_on_connecting(time now);
    void next_host(time now);
    void not_connected(const error& why, time now);
    void receive(time now);
    void answered(time now);
    void send(time now);
    void not_sent(time now);
    void lost(error why, time now);
    bool try_again(pending& call, time now, std::chrono::milliseconds pause);
    void fail(pending& call, const error& why);
    void drop() noexcept;
    [[nodiscard]] interest wants() const;

    const std::string m_conninfo;
    const async_options m_options;
    const bool m_listens;
    PGconn* m_connection = nullptr;
    enum class stage { none, connecting, ready } m_stage = stage::none;
    bool m_was_ready = false;  // ever
    const std::unique_ptr<prepared> m_prepared;  // at the connection
    std::unique_ptr<host_list> m_hosts;  // in another order than the conninfo's, after one of them kept silent
    std::string m_host;                  // that is tried
    std::chrono::milliseconds m_host_limit{};
    bool m_poll_for_read = false;
    unsigned m_generation = 0;
    backoff m_backoff;
    time m_connect_at{}, m_connect_until{}, m_head_since{};

    std::deque<std::shared_ptr<pending>> m_waiting, m_sent;
    std::vector<std::shared_ptr<pending>> m_resting;  // to be tried again later
    std::size_t m_outstanding = 0;
    std::size_t m_unflushed = 0;  // bytes that libpq may hold
    std::unique_ptr<PGresult, void (*)(PGresult*)> m_head;  // the head's answer so far
};

}  // namespace detail
}  // namespace chancy
