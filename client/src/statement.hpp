// One SQL statement with text parameters, and its rows in binary.
#pragma once

#include <chancy/calls.hpp>

#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

struct pg_conn;
typedef struct pg_conn PGconn;
struct pg_result;
typedef struct pg_result PGresult;

namespace chancy::detail {

// May the statement be run again when nobody knows whether it was committed?
enum class repeat {
    harmless,  // it only looks
    safe,      // it writes the same twice
    never,
};

using parameter = std::optional<std::string>;  // nullopt: NULL

struct statement {
    const char* function;  // for errors
    const char* sql;
    std::vector<parameter> parameters{};
    repeat again = repeat::harmless;
};

// Binary rows do not depend on DateStyle, TimeZone or IntervalStyle, which are not ours to set.
class result {
public:
    explicit result(PGresult* owned) : m_result(owned) {}

    [[nodiscard]] std::string_view command() const noexcept;  // its tag, "COMMIT"
    [[nodiscard]] int rows() const noexcept;
    [[nodiscard]] int column(const char* name) const noexcept;  // -1: none
    [[nodiscard]] bool null(int row, int column) const noexcept;
    [[nodiscard]] std::string_view bytes(int row, int column) const noexcept;

    [[nodiscard]] std::string text(int row, int column) const;
    [[nodiscard]] int integer(int row, int column) const noexcept;
    [[nodiscard]] bool boolean(int row, int column) const noexcept;
    // A verdict of a call that stands buffered until the commit is NULL: taken for true.
    [[nodiscard]] bool verdict(int row, int column) const noexcept { return null(row, column) || boolean(row, column); }
    [[nodiscard]] uuid id(int row, int column) const noexcept;
    [[nodiscard]] timestamp time(int row, int column) const noexcept;
    [[nodiscard]] json document(int row, int column) const;
    [[nodiscard]] std::vector<std::string> texts(int row, int column) const;

private:
    struct clear { void operator()(PGresult* r) const noexcept; };
    std::unique_ptr<PGresult, clear> m_result;
};

// Sends, waits, and gives the rows or throws chancy::error. timeout 0 waits for ever.
result run(PGconn* connection, const statement& what, std::chrono::milliseconds timeout);

// Rows of chancy.jobs; the columns are looked up once.
class job_reader {
public:
    explicit job_reader(const result& rows);
    [[nodiscard]] job read(int row) const;  // the row's id must not be NULL
    [[nodiscard]] bool missing(int row) const { return m_rows.null(row, m_id); }

private:
    const result& m_rows;
    int m_id, m_queue, m_func, m_kwargs, m_limits, m_meta, m_state, m_priority, m_attempts, m_max_attempts, m_taken_by,
        m_created_at, m_started_at, m_completed_at, m_scheduled_at, m_unique_key, m_errors, m_recoveries, m_result;
};

[[nodiscard]] std::vector<job> read_jobs(const result& rows);
[[nodiscard]] std::optional<job> read_one_job(const result& rows);

// JSON as text; error 22021 if a string in it is not UTF-8.
[[nodiscard]] std::string dump(const json& value);
[[nodiscard]] std::string array(std::span<const uuid> ids);
[[nodiscard]] std::string array(std::span<const std::string> texts);
[[nodiscard]] std::string seconds(std::chrono::milliseconds span);

}  // namespace chancy::detail
