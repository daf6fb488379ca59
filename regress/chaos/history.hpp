// The history of a run, as far as it can be told from outside of the server.
//
// Each worker writes the starts and ends of its handlers to a file of its own, with one write(2) each, which a kill -9
// cannot take back. Times are of the monotonic clock, one for all processes of the machine.
#pragma once

#include <chancy/job.hpp>

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace chaos {

std::int64_t monotonic();  // nanoseconds

struct handled {
    chancy::uuid job{};
    std::int64_t started_at = 0;  // the attempt's fence, microseconds since 1970
    std::string key{};            // empty: none
    std::string worker{};
    int number = 0;               // of this worker's runs; with it the run's name
    std::int64_t from = 0, to = 0;  // to 0: it never came to its end
    std::int64_t cut = 0;           // the end of its worker, then
    bool done = false;              // it returned a result, that its worker holds from then on
    std::int64_t expired = 0;       // when its worker's heartbeat expired, the first time since it began; 0: it did not
    [[nodiscard]] std::string name() const { return worker + '/' + std::to_string(number); }
};

// A worker's side. Threads: any.
class diary {
public:
    explicit diary(const std::string& path);
    void begins(const handled& run) const;
    void ends(const handled& run) const;
    void expires() const;  // the heartbeat, as the worker itself knows it

private:
    int m_file;
};

std::vector<handled> read_diary(const std::string& path, const std::string& worker);

// The driver's side. Threads: any.
class ledger {
public:
    void acknowledged(const chancy::uuid& id) { put(m_acknowledged, id); }
    void cancelled(const chancy::uuid& id) { put(m_cancelled, id); }  // to be called before the call
    void killed(const std::string& worker);                          // to be called after its end
    void paused(const std::string& worker);                          // before
    void resumed(const std::string& worker);                         // after

    // once all threads have ended
    [[nodiscard]] const std::map<chancy::uuid, std::int64_t>& acknowledged() const { return m_acknowledged; }
    [[nodiscard]] const std::map<chancy::uuid, std::int64_t>& cancelled() const { return m_cancelled; }
    [[nodiscard]] const std::map<std::string, std::int64_t>& killed() const { return m_killed; }
    // Was it paused at any time between these two?
    [[nodiscard]] bool slept(const std::string& worker, std::int64_t from, std::int64_t to) const;
    [[nodiscard]] std::size_t pushes() const;

private:
    void put(std::map<chancy::uuid, std::int64_t>& into, const chancy::uuid& id);

    mutable std::mutex m_mutex;
    std::map<chancy::uuid, std::int64_t> m_acknowledged, m_cancelled;  // when first
    std::map<std::string, std::int64_t> m_killed;
    std::multimap<std::string, std::pair<std::int64_t, std::int64_t>> m_slept;
};

}  // namespace chaos
