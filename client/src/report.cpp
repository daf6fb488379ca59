// What handlers report of their jobs, on its way to the server: the last word of each attempt, written by the flow's thread on its
// connection, now and then while the attempt runs, and in any case before its result.
#include <chancy/error.hpp>

#include "flow.hpp"

#include <algorithm>
#include <cmath>

namespace chancy::detail {
namespace {

using namespace std::chrono_literals;

constexpr auto pause_between = 250ms;  // of writing reports, while nothing else needs them written
constexpr int tries = 6;               // for one that is told as "locked" when its attempt has ended

void merge(progress& into, progress&& newer) {
    if (newer.percent) into.percent = newer.percent;
    if (newer.message) into.message = std::move(newer.message);
    if (newer.checkpoint) into.checkpoint = std::move(newer.checkpoint);
}

}  // namespace

void flow::report(attempt& of, progress told) {
    if (told.percent) told.percent = std::isfinite(*told.percent) ? std::clamp(*told.percent, 0.0, 100.0) : 0.0;
    if (told.message) told.message = storable(std::move(*told.message));
    if (told.checkpoint) (void)told.checkpoint->dump();  // throws here, in the handler, if it cannot be stored
    const std::lock_guard lock(m_mutex);
    if (of.dropped) return;
    if (told.checkpoint) of.checkpoint = told.checkpoint;
    const bool first = m_reports.empty();
    unwritten& mine = m_reports[of.job.id];
    mine.started_at = *of.job.started_at;
    merge(mine.told, std::move(told));
    if (!first) return;
    m_next_reports = std::max(clock::now(), m_last_reports + pause_between);
    m_attention.notify_one();
}

std::optional<json> flow::checkpoint(attempt& of) {
    {
        const std::lock_guard lock(m_mutex);
        if (of.checkpoint) return *of.checkpoint;
    }
    std::optional<json> found = ask(of, false);
    const std::lock_guard lock(m_mutex);
    if (!of.checkpoint) of.checkpoint = found;
    return *of.checkpoint;
}

std::optional<json> flow::ask(attempt& of, bool steps) {
    std::future<std::optional<json>> answer;
    {
        const std::lock_guard lock(m_mutex);
        m_wishes.push_back({of.job.id, steps, {}});
        answer = m_wishes.back().answer.get_future();
    }
    m_attention.notify_one();
    // As long as the database is away. To begin from the start, since it is, would undo what the checkpoint is for.
    while (answer.wait_for(20ms) != std::future_status::ready)
        if (of.stop.stop_requested()) throw cancelled{};
    return answer.get();
}

// The result of an attempt that has unwritten reports follows them.
void flow::add_after_reports(result r) {
    const auto mine = m_reports.find(r.what.id);
    if (mine == m_reports.end() || mine->second.started_at != r.what.started_at) return add_result(std::move(r));
    m_next_reports = clock::now();
    m_held.push_back(std::move(r));
}

bool flow::reports_due(clock::time_point now) const { return !m_wishes.empty() || (!m_reports.empty() && now >= m_next_reports); }

void flow::grant_wishes() {
    for (;;) {
        wish next;
        {
            const std::lock_guard lock(m_mutex);
            if (m_wishes.empty()) return;
            next = std::move(m_wishes.front());
            m_wishes.pop_front();
        }
        try {
            next.answer.set_value(next.steps ? std::optional<json>(std::in_place, m_client->step_results(next.id))
                                             : m_client->get_checkpoint(m_shared->options.worker_id, next.id));
        } catch (const error& e) {
            if (e.connection_lost() || e.retryable()) {
                const std::lock_guard lock(m_mutex);
                m_wishes.push_front(std::move(next));
                throw;
            }
            next.answer.set_exception(std::current_exception());
        }
    }
}

void flow::write_reports(batch& b) {
    std::map<uuid, unwritten> now;
    {
        const std::lock_guard lock(m_mutex);
        if (m_reports.empty() || clock::now() < m_next_reports) return;
        now.swap(m_reports);
        m_last_reports = clock::now();
    }
    std::vector<progress_report> reports;
    for (const auto& [id, r] : now) reports.push_back({id, r.started_at, r.told});
    try {
        send_reports(reports, now);
    } catch (...) {
        keep_reports(std::move(now));
        throw;
    }
    const std::lock_guard lock(m_mutex);
    // Those whose report is written, or is not to be: their results go along.
    std::erase_if(m_held, [&](result& r) {
        const auto left = m_reports.find(r.what.id);
        if (left != m_reports.end() && left->second.started_at == r.what.started_at) return false;
        b.results.push_back(std::move(r));
        return true;
    });
}

// now: loses those that are done with; what is locked stays for the next time.
void flow::send_reports(std::span<const progress_report> reports, std::map<uuid, unwritten>& now) {
    try {
        std::map<uuid, unwritten> locked;
        for (const applied& a : m_client->report_progress(m_shared->options.worker_id, reports)) {
            auto done = now.extract(a.id);
            if (!a.ok.value_or(false)) m_shared->log(log_level::debug, m_queue + ": progress of job " + a.id.to_string() + " was not noted: " + a.reason);
            if (a.reason == "locked" && ++done.mapped().tries < tries) locked.insert(std::move(done));
        }
        keep_reports(std::move(locked));
    } catch (const error& e) {
        const bool refused = e.sqlstate().starts_with("22") || e.sqlstate().starts_with("54") || e.sqlstate() == "42501";
        if (!refused) throw;
        if (reports.size() == 1) {
            m_shared->log(log_level::error, m_queue + ": the server refuses the progress of job " + reports[0].id.to_string() + ": " + e.what());
            now.erase(reports[0].id);
            return;
        }
        send_reports(reports.first(reports.size() / 2), now);
        send_reports(reports.subspan(reports.size() / 2), now);
    }
}

void flow::keep_reports(std::map<uuid, unwritten> old) {
    const std::lock_guard lock(m_mutex);
    for (auto& [id, r] : old) {
        const auto [newer, alone] = m_reports.try_emplace(id, r);
        if (alone || newer->second.started_at != r.started_at) continue;
        progress both = std::move(r.told);
        merge(both, std::move(newer->second.told));
        newer->second.told = std::move(both);
        newer->second.tries = r.tries;
    }
    if (!old.empty()) m_next_reports = clock::now() + pause_between;
}

}  // namespace chancy::detail
