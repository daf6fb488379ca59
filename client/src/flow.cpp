#include "flow.hpp"

#include <algorithm>
#include <cmath>

namespace chancy::detail {
namespace {

using namespace std::chrono_literals;

constexpr int batch_limit = 1000;
constexpr std::size_t bytes_limit = 64u << 20;  // of results in memory: above it nothing is fetched
constexpr auto linger = 3ms;                    // a result waits so long for company
constexpr auto soon = 50ms;                     // jobs are fetched ahead for so much time
constexpr auto stale_ready = 1s;                // a job that waited here so long is given back
constexpr auto last_words = 6s;                 // for handlers that were asked to stop, and then for the last results

attempt_name name_of(const attempt& a) { return {a.job.id, *a.job.started_at}; }

}  // namespace

void flow::start(const queue& row, const placement& where) {
    m_largest_batch = batch_limit;
    double calls = 0;
    for (const auto& [func, run] : m_shared->known) calls += 1.0 / static_cast<double>(run.up_to);
    mix(calls, m_shared->known.size());
    configure(row, where);
    m_flow_thread = std::thread([self = shared_from_this()] { self->flow_thread(); });
}

void flow::configure(const queue& row, const placement& where) {
    const worker_options& o = m_shared->options;
    {
        const std::lock_guard lock(m_mutex);
        if (m_done) return;
        staff(row);
        m_placements += where != m_where;
        m_where = where;
        const auto now = clock::now();
        m_poll = o.poll_interval.count() > 0 ? o.poll_interval : std::chrono::seconds(row.polling_interval);
        m_eager = row.eager_polling;
        m_shared_slots = row.max_running || row.max_running_per_key;
        m_resumes = {};
        if (row.state == "paused" && row.resume_at && *row.resume_at > chancy::now())
            m_resumes = now + std::min<std::chrono::microseconds>(*row.resume_at - chancy::now(), 24h) + 1ms;
        m_next_look = std::min(m_next_look, now + m_poll);
        m_more = true;
    }
    m_work.notify_all();
    m_attention.notify_one();
}

void flow::join() {
    m_flow_thread.join();
    std::vector<std::thread::id> stuck;
    {
        const std::lock_guard lock(m_mutex);
        m_done = true;
        for (const auto& a : m_running) stuck.push_back(a->runner);
    }
    m_work.notify_all();
    for (const auto& s : m_slots) {
        if (!s->thread.joinable()) continue;
        // A thread cannot be ended from outside; what it still uses, it owns a share of.
        if (std::ranges::find(stuck, s->thread.get_id()) != stuck.end()) s->thread.detach();
        else s->thread.join();
    }
}

void flow::wake() {
    {
        const std::lock_guard lock(m_mutex);
        m_more = true;
    }
    m_attention.notify_one();
}

void flow::set_alive(bool alive) {
    std::vector<std::stop_source> ask;
    {
        const std::lock_guard lock(m_mutex);
        m_alive = alive;
        if (!alive) {
            release_ready();
            for (const auto& a : m_running) ask.push_back(a->stop);
        }
    }
    for (auto& s : ask) s.request_stop();  // unlocked: callbacks of the handler's own run here
    m_work.notify_all();
    m_attention.notify_one();
}

void flow::stop() {
    {
        const std::lock_guard lock(m_mutex);
        const auto now = clock::now();
        if (m_stage == stage::working) {
            m_stage = stage::draining;
            m_stage_ends = now + m_shared->options.grace;
        } else {
            m_stage_ends = now;
        }
    }
    m_attention.notify_one();
}

void flow::drop(const attempt_name& which) {
    std::vector<std::stop_source> ask;
    {
        const std::lock_guard lock(m_mutex);
        const auto is = [&](const auto& a) { return name_of(*a) == which; };
        std::erase_if(m_ready, is);
        for (const auto& a : m_running)
            if (is(a)) {
                a->dropped = true;
                ask.push_back(a->stop);
            }
    }
    for (auto& s : ask) s.request_stop();
}

std::vector<attempt_name> flow::in_hand() const {
    const std::lock_guard lock(m_mutex);
    std::vector<attempt_name> out;
    for (const auto& a : m_ready) out.push_back(name_of(*a));
    for (const auto& a : m_running) out.push_back(name_of(*a));
    return out;
}

void flow::add_result(result r) {
    if (m_results.empty()) m_oldest_result = clock::now();
    m_result_bytes += r.bytes;
    m_results.push_back(std::move(r));
}

void flow::release_ready() {
    for (const auto& a : m_ready) add_result({.what = release(a->job)});
    m_ready.clear();
}

int flow::prefetch() const {
    if (m_seconds_a_call < 0 || m_shared_slots) return 0;
    const double calls = std::floor(m_concurrency * std::chrono::duration<double>(soon).count() / std::max(m_seconds_a_call, 1e-6));
    return static_cast<int>(std::min<double>(calls * m_jobs_a_call, 2 * batch_limit));
}

// When the guess that the ready jobs would start soon proves wrong. One that gathers may stand before one that does not.
clock::time_point flow::stale_at() const {
    auto at = clock::time_point::max();
    for (const auto& a : m_ready) at = std::min(at, a->fetched_at + a->gathers + stale_ready);
    return at;
}

void flow::mix(double calls, std::size_t jobs) {
    if (jobs > 0) m_jobs_a_call = std::max(1, static_cast<int>(static_cast<double>(jobs) / calls + 1e-6));
}

int flow::room() const {
    if (m_stage != stage::working || !m_alive || m_concurrency == 0 || m_result_bytes > bytes_limit) return 0;
    const int at_hand = static_cast<int>(m_ready.size() + m_running.size());
    const int unwritten_results = static_cast<int>(m_results.size() + m_locked.size() + m_held.size());
    const int at_once = m_concurrency * m_jobs_a_call;
    return std::max(0, std::min({batch_limit, at_once + prefetch() - at_hand, at_once + 3 * batch_limit - at_hand - unwritten_results}));
}

// What is ready while a handler's thread is free waits for company: it is no store.
bool flow::buffer_low() const {
    return 2 * static_cast<int>(m_ready.size()) <= prefetch() || (m_jobs_a_call > 1 && m_calls < m_concurrency);
}

bool flow::results_due(clock::time_point now) const {
    if (m_results.empty()) return false;
    return (m_ready.empty() && m_running.empty()) || m_results.size() >= batch_limit / 2 || m_result_bytes > bytes_limit / 8 ||
           now - m_oldest_result >= linger;
}

bool flow::advance_stage(clock::time_point now, std::vector<std::stop_source>& ask) {
    if (m_stage == stage::working) return false;
    release_ready();
    if (m_stage == stage::draining && now >= m_stage_ends) {
        m_stage = stage::ending;
        m_stage_ends = now + last_words;
        for (const auto& a : m_running) ask.push_back(a->stop);
    }
    if (m_stage == stage::ending && now >= m_stage_ends) {
        for (const auto& a : m_running)
            if (!a->dropped) {
                a->dropped = true;
                m_shared->log(log_level::warning, m_queue + ": job " + a->job.id.to_string() + " (" + a->job.func +
                                                      ") does not stop; it is released, and may run elsewhere");
                add_result({.what = release(a->job)});
            }
        const auto left = m_results.size() + m_locked.size() + m_held.size();
        if (left == 0) return true;
        if (now < m_stage_ends + last_words) return false;
        m_shared->log(log_level::error, m_queue + ": " + std::to_string(left) +
                                            " results could not be written; their jobs will run again");
        return true;
    }
    return m_running.empty() && m_results.empty() && m_locked.empty() && m_held.empty();
}

void flow::fill(batch& b, clock::time_point now) {
    while (!m_results.empty() && b.results.size() < m_largest_batch) {
        m_result_bytes -= m_results.front().bytes;
        b.results.push_back(std::move(m_results.front()));
        m_results.pop_front();
    }
    m_oldest_result = now;
    for (std::size_t i = 0; i < m_locked.size() && b.results.size() < m_largest_batch;) {
        if (m_locked[i].due > now) {
            ++i;
            continue;
        }
        b.results.push_back(std::move(m_locked[i]));
        m_locked.erase(m_locked.begin() + static_cast<std::ptrdiff_t>(i));
    }
}

clock::time_point flow::next_event(clock::time_point now) const {
    auto at = now + 1h;
    if (!m_results.empty()) at = std::min(at, m_oldest_result + linger);
    if (room() > 0) at = std::min(at, m_next_look);
    if (m_resumes > now) at = std::min(at, m_resumes);
    at = std::min(at, m_look_for_unknown);
    at = std::min(at, stale_at());
    if (m_stage != stage::working) at = std::min(at, m_stage_ends > now ? m_stage_ends : m_stage_ends + last_words);
    for (const result& r : m_locked) at = std::min(at, r.due);
    if (!m_reports.empty()) at = std::min(at, m_next_reports);
    return at;
}

flow::batch flow::next() {
    std::unique_lock lock(m_mutex);
    for (;;) {
        const auto now = clock::now();
        batch b;
        std::vector<std::stop_source> ask;
        b.finished = advance_stage(now, ask);
        if (!ask.empty()) {
            lock.unlock();
            for (auto& s : ask) s.request_stop();
            lock.lock();
            continue;
        }
        if (b.finished) return b;
        if (now > stale_at()) {
            // Others may have time for them.
            m_seconds_a_call = std::max(m_seconds_a_call, 1.0);
            release_ready();
        }
        if (m_resumes != clock::time_point() && now >= m_resumes) {
            m_resumes = {};
            m_more = true;
        }
        const int space = m_more || now >= m_next_look ? room() : 0;
        const bool fetch = space > 0 && buffer_low();
        const bool locked_due = std::ranges::any_of(m_locked, [&](const result& r) { return r.due <= now; });
        if (fetch || locked_due || reports_due(now) || results_due(now) || now >= m_look_for_unknown) {
            fill(b, now);
            b.want = space;
            if (space > 0) m_more = false;  // from here on a wake-up counts for the look after this one
            return b;
        }
        m_attention.wait_until(lock, next_event(now));
    }
}

void flow::flow_thread() {
    for (;;) {
        batch b = next();
        if (b.finished) break;
        exchange_batch(b);
    }
    m_client.reset();
    m_ended = true;
}

}  // namespace chancy::detail
