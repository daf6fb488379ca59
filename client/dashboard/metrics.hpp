// What Prometheus and the like ask for: /metrics, the queue as it is now, /healthz and /readyz. docs/prometheus.md lists the metrics.
#pragma once

#include "dashboard.hpp"
#include "database.hpp"

#include <chrono>
#include <mutex>

namespace chancy::dashboard {

// A question that anybody may ask at any time: one connection, one at a time, and an answer is good for a second. So however many ask,
// and however slow the database is, one of them waits for it, and the others for that one, 2 s at most. Threads: any.
class probe {
public:
    // seconds: for the statement, which is a reader's
    probe(const options& how, std::string statement, int seconds);
    // database_error, 57014 or of class 08
    [[nodiscard]] std::string ask();

private:
    connections m_database;
    const std::string m_statement;
    std::timed_mutex m_mutex;
    std::string m_answer;
    std::chrono::steady_clock::time_point m_good_until{};
};

// One statement, which reads what is live and the counts of today, never the history.
[[nodiscard]] std::string metrics_statement();
// Its answer in Prometheus' text format.
[[nodiscard]] std::string metrics_text(const std::string& answer);

}  // namespace chancy::dashboard
