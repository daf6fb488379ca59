// Making a call over libpq: text parameters, binary rows; and what the descriptions of calls share.
#pragma once

#include <chancy/calls.hpp>

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

struct pg_conn;
typedef struct pg_conn PGconn;

namespace chancy::detail {

// Sends, waits, and gives the rows or throws chancy::error. timeout 0 waits for ever.
result run(PGconn* connection, const statement& what, std::chrono::milliseconds timeout);
// Its second half, for what was sent, or was not.
result receive(PGconn* connection, bool sent, const char* function, std::optional<std::chrono::steady_clock::time_point> deadline);
[[nodiscard]] std::optional<std::chrono::steady_clock::time_point> deadline_in(std::chrono::milliseconds timeout);

// Rows of chancy.jobs, or of an exchange, which leaves out columns that a running job does not have; they are looked up once.
class job_reader {
public:
    explicit job_reader(const result& rows);
    [[nodiscard]] job read(int row) const;  // the row's id must not be NULL
    [[nodiscard]] bool missing(int row) const { return m_rows.null(row, m_id); }

private:
    [[nodiscard]] bool absent(int row, int column) const { return column < 0 || m_rows.null(row, column); }

    const result& m_rows;
    int m_id, m_queue, m_func, m_kwargs, m_limits, m_meta, m_state, m_priority, m_attempts, m_max_attempts, m_taken_by,
        m_created_at, m_started_at, m_completed_at, m_scheduled_at, m_unique_key, m_errors, m_recoveries, m_result,
        m_concurrency_key, m_next_run, m_unique_until;
};

[[nodiscard]] job_state read_state(std::string_view name);
[[nodiscard]] std::vector<job> read_jobs(const result& rows);
[[nodiscard]] std::optional<job> read_one_job(const result& rows);
[[nodiscard]] inline bool read_verdict(const result& rows) { return rows.verdict(0, 0); }
inline void read_nothing(const result&) {}

// A job as an object whose keys are push's parameters.
[[nodiscard]] std::string object(const new_job& job);
// The same as schedule_cron takes it.
[[nodiscard]] std::string object(const new_sql_job& job);
// JSON as text; error 22021 if a string in it is not UTF-8.
[[nodiscard]] std::string dump(const json& value);
[[nodiscard]] std::string array(std::span<const uuid> ids);
[[nodiscard]] std::string array(std::span<const std::string> texts);
[[nodiscard]] std::string seconds(std::chrono::milliseconds span);
[[nodiscard]] inline parameter whole(const std::optional<int>& value) { return value ? parameter(std::to_string(*value)) : std::nullopt; }
[[nodiscard]] inline parameter instant(const std::optional<timestamp>& value) { return value ? parameter(to_string(*value)) : std::nullopt; }

}  // namespace chancy::detail
