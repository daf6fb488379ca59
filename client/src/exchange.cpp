// The flow's conversation with the server.
#include <chancy/error.hpp>

#include "flow.hpp"

#include <algorithm>
#include <set>

namespace chancy::detail {
namespace {

using namespace std::chrono_literals;

constexpr int tries_together = 6;    // an update that is told as "locked" more often is written alone
constexpr auto alone_waits = 250ms;  // for the lock, then

// An answer that takes longer is not waited for: the connection may be dead, and nobody says so.
std::chrono::milliseconds patience(const worker_options& o) {
    return std::clamp<std::chrono::milliseconds>(o.heartbeat_timeout / 3, 2s, 30s);
}

// What a smaller batch may get past: statement_timeout, no memory, no room on the disk.
bool too_much(const error& e) { return e.sqlstate() == "57014" || e.sqlstate().starts_with("53"); }

bool bad_input(const error& e) { return e.sqlstate().starts_with("22") || e.sqlstate().starts_with("54"); }

}  // namespace

void flow::exchange_batch(batch& b) {
    try {
        if (!m_client) connect();
        if (clock::now() >= m_look_for_unknown) release_unknown(b);
        grant_wishes();
        write_reports(b);
        write_alone(b);
        std::vector<update> updates;
        for (const result& r : b.results) updates.push_back(r.what);
        if (updates.empty() && b.want == 0) return;
        take(m_client->exchange(m_shared->options.worker_id, updates, m_queue, b.want), b);
        m_backoff.reset();
    } catch (const error& e) {
        recover(e, b);
    } catch (const std::exception& e) {  // an answer that we cannot read, no memory: jobs may have been claimed
        recover(error(e.what(), {.sqlstate = "08P01", .connection_lost = true, .in_doubt = true}), b);
    }
}

void flow::connect() {
    const worker_options& o = m_shared->options;
    m_client.emplace(o.conninfo, client_options{.retry = {.total = 0ms}, .timeout = patience(o), .connect_timeout = std::min<std::chrono::milliseconds>(patience(o), 10s)});
    m_look_for_unknown = clock::now();  // a reply may have been lost with the last connection
    m_look_pause = 1s;
}

// Jobs that the server believes are running here, and that we know nothing of: given back. Looked for again and again, after 1 s, 2 s, 4 s …,
// since the backend of a lost connection may commit at any time: when the standby that it waits for comes back, say.
void flow::release_unknown(const batch& b) {
    const std::vector<job> running = m_client->running_jobs(m_shared->options.worker_id);
    m_look_for_unknown = clock::now() + std::min(m_look_pause, m_shared->options.heartbeat_interval);
    m_look_pause = std::min(2 * m_look_pause, m_shared->options.heartbeat_interval);
    const std::lock_guard lock(m_mutex);
    std::set<attempt_name> known;
    for (const auto& a : m_ready) known.emplace(a->job.id, *a->job.started_at);
    for (const auto& a : m_running) known.emplace(a->job.id, *a->job.started_at);
    for (const result& r : m_results) known.emplace(r.what.id, r.what.started_at);
    for (const result& r : m_locked) known.emplace(r.what.id, r.what.started_at);
    for (const result& r : m_held) known.emplace(r.what.id, r.what.started_at);
    for (const result& r : b.results) known.emplace(r.what.id, r.what.started_at);
    for (const job& j : running)
        if (j.queue == m_queue && j.started_at && !known.contains({j.id, *j.started_at})) {
            m_shared->log(log_level::info, m_queue + ": job " + j.id.to_string() + " was given to us in a reply that was lost; released");
            add_result({.what = release(j)});
        }
}

void flow::take(exchanged&& answer, batch& b) {
    const auto now = clock::now();
    {
        const std::lock_guard lock(m_mutex);
        for (const auto& refusal : answer.refused) refuse(std::move(b.results.at(refusal.index)), refusal.reason);
        m_largest_batch = std::min<std::size_t>(2 * m_largest_batch, 1000);
        if (b.want > 0) {
            if (static_cast<int>(answer.jobs.size()) >= b.want || (answer.again && !m_again)) m_more = true;
            // Held jobs: nobody tells when they are let go. Look again in 5 ms, then 10, 20, 40, 80, and every 100 ms as long as
            // nothing changes: a transaction that holds a job for a minute costs some 600 looks, and its job waits at
            // most 100 ms too long. What is pushed meanwhile is told by an event, and looked for at once.
            m_same_looks = answer.passed + answer.again == m_passed && answer.jobs.empty() ? std::min(m_same_looks + 1, 5) : 0;
            m_again = answer.again;
            m_passed = answer.passed + answer.again;
            // Polls of many workers spread: between 0.9 and 1.1 of the interval.
            m_next_look = now + (m_passed > 0 ? std::min<std::chrono::milliseconds>(5ms * (1 << m_same_looks), 100ms)
                                              : m_poll * 9 / 10 + m_poll * (std::rand() % 21) / 100);
        }
        if (answer.wait) m_next_look = std::min(m_next_look, now + *answer.wait);
        for (const result& r : b.results)  // jobs that we have sent away for a while ourselves
            if (r.what.retry_at) m_next_look = std::min(m_next_look, now + std::clamp<std::chrono::microseconds>(*r.what.retry_at - chancy::now(), 0us, 1h) + 1ms);
        double calls = 0;
        const std::size_t came = answer.jobs.size();
        for (job& j : answer.jobs) {
            const known_handler* run = handler_of(j);
            calls += run ? 1.0 / static_cast<double>(run->up_to) : 1;
            if (!j.started_at) continue;
            if (!alive()) {  // others may have it before the heartbeat holds again
                add_result({.what = release(j)});
                continue;
            }
            auto a = std::make_shared<attempt>();
            a->job = std::move(j);
            a->fetched_at = now;
            if (run) a->gathers = run->wait;
            m_ready.push_back(std::move(a));
        }
        mix(calls, came);
    }
    b.results.clear();
    if (answer.jobs.size() == 1) m_work.notify_one();
    else if (!answer.jobs.empty()) m_work.notify_all();
}

void flow::refuse(result r, const std::string& reason) {
    if (reason == "locked") {
        r.due = clock::now() + std::min<std::chrono::milliseconds>(10ms * (1 << std::min(r.tries, 7)), 1s);
        ++r.tries;
        m_locked.push_back(std::move(r));
        return;
    }
    const bool expected = r.uncertain || r.what.how == outcome::released;
    m_shared->log(expected ? log_level::debug : log_level::warning,
                  m_queue + ": the result \"" + std::string(to_string(r.what.how)) + "\" of job " + r.what.id.to_string() +
                      " was not applied: " + reason);
}

// One update that has been locked for long, waiting for the lock a little.
void flow::write_alone(batch& b) {
    const auto stubborn = std::ranges::find_if(b.results, [](const result& r) { return r.tries >= tries_together; });
    if (stubborn == b.results.end()) return;
    std::string reason;
    try {
        const auto verdicts = m_client->apply_updates(m_shared->options.worker_id, {&stubborn->what, 1}, alone_waits);
        if (!verdicts.at(0).ok.value_or(false)) reason = verdicts.at(0).reason;
    } catch (const error& e) {
        if (e.sqlstate() != "55P03") throw;
        reason = "locked";
    }
    const std::lock_guard lock(m_mutex);
    if (!reason.empty()) refuse(std::move(*stubborn), reason);
    b.results.erase(stubborn);
}

void flow::recover(const error& e, batch& b) {
    // A server that is read-only is a standby: another one may not be.
    if (e.connection_lost() || e.read_only()) m_client.reset();
    const bool refused = bad_input(e) && !b.results.empty();
    {
        const std::lock_guard lock(m_mutex);
        if (b.want > 0) m_more = true;
        if (refused && b.results.size() > 1) {
            m_largest_batch = b.results.size() / 2;  // halves, until the bad one stands alone
        } else if (too_much(e) && b.results.size() > 1) {
            m_largest_batch = b.results.size() / 2;
        } else if (refused) {
            update& bad = b.results.front().what;
            m_shared->log(log_level::error, m_queue + ": the server refuses the result of job " + bad.id.to_string() + ": " + e.what());
            if (bad.result || bad.error || bad.meta)
                bad = {.id = bad.id, .started_at = bad.started_at, .how = outcome::failed,
                       .error = std::string("the result could not be stored: ") + e.sqlstate()};
            else
                b.results.clear();
        }
        for (auto r = b.results.rbegin(); r != b.results.rend(); ++r) {
            r->uncertain = r->uncertain || e.in_doubt();
            m_result_bytes += r->bytes;
            m_results.push_front(std::move(*r));
        }
    }
    if (refused) return;
    const bool collision = e.sqlstate() == "40P01" || e.sqlstate() == "40001";
    m_shared->log(collision ? log_level::debug : log_level::warning,
                  m_queue + ": " + e.what() + (e.hint().empty() || e.connection_lost() ? "" : " (" + e.hint() + ")") + "; trying again");
    pause();
}

void flow::pause() {
    std::unique_lock lock(m_mutex);
    const stage at = m_stage;
    auto until = clock::now() + m_backoff.next();
    if (at != stage::working && m_stage_ends > clock::now()) until = std::min(until, m_stage_ends);
    m_attention.wait_until(lock, until, [&] { return m_stage != at; });
}

}  // namespace chancy::detail
