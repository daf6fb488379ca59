// The flow of one queue through a worker: one thread that exchanges results for jobs with the server, and the
// handlers' threads. Nothing here ends because of the database.
//
//     server → exchange → m_ready → m_running → m_results → exchange → server
//
// What has been fetched and not yet written is bounded, and so the results in memory are.
#pragma once

#include <chancy/client.hpp>

#include "runner.hpp"

#include <condition_variable>
#include <deque>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

namespace chancy::detail {

class flow : public std::enable_shared_from_this<flow> {
public:
    flow(std::string queue, std::shared_ptr<const shared> with) : m_queue(std::move(queue)), m_shared(std::move(with)) {}

    void start(const queue& row, const placement& where);
    void configure(const queue& row, const placement& where);  // what the queue's row says now; its threads follow
    void join();                  // after stop(): everything is written or released, or cannot be
    [[nodiscard]] bool has_ended() const noexcept { return m_ended; }  // join() does not block

    void wake();                  // there may be jobs
    void set_alive(bool alive);   // without a heartbeat that holds, nothing runs
    void stop();                  // drain; again: now
    void drop(const attempt_name& which);  // it is asked to stop, and its result counts no more
    [[nodiscard]] std::vector<attempt_name> in_hand() const;
    [[nodiscard]] const std::string& queue_name() const noexcept { return m_queue; }

private:
    enum class stage { working, draining, ending };
    struct result {
        update what;
        std::size_t bytes = 0;
        int tries = 0;            // told as "locked" so often
        clock::time_point due{};  // not before
        bool uncertain = false;   // may be written already: a reply was lost
    };
    struct batch {
        std::vector<result> results;
        int want = 0;
        bool finished = false;
    };

    // One handler's thread; those beyond the concurrency end.
    struct slot {
        std::thread thread;
        bool ended = false;
    };

    // slot.cpp: the handlers' threads
    void staff(const queue& row);
    void slot_thread(std::size_t index);
    [[nodiscard]] std::optional<std::size_t> startable(clock::time_point now) const;
    [[nodiscard]] clock::time_point gathered_at() const;
    [[nodiscard]] std::vector<std::shared_ptr<attempt>> take_call(std::size_t first);
    [[nodiscard]] const known_handler* handler_of(const job& j) const;
    [[nodiscard]] bool alive() const { return m_alive && !m_shared->term->over(); }
    [[nodiscard]] bool surplus(std::size_t index) const { return static_cast<int>(index) >= m_concurrency; }

    // report.cpp: what handlers report
    struct unwritten {
        timestamp started_at{};
        progress told{};
        int tries = 0;
    };
    struct wish {  // for a job's checkpoint, or for the results of the steps before it
        uuid id{};
        bool steps = false;
        std::promise<std::optional<json>> answer{};
    };
    class attempt_reports : public reports {
    public:
        attempt_reports(flow& through, attempt& of) : m_through(through), m_of(of) {}
        void report(progress told) override { m_through.report(m_of, std::move(told)); }
        std::optional<json> checkpoint() override { return m_through.checkpoint(m_of); }
        std::vector<step_result> step_results() override { return m_through.ask(m_of, true)->get<std::vector<step_result>>(); }

    private:
        flow& m_through;
        attempt& m_of;
    };
    void report(attempt& of, progress told);
    [[nodiscard]] std::optional<json> checkpoint(attempt& of);
    [[nodiscard]] std::optional<json> ask(attempt& of, bool steps);
    void add_after_reports(result r);
    [[nodiscard]] bool reports_due(clock::time_point now) const;
    void grant_wishes();
    void write_reports(batch& b);
    void send_reports(std::span<const progress_report> reports, std::map<uuid, unwritten>& now);
    void keep_reports(std::map<uuid, unwritten> old);

    // flow.cpp: deciding, under m_mutex
    void flow_thread();
    [[nodiscard]] batch next();
    [[nodiscard]] int prefetch() const;
    [[nodiscard]] clock::time_point stale_at() const;
    void mix(double calls, std::size_t jobs);
    [[nodiscard]] int room() const;
    [[nodiscard]] bool results_due(clock::time_point now) const;
    [[nodiscard]] bool buffer_low() const;
    void add_result(result r);
    void release_ready();
    void fill(batch& b, clock::time_point now);
    bool advance_stage(clock::time_point now, std::vector<std::stop_source>& ask);  // true: the end
    [[nodiscard]] clock::time_point next_event(clock::time_point now) const;

    // exchange.cpp: talking to the server, on the flow's thread
    void exchange_batch(batch& b);
    void connect();
    void release_unknown(const batch& b);
    void take(exchanged&& answer, batch& b);
    void write_alone(batch& b);
    void refuse(result r, const std::string& reason);
    void recover(const error& e, batch& b);
    void pause();  // cut short by stop()

    const std::string m_queue;
    const std::shared_ptr<const shared> m_shared;

    // the flow's thread only
    std::optional<client> m_client;
    backoff m_backoff{{.first = std::chrono::milliseconds(50), .limit = std::chrono::seconds(5)}};
    clock::time_point m_look_for_unknown = clock::time_point::max();
    std::chrono::milliseconds m_look_pause{};

    mutable std::mutex m_mutex;
    std::condition_variable m_attention;  // the flow's thread waits
    std::condition_variable m_work;       // the handlers' threads wait
    stage m_stage = stage::working;
    clock::time_point m_stage_ends{};
    bool m_alive = false;
    bool m_done = false;
    std::atomic<bool> m_ended = false;
    int m_concurrency = 0;
    placement m_where;
    int m_placements = 0;                 // how often m_where has changed
    bool m_more = true;                   // the queue may hold due jobs
    std::chrono::milliseconds m_poll{};   // the interval
    clock::time_point m_resumes{};        // a paused queue goes on then
    bool m_eager = false;                 // look again after each job
    bool m_again = false;                 // the last look was to be followed by another at once
    bool m_shared_slots = false;          // a job in hand takes a slot that others may wait for
    int m_passed = 0;                     // due jobs that the last look passed by, since somebody holds them
    int m_same_looks = 0;                 // looks in a row that found just that
    clock::time_point m_next_look{};
    std::size_t m_largest_batch;          // smaller while an update that the server refuses is searched for
    std::deque<std::shared_ptr<attempt>> m_ready;
    std::vector<std::shared_ptr<attempt>> m_running;
    int m_calls = 0;                      // of handlers, that run: each for one of m_running, or for a batch of them
    std::deque<result> m_results;
    clock::time_point m_oldest_result{};
    std::size_t m_result_bytes = 0;
    std::vector<result> m_locked;         // to be tried again
    std::map<uuid, unwritten> m_reports;
    std::vector<result> m_held;           // until the reports of their attempts are written
    clock::time_point m_next_reports{}, m_last_reports{};
    std::deque<wish> m_wishes;
    double m_seconds_a_call = -1;         // a moving average; -1: none yet
    int m_jobs_a_call = 1;                // if batches are full, as the last jobs that came were mixed

    std::thread m_flow_thread;
    std::vector<std::unique_ptr<slot>> m_slots;
};

}  // namespace chancy::detail
