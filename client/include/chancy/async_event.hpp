// chancy::async_listener: an async_client that also hears what happens in the queue, and waits for jobs.
//
//     chancy::async_listener ear(io);
//     chancy::uuid id = co_await ear.push(wanted);
//     std::optional<chancy::job> done = co_await ear.wait_for_job(id, 1min);     // nullopt: no such job
//     for (auto& e : co_await ear.wait(5s)) std::cout << e.type() << '\n';
//
// Any number of coroutines may wait for jobs at once: they share two calls in a batch when they begin, and a slow look, from 1 s
// to 30 s, beside the events. Events are hints, as in event.hpp; LISTEN needs a direct connection.
// Threads: as async_client. wait() is for one coroutine at a time.
#pragma once

#include <chancy/async.hpp>
#include <chancy/event.hpp>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/redirect_error.hpp>

#include <algorithm>
#include <deque>
#include <map>
#include <set>

namespace chancy {

namespace detail {

class ear : public std::enable_shared_from_this<ear> {
public:
    using clock = std::chrono::steady_clock;

    explicit ear(std::shared_ptr<asio_pipeline> on) : m_on(std::move(on)), m_heard_bell(m_on->executor()), m_look_bell(m_on->executor()) {}

    // Before the first call.
    void attach() {
        m_on->calls().on_events = [self = weak_from_this()](std::vector<event>&& events) {
            if (const auto alive = self.lock()) alive->hear(std::move(events));
        };
        m_on->calls().on_lost = [self = weak_from_this()](const error& why) {
            if (const auto alive = self.lock()) alive->lost(why);
        };
    }

    // The connection is closed already.
    void close() {
        asio::dispatch(m_on->executor(), [self = shared_from_this()] {
            self->m_closed = true;
            self->fail(error("the client was destroyed before the answer", {.sqlstate = "57014", .function = "wait"}));
        });
    }

    // All that follows runs in the strand.

    static asio::awaitable<std::vector<event>> wait(std::shared_ptr<ear> self, std::chrono::milliseconds timeout) {
        const auto until = clock::now() + timeout;
        self->m_collect = true;
        if (!self->m_listening) co_await listen(self);
        while (self->m_heard.empty() && !self->m_lost && !self->m_closed && clock::now() < until) co_await sleep(self->m_heard_bell, until);
        if (self->m_lost) throw *std::exchange(self->m_lost, {});
        co_return std::exchange(self->m_heard, {});
    }

    static asio::awaitable<std::optional<job>> wait_for_job(std::shared_ptr<ear> self, uuid id, std::chrono::milliseconds timeout) {
        const auto until = clock::now() + timeout;
        waiter mine(*self, id);
        attend_if_nobody_does(self);
        while (!mine.answered && clock::now() < until) co_await sleep(mine.bell, until);
        if (mine.problem) throw *mine.problem;
        if (mine.answered) co_return std::move(mine.found);
        call<std::optional<job>> look = describe::get_job(id);
        co_return co_await ask_and_read(self->m_on, std::move(look));  // as it is now
    }

    static asio::awaitable<std::vector<job>> wait_for_jobs(std::shared_ptr<ear> self, std::vector<uuid> ids, std::chrono::milliseconds timeout) {
        const auto until = clock::now() + timeout;
        std::deque<waiter> all;
        for (const uuid& id : std::set<uuid>(ids.begin(), ids.end())) all.emplace_back(*self, id);
        attend_if_nobody_does(self);
        std::map<uuid, job> found;
        std::vector<uuid> open;
        for (waiter& one : all) {
            while (!one.answered && clock::now() < until) co_await sleep(one.bell, until);
            if (one.problem) throw *one.problem;
            if (!one.answered) open.push_back(one.id);
            else if (one.found) found.emplace(one.id, std::move(*one.found));
        }
        while (!open.empty()) {  // as they are now
            const auto end = open.end(), begin = end - std::min<std::ptrdiff_t>(1000, end - open.begin());
            call<std::vector<job>> look = describe::get_jobs(std::span(begin, end));
            for (job& j : co_await ask_and_read(self->m_on, std::move(look))) found.emplace(j.id, std::move(j));
            open.erase(begin, end);
        }
        std::vector<job> out;
        for (const uuid& id : ids)
            if (const auto j = found.find(id); j != found.end()) out.push_back(j->second);
        co_return out;
    }

private:
    struct waiter {
        waiter(ear& of, const uuid& job_id) : owner(of), id(job_id), bell(of.m_on->executor()) {
            owner.m_waiters.emplace(id, this);
            if (owner.m_looks.try_emplace(id).second) owner.m_now.insert(id);
        }
        ~waiter() {
            const auto [first, last] = owner.m_waiters.equal_range(id);
            for (auto i = first; i != last; ++i)
                if (i->second == this) {
                    owner.m_waiters.erase(i);
                    break;
                }
            if (!owner.m_waiters.contains(id)) owner.m_looks.erase(id);
        }
        waiter(const waiter&) = delete;
        waiter& operator=(const waiter&) = delete;

