// What all connections of a run share: its options, its figures, the jobs that they know of, and its failures.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "dice.hpp"

namespace adversary {

enum class mode { contract, immediate, upstream };

struct options {
    mode run = mode::contract;
    uint64_t seed = 0;
    int connections = 12;
    double seconds = 45;
    double round = 20;    // seconds between two quiet moments, in which everything is checked
    int keys = 10;        // besides those of the queue that is deleted now and then
    int rows = 6;         // of the application's table, and as many advisory locks
    int bound = 20;       // seconds: no wait may be longer
    bool json = false;
    bool kill = true, prepare = true, maintenance = true;
    std::string database;
};

struct attempt {
    std::string id, started_at;
};

// Figures of the whole run.
struct figures {
    using count = std::atomic<int64_t>;
    count transactions{}, committed{}, rolled_back{}, prepared{}, killed{}, in_doubt{};
    count operations{};      // pushed jobs, results, cancels, retries, deletes, fetches, …
    count duplicates{};      // pushes that met a live job of somebody else
    count refused{};         // results, cancels, retries that another transaction was ahead of
    count passed{};          // fetches that passed by a job that somebody held
    count waits{};           // seen in pg_locks, by sampling: a lower bound
    count gave_way{};        // 40001 of chancy, where rule 2 says so
    count serialization{};   // 40001 of the application's own rows
    count stale{};           // commits refused for a stale result
    count in_use{};          // 55006 of delete_queue
    count deadlocks{};       // 40P01 seen by a client
    count terminated{}, cancelled{};  // backends, statements ended by us
    count maintenance{};     // VACUUM, ANALYZE, REINDEX CONCURRENTLY that ran through
    count looks{};           // checks for keys that are live twice, under load
    std::atomic<double> longest_wait{}, longest_commit{}, longest_transaction{};
};

void raise_to(std::atomic<double>& figure, double value);

class world {
public:
    explicit world(options o) : m_options(std::move(o)) {}

    const options& get() const { return m_options; }
    figures& count() { return m_figures; }

    // Ends the run. The report names what was violated, and shows the log of the transaction.
    void fail(const std::string& report);
    bool failed() const { return m_failed; }
    std::vector<std::string> failures() const;

    void stop() { m_stop = true; }
    void start() { m_stop = m_failed.load(); }
    bool stopped() const { return m_stop; }

    int64_t next_transaction() { return ++m_transaction; }
    int64_t transactions() const { return m_transaction; }
    std::string gid(int64_t transaction) const { return m_options.database + "_" + std::to_string(transaction); }

    // Jobs that somebody may change, as last seen; not kept exact on purpose.
    void saw_attempt(const std::string& worker, const attempt& a);
    void saw_live(const std::string& id) { remember(m_live, id); }
    void saw_finished(const std::string& id) { remember(m_finished, id); }
    void saw_workflow(const std::string& id) { remember(m_workflows, id); }
    std::optional<std::string> some_workflow(dice& d) { return some(m_workflows, d); }
    // Mostly taken out, sometimes left in for a second result.
    std::vector<attempt> take_attempts(const std::string& worker, int up_to, dice& d);
    std::optional<std::string> some_live(dice& d) { return some(m_live, d); }
    std::optional<std::string> some_finished(dice& d) { return some(m_finished, d); }
    // A few jobs of one key, or keyless ones, in any order: the rows that one slot is about.
    void set_families(std::vector<std::vector<std::string>> families);
    std::vector<std::string> some_family(dice& d);

    // Who can be terminated: the backend of each connection, 0 while it has none.
    void set_backend(int index, int pid);
    int some_backend(dice& d);

    // What each connection is doing, for reports.
    void log(int index, const std::string& line, bool first);
    std::string logs(int index) const;      // of one
    std::string all_logs() const;

private:
    void remember(std::deque<std::string>& ids, const std::string& id);
    std::optional<std::string> some(std::deque<std::string>& ids, dice& d);

    options m_options;
    figures m_figures;
    std::atomic<bool> m_stop{false}, m_failed{false};
    std::atomic<int64_t> m_transaction{0};
    mutable std::mutex m_mutex;
    std::vector<std::string> m_failures;
    std::map<std::string, std::deque<attempt>> m_attempts;
    std::deque<std::string> m_live, m_finished, m_workflows;
    std::vector<std::vector<std::string>> m_families;
    std::map<int, int> m_backends;
    mutable std::mutex m_log_mutex;
    std::map<int, std::deque<std::vector<std::string>>> m_logs;
};

}  // namespace adversary
