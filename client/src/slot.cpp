// The handlers' threads of a flow: each takes what is ready, runs it, and leaves its result.
#include "flow.hpp"

#include <algorithm>
#include <system_error>

namespace chancy::detail {

// As many threads as the queue may have handlers at once. Those too many end when they are free.
void flow::staff(const queue& row) {
    const worker_options& o = m_shared->options;
    const auto own = o.by_queue.find(m_queue);
    int concurrency = own != o.by_queue.end() ? own->second.concurrency : 0;
    if (concurrency == 0) concurrency = o.concurrency;
    if (concurrency == 0) concurrency = row.concurrency.value_or(0);
    if (concurrency == 0) concurrency = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
    for (std::size_t i = 0; static_cast<int>(i) < concurrency; ++i) {
        if (i == m_slots.size()) m_slots.push_back(std::make_unique<slot>());
        slot& s = *m_slots[i];
        if (s.thread.joinable() && !s.ended) continue;
        if (s.thread.joinable()) s.thread.join();
        try {
            s.ended = false;
            s.thread = std::thread([self = shared_from_this(), i] { self->slot_thread(i); });
        } catch (const std::system_error& e) {
            if (i == 0) throw;
            concurrency = static_cast<int>(i);
            m_shared->log(log_level::warning, m_queue + ": no more than " + std::to_string(i) + " threads: " + e.what());
        }
    }
    if (m_concurrency != concurrency) m_shared->log(log_level::debug, m_queue + ": concurrency " + std::to_string(concurrency));
    m_concurrency = concurrency;
}

const known_handler* flow::handler_of(const job& j) const {
    const auto found = m_shared->known.find(j.func);
    return found == m_shared->known.end() ? nullptr : &found->second;
}

// The first ready job whose call may begin: a batch does when it is full, or when its first job has waited long enough.
std::optional<std::size_t> flow::startable(clock::time_point now) const {
    if (m_ready.empty() || m_calls >= m_concurrency || !alive()) return std::nullopt;
    std::map<std::string_view, std::pair<std::size_t, std::size_t>> gathered;  // the first of a func, and how many
    for (std::size_t i = 0; i < m_ready.size(); ++i) {
        const attempt& a = *m_ready[i];
        if (now >= a.fetched_at + a.gathers) return i;
        auto& [first, count] = gathered.try_emplace(a.job.func, i, 0).first->second;
        if (++count >= handler_of(a.job)->up_to) return first;
    }
    return std::nullopt;
}

clock::time_point flow::gathered_at() const {
    auto at = clock::time_point::max();
    if (m_calls < m_concurrency && alive())
        for (const auto& a : m_ready) at = std::min(at, a->fetched_at + a->gathers);
    return at;
}

std::vector<std::shared_ptr<attempt>> flow::take_call(std::size_t first) {
    std::vector<std::shared_ptr<attempt>> out;
    const known_handler* run = handler_of(m_ready[first]->job);
    const std::size_t up_to = run ? run->up_to : 1;
    out.push_back(std::move(m_ready[first]));
    for (std::size_t i = first + 1; i < m_ready.size() && out.size() < up_to; ++i)
        if (m_ready[i]->job.func == out[0]->job.func) out.push_back(std::move(m_ready[i]));
    if (first == 0 && out.size() == 1) m_ready.pop_front();
    else std::erase(m_ready, nullptr);
    return out;
}

void flow::slot_thread(std::size_t index) {
    std::unique_ptr<runner> here;
    int placements = -1;
    std::unique_lock lock(m_mutex);
    for (;;) {
        const auto moved = [&] { return here && placements != m_placements; };
        std::optional<std::size_t> first;
        while (!m_done && !surplus(index) && !moved() && !(first = startable(clock::now()))) {
            if (const auto at = gathered_at(); at != clock::time_point::max()) m_work.wait_until(lock, at);
            else m_work.wait(lock);
        }
        if (m_done || surplus(index)) break;
        if (moved()) {  // its child, if it has one, is not needed any more
            lock.unlock();
            here.reset();
            lock.lock();
            continue;
        }
        const std::vector<std::shared_ptr<attempt>> mine = take_call(*first);
        std::vector<attempt*> of;
        std::deque<attempt_reports> told;
        for (const auto& a : mine) {
            a->runner = std::this_thread::get_id();
            a->to = &told.emplace_back(*this, *a);
            of.push_back(a.get());
            m_running.push_back(a);
        }
        ++m_calls;
        const placement where = m_where;
        placements = m_placements;

        lock.unlock();
        if (!here) here = make_runner(where, m_shared);
        const auto begin = clock::now();
        for (attempt* a : of)
            if (const auto limit = limit_of(a->job, "time")) a->deadline = begin + std::chrono::seconds(std::min<std::int64_t>(*limit, 1'000'000'000));
        std::vector<ended> ends = run_within(m_shared->around, of, [&](attempts those) { return here->run(those); },
                                             [&](const std::string& what) { m_shared->log(log_level::error, m_queue + ": " + what); });
        const double took = std::chrono::duration<double>(clock::now() - begin).count();
        for (std::size_t i = 0; i < mine.size(); ++i)
            if (const auto line = m_shared->failures->line(mine[i]->job, ends[i].what)) m_shared->log(log_level::info, m_queue + ": " + *line);
        lock.lock();

        --m_calls;
        std::erase_if(m_running, [self = std::this_thread::get_id()](const auto& a) { return a->runner == self; });
        if (m_eager) m_more = true;
        m_seconds_a_call = m_seconds_a_call < 0 ? took : 0.8 * m_seconds_a_call + 0.2 * took;
        const bool idle = m_results.empty();
        for (std::size_t i = 0; i < mine.size(); ++i)
            if (!mine[i]->dropped) add_after_reports({.what = std::move(ends[i].what), .bytes = ends[i].bytes});
        // The flow's thread is woken only for what changes its mind: in a flood a wake-up for each job costs most.
        if (idle || m_running.empty() || !m_held.empty() || (m_more && buffer_low()) || results_due(clock::now())) m_attention.notify_one();
    }
    m_slots[index]->ended = true;
    lock.unlock();
    m_work.notify_all();  // one that waited until fewer run
    here.reset();
}

}  // namespace chancy::detail