        ear& owner;
        uuid id;
        asio::steady_timer bell;  // to be rung by cancel()
        bool answered = false;
        std::optional<job> found;
        std::optional<error> problem;
    };
    struct look {
        clock::time_point next{}, watched_until{};
        std::chrono::seconds pause{1};
    };

    static asio::awaitable<void> sleep(asio::steady_timer& bell, clock::time_point until) {
        asio::error_code rung;
        bell.expires_at(until);
        co_await bell.async_wait(asio::redirect_error(asio::use_awaitable, rung));
        const auto state = co_await asio::this_coro::cancellation_state;
        if (state.cancelled() != asio::cancellation_type::none) throw error("the wait was cancelled", {.sqlstate = "57014", .function = "wait"});
    }

    static asio::awaitable<void> listen(std::shared_ptr<ear> self) {
        for (unsigned losses; !self->m_listening; self->m_listening = losses == self->m_losses) {
            losses = self->m_losses;
            statement channel{"listen", "SELECT chancy.event_channel()"};
            const result channels = co_await ask(self->m_on, std::move(channel));
            for (int row = 0; row < channels.rows(); ++row) {
                std::string sql = "LISTEN \"";
                for (const char c : channels.text(row, 0)) sql += std::string(c == '"' ? 2 : 1, c);
                sql += '"';
                statement wanted{"listen", sql.c_str()};
                co_await ask(self->m_on, std::move(wanted));
            }
        }
    }

    static void attend_if_nobody_does(const std::shared_ptr<ear>& self) {
        if (!std::exchange(self->m_attended, true)) asio::co_spawn(self->m_on->executor(), attend(self), asio::detached);
        self->m_look_bell.cancel();
    }

    // Looks at the jobs that are waited for, as long as there are any.
    static asio::awaitable<void> attend(std::shared_ptr<ear> self) {
        try {
            while (!self->m_looks.empty()) {
                if (!self->m_listening) {
                    co_await listen(self);
                    for (const auto& [id, of] : self->m_looks) self->m_now.insert(id);  // nobody told meanwhile
                }
                const std::vector<uuid> batch = self->due();
                if (batch.empty()) {
                    co_await sleep(self->m_look_bell, self->m_next_scan);
                    continue;
                }
                call<void> watch = describe::watch_jobs(batch, std::chrono::seconds(60));
                call<std::vector<job>> look = describe::get_jobs(batch);
                co_await ask_and_read(self->m_on, std::move(watch));  // first ask, then look
                self->tell(batch, co_await ask_and_read(self->m_on, std::move(look)));
            }
        } catch (const error& e) {
            self->fail(e);
        }
        self->m_attended = false;
    }

    // Everybody who waits.
    void fail(const error& why) {
        for (const auto& [id, one] : m_waiters) {
            one->answered = true;
            one->problem = why;
            one->bell.cancel();
        }
        m_looks.clear();
        if (m_closed) m_lost = why;
        m_look_bell.cancel();
        m_heard_bell.cancel();
    }

    std::vector<uuid> due() {
        const auto now = clock::now();
        if (now >= m_next_scan) {
            for (const auto& [id, of] : m_looks)
                if (of.next <= now) m_now.insert(id);
            m_next_scan = now + std::chrono::seconds(1);
        }
        std::vector<uuid> out;
        while (!m_now.empty() && out.size() < 1000) {
            const uuid id = *m_now.begin();
            m_now.erase(m_now.begin());
            if (const auto found = m_looks.find(id); found != m_looks.end()) {
                found->second.next = now + found->second.pause;
                found->second.pause = std::min(2 * found->second.pause, std::chrono::seconds(30));
                out.push_back(id);
            }
        }
        return out;
    }

