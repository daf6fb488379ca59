// What is measured around a piece of work, and how two sides are compared: in turns, so that a noisy machine disturbs
// both alike.
#pragma once

#include "postgres.hpp"

#include <nlohmann/json.hpp>

#include <chrono>
#include <functional>
#include <string>
#include <vector>

namespace bench {

using json = nlohmann::ordered_json;
using clock = std::chrono::steady_clock;

inline double seconds_since(clock::time_point start) { return std::chrono::duration<double>(clock::now() - start).count(); }

[[nodiscard]] double median(std::vector<double> values);
// {"p50": …, "p95": …, "p99": …} of durations in seconds, told in ms.
[[nodiscard]] json percentiles(std::vector<double> seconds);

// CPU of server and client and WAL, between two moments. The server's CPU is only known on its own machine.
class meter {
public:
    explicit meter(connection& server);
    [[nodiscard]] json per_job(double jobs);  // since the start: {"server_cpu_us", "client_cpu_us", "wal_bytes"}

private:
    connection& m_server;
    double m_client_cpu, m_server_cpu;
    long long m_wal;
};

// Size and dead tuples of a table: {"table_bytes_per_job", "index_bytes_per_job", "dead_tuples"}.
[[nodiscard]] json storage(connection& server, const std::string& table);

struct side {
    std::string name;
    std::function<double()> prepare;  // not timed; may be empty
    std::function<double()> work;     // returns how many jobs were done
};

struct figure {
    std::string name;
    double reach = 0;       // the ratio of DESIGN's table; 0: none
    bool at_most = false;   // the ratio is to stay below
    std::string unit = "jobs/s";
    std::string ours, other;
    double our_value = 0, other_value = 0, ratio = 0;
    json details = json::object();

    [[nodiscard]] bool reached() const { return reach == 0 || (at_most ? ratio <= reach : ratio >= reach); }
};

// Both sides in turns, rounds times (the first turn of each does not count). The ratio is the median of the rounds' ratios.
[[nodiscard]] figure compare(connection& server, const std::string& name, double reach, int rounds, const side& ours, const side& other);

}  // namespace bench
