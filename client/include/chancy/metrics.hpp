// What the server counts: every queue now, the history, and values of your own.
//
//     for (const auto& q : db.queue_stats()) std::cout << q.queue << ' ' << q.pending << '\n';
//     for (const auto& p : db.metric_points({.prefix = "queue:mail:"})) …    // by key, newest first
//     db.record_metrics({{{.metric_key = "shop:orders"}}});
//
// The keys, Chancy's: docs/sql-metrics.md. For roles with grant_admin; record_metrics for workers too.
// Threads: plain values.
#pragma once

#include <chancy/job.hpp>

#include <cstdint>
#include <optional>
#include <string>

namespace chancy {

struct queue_stats {
    std::string queue;
    std::optional<std::string> state;      // active | paused; absent: the queue is not declared
    std::int64_t pending = 0;
    std::int64_t retrying = 0;
    std::int64_t scheduled = 0;            // of these two, those that are not due yet
    std::int64_t running = 0;
    std::optional<double> oldest_waiting;  // seconds since the oldest due job became due
    double pushed_per_second = 0;          // over the last one to two minutes, as what follows
    double finished_per_second = 0;
    std::optional<double> average_waiting;  // seconds from due to started
    std::optional<double> average_running;  // seconds
    std::int64_t workers = 0;
};

struct metric_point {
    std::string metric_key;
    std::string resolution;
    timestamp at;             // the beginning of the point's span
    std::string metric_type;  // counter | gauge | histogram
    std::int64_t count = 0;   // a histogram's values; else how many workers counted
    double value = 0;         // a counter's count, a gauge's last value, a histogram's sum
    std::optional<double> average, least, most;  // a histogram's
};

struct metric_filter {
    std::string prefix{};              // of the key
    std::string resolution = "1min";   // 1min 5min 1hour 1day: 60, 288, 168, 90 points are kept
    std::optional<timestamp> since{};
    int up_to = 1000;                  // points
};

struct metric {
    std::string metric_key;  // at most 255 bytes
    double value = 1;
    std::string type = "counter";  // counter: adds up; gauge: the last counts; histogram: count, sum, average, least, most
};

void to_json(json& out, const queue_stats& in);
void to_json(json& out, const metric_point& in);

}  // namespace chancy
