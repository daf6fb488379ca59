// What the applications do meanwhile: single pushes with keys that collide, batches, transactions that write a row of
// their own beside the job, cancels. Each thread has a client of its own, and goes on whatever happens to the server.
#pragma once

#include "board.hpp"
#include "history.hpp"

#include <chancy/client.hpp>

#include <atomic>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace chaos {

// Tables of the load; to be made once.
extern const char* const load_schema;

class load {
public:
    // long_job: milliseconds that a few jobs take
    load(std::string conninfo, unsigned seed, int long_job, const board& shared, ledger& book)
        : m_conninfo(std::move(conninfo)), m_seed(seed), m_long_job(long_job), m_board(shared), m_ledger(book) {}
    ~load() { stop(); }

    void start(int threads);
    void stop();

    [[nodiscard]] std::vector<std::string> surprises() const;  // errors that no fault explains
    std::atomic<std::int64_t> calls{0}, failed{0}, in_doubt{0}, cancels{0};

private:
    void thread(unsigned number);
    void push_one(chancy::client& db);
    void push_batch(chancy::client& db);
    void push_with_row(chancy::client& db);
    void cancel_one(chancy::client& db);
    void note(const chancy::error& e);
    [[nodiscard]] chancy::new_job make_job(bool keyed);
    static int dice(int sides);

    const std::string m_conninfo;
    const unsigned m_seed;
    const int m_long_job;
    const board& m_board;
    ledger& m_ledger;
    std::atomic<bool> m_stop{false};
    std::vector<std::thread> m_threads;
    mutable std::mutex m_mutex;
    std::vector<std::string> m_surprises;
    std::vector<chancy::uuid> m_recent;
};

}  // namespace chaos