    void tell(const std::vector<uuid>& batch, std::vector<job> jobs) {
        std::map<uuid, job> found;
        for (job& j : jobs) found.emplace(j.id, std::move(j));
        for (const uuid& id : batch) {
            const auto j = found.find(id);
            if (j != found.end() && !j->second.finished()) continue;
            const auto [first, last] = m_waiters.equal_range(id);
            for (auto i = first; i != last; ++i) {
                i->second->answered = true;
                if (j != found.end()) i->second->found = j->second;
                i->second->bell.cancel();
            }
            m_looks.erase(id);
        }
    }

    void hear(std::vector<event>&& events) {
        for (event& e : events) {
            if (!m_looks.empty() && e.type() == "job.finished")
                if (const auto id = uuid::parse(e.body.value("j", "")); id && m_looks.contains(*id)) m_now.insert(*id);
            if (m_collect) m_heard.push_back(std::move(e));
        }
        if (m_heard.size() > 20'000) m_heard.erase(m_heard.begin(), m_heard.end() - 10'000);
        m_heard_bell.cancel();
        if (!m_now.empty()) m_look_bell.cancel();
    }

    void lost(const error& why) {
        ++m_losses;
        if (std::exchange(m_listening, false) && m_collect) m_lost = why;
        m_heard_bell.cancel();
        m_look_bell.cancel();
    }

    const std::shared_ptr<asio_pipeline> m_on;
    asio::steady_timer m_heard_bell, m_look_bell;
    std::vector<event> m_heard;  // the latest 10,000: hints that nobody fetched are dropped
    std::optional<error> m_lost;
    bool m_listening = false, m_collect = false, m_attended = false, m_closed = false;
    unsigned m_losses = 0;
    std::multimap<uuid, waiter*> m_waiters;
    std::map<uuid, look> m_looks;  // jobs that are waited for
    std::set<uuid> m_now;          // those to look at now
    clock::time_point m_next_scan{};
};

}  // namespace detail

class async_listener : public async_client {
public:
    explicit async_listener(const asio::any_io_executor& on, std::string conninfo = "", async_options options = {})
        : async_client(std::make_shared<detail::asio_pipeline>(on, std::move(conninfo), std::move(options), true)), m_ear(std::make_shared<detail::ear>(m_calls)) {
        m_ear->attach();
    }
    template <class Context>
        requires std::is_base_of_v<asio::execution_context, Context>
    explicit async_listener(Context& on, std::string conninfo = "", async_options options = {})
        : async_listener(asio::any_io_executor(on.get_executor()), std::move(conninfo), std::move(options)) {}

    async_listener(async_listener&&) noexcept = default;
    ~async_listener() {
        if (!m_ear) return;
        m_calls->close();
        m_ear->close();
    }

    // Events since the last time; waits for one until the timeout, then none. error (connection_lost) when the connection is gone:
    // look, since events were missed, and call again.
    [[nodiscard]] asio::awaitable<std::vector<event>> wait(std::chrono::milliseconds timeout) {
        return asio::co_spawn(m_calls->executor(), detail::ear::wait(m_ear, timeout), asio::use_awaitable);
    }
    // Waits until the job has finished, or the timeout: the job as it is then; nullopt if there is no such job.
    [[nodiscard]] asio::awaitable<std::optional<job>> wait_for_job(const uuid& id, std::chrono::milliseconds timeout) {
        return asio::co_spawn(m_calls->executor(), detail::ear::wait_for_job(m_ear, id, timeout), asio::use_awaitable);
    }
    // The same of many jobs, until all of them have finished: in the order of ids, missing ones left out.
    [[nodiscard]] asio::awaitable<std::vector<job>> wait_for_jobs(std::vector<uuid> ids, std::chrono::milliseconds timeout) {
        return asio::co_spawn(m_calls->executor(), detail::ear::wait_for_jobs(m_ear, std::move(ids), timeout), asio::use_awaitable);
    }

private:
    std::shared_ptr<detail::ear> m_ear;
};

}  // namespace chancy
