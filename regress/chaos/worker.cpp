#include "worker.hpp"

#include "board.hpp"
#include "clock.hpp"
#include "history.hpp"

#include <chancy/worker.hpp>

#include <atomic>
#include <cstdio>
#include <stdexcept>
#include <thread>

namespace chaos {
namespace {

using namespace std::chrono_literals;

// Begins and ends in the diary, however the handler is left.
class entry {
public:
    entry(const diary& in, board& on, int slot, handled what) : m_diary(in), m_board(on), m_slot(slot), m_run(std::move(what)) {
        m_diary.begins(m_run);
        ++m_board.running[m_slot];
    }
    ~entry() {
        m_diary.ends(m_run);
        --m_board.running[m_slot];
        ++m_board.ended[m_slot];
    }
    entry(const entry&) = delete;
    entry& operator=(const entry&) = delete;
    void done() { m_run.done = true; }
    [[nodiscard]] std::string name() const { return m_run.name(); }
    [[nodiscard]] int number() const { return m_run.number; }

private:
    const diary& m_diary;
    board& m_board;
    int m_slot;
    handled m_run;
};

}  // namespace

int run_worker(const worker_settings& s) {
    board& shared = open_board(s.board);
    set_clock_by(shared);
    const diary book(s.diary);
    std::atomic<int> runs = 0;
    chancy::worker w({.conninfo = s.conninfo,
                      .concurrency = s.concurrency,
                      .worker_id = s.id,
                      .listen = s.listen,
                      .listen_conninfo = s.listen_conninfo,
                      .poll_interval = 500ms,
                      .heartbeat_interval = std::chrono::milliseconds(s.heartbeat_timeout / 3),
                      .heartbeat_timeout = std::chrono::milliseconds(s.heartbeat_timeout),
                      .maintain_interval = 500ms,
                      .grace = 5s,
                      .log = [&](chancy::log_level level, const std::string& text) {
                          if (text.starts_with("the heartbeat could not be renewed")) book.expires();
                          if (level != chancy::log_level::debug)
                              std::fprintf(stderr, "%.3f %s\n", static_cast<double>(monotonic()) / 1e9, text.c_str());
                      }});
    // kwargs: ms it takes; fails so often first; snoozes now and then
    w.on("chaos.work", [&](chancy::job_context& job) {
        const chancy::job& j = job.job();
        entry mine(book, shared, s.slot,
                         {.job = j.id, .started_at = j.started_at->time_since_epoch().count(), .key = j.unique_key.value_or(""),
                          .worker = s.id, .number = ++runs});
        const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(j.kwargs.value("ms", 0));
        while (std::chrono::steady_clock::now() < until) {
            job.check_cancelled();
            std::this_thread::sleep_for(2ms);
        }
        if (j.attempts < j.kwargs.value("fails", 0)) throw std::runtime_error("as asked");
        if (j.kwargs.value("snooze", 0) > 0 && mine.number() % 2 == 0)
            throw chancy::snooze(std::chrono::milliseconds(j.kwargs.value("snooze", 0)));
        mine.done();
        return chancy::json{{"run", mine.name()}};
    });
    const chancy::stop_on_signals guard(w);
    w.run();
    return 0;
}

}  // namespace chaos
