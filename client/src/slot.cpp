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

void flow::slot_thread(std::size_t index) {
    std::unique_ptr<runner> here;
    int placements = -1;
    std::unique_lock lock(m_mutex);
    for (;;) {
        const auto moved = [&] { return here && placements != m_placements; };
        m_work.wait(lock, [&] { return m_done || surplus(index) || moved() || can_start(); });
        if (m_done || surplus(index)) break;
        if (moved()) {  // its child, if it has one, is not needed any more
            lock.unlock();
            here.reset();
            lock.lock();
            continue;
        }
        const std::shared_ptr<attempt> mine = std::move(m_ready.front());
        m_ready.pop_front();
        mine->runner = std::this_thread::get_id();
        m_running.push_back(mine);
        const placement where = m_where;
        placements = m_placements;

        lock.unlock();
        if (!here) here = make_runner(where, m_shared);
        attempt_reports told(*this, *mine);
        const auto begin = clock::now();
        if (const auto limit = limit_of(mine->job, "time")) mine->deadline = begin + std::chrono::seconds(std::min<std::int64_t>(*limit, 1'000'000'000));
        ended end = run_within(m_shared->around, *mine, &told, [&] { return here->run(*mine, &told); },
                               [&](const std::string& what) { m_shared->log(log_level::error, m_queue + ": " + what); });
        const double took = std::chrono::duration<double>(clock::now() - begin).count();
        lock.lock();

        std::erase(m_running, mine);
        if (m_eager) m_more = true;
        m_seconds_a_job = m_seconds_a_job < 0 ? took : 0.8 * m_seconds_a_job + 0.2 * took;
        const bool first = m_results.empty();
        if (!mine->dropped) add_after_reports({.what = std::move(end.what), .bytes = end.bytes});
        // The flow's thread is woken only for what changes its mind: in a flood a wake-up for each job costs most.
        if (first || m_running.empty() || !m_held.empty() || buffer_low() || results_due(clock::now())) m_attention.notify_one();
    }
    m_slots[index]->ended = true;
    lock.unlock();
    m_work.notify_all();  // one that waited until fewer run
    here.reset();
}

}  // namespace chancy::detail
