// What the commands of the command line share.
#pragma once

#include <chancy/chancy.hpp>

#include <CLI/CLI.hpp>

#include <functional>
#include <string>
#include <vector>

namespace chancy::cli {

// Exit codes; --help tells them.
enum exit_code { ok = 0, failure = 1, usage = 2, not_found = 3, job_failed = 4, timed_out = 5, findings = 6 };

struct context {
    std::string conninfo;
    bool json = false;
    std::function<int()> command;  // what was asked for; set while parsing

    [[nodiscard]] client connect() const { return client(conninfo); }
};

// Each adds its command to the application.
void add_push(CLI::App& app, context& with);
void add_worker(CLI::App& app, context& with);
void add_queue(CLI::App& app, context& with);
void add_job(CLI::App& app, context& with);
void add_maintenance(CLI::App& app, context& with);
void add_event(CLI::App& app, context& with);
void add_cron(CLI::App& app, context& with);
void add_sql(CLI::App& app, context& with);
void add_top(CLI::App& app, context& with);
void add_interop(CLI::App& app, context& with);
void add_workflow(CLI::App& app, context& with);
void add_metrics(CLI::App& app, context& with);
void add_leadership(CLI::App& app, context& with);
void add_doctor(CLI::App& app, context& with);

// queue stats
void print_queue_stats(const context& with, const std::vector<queue_stats>& queues);

// push --file: the jobs of a file (-: standard input), one JSON object a line.
// A job from a line of JSON; its keys are push's parameter names, and what it does not name is as in job. Throws std::runtime_error.
[[nodiscard]] new_job read_job(const std::string& line, new_job job);
int push_stream(const context& with, const std::string& file, const new_job& defaults);

// ---- reading: each throws CLI::ValidationError, which ends with exit code 2
[[nodiscard]] json read_json(const std::string& option, const std::string& text);
[[nodiscard]] uuid read_id(const std::string& text);
[[nodiscard]] std::chrono::milliseconds read_duration(const std::string& text);  // 90, 1.5s, 10m, 1h30m, 2d
[[nodiscard]] timestamp read_time(const std::string& text);  // 2026-01-31[ 12:00[:00[.5]]][Z|+01:00]; local without a zone
[[nodiscard]] json read_limit(const std::string& text);      // time=30s, memory=512M

// ---- writing
void print_json(const json& document);  // one line
class table {
public:
    explicit table(std::vector<std::string> header) : m_rows{std::move(header)} {}
    void add(std::vector<std::string> row) { m_rows.push_back(std::move(row)); }
    [[nodiscard]] std::vector<std::string> lines() const;  // columns as wide as their widest cell; the first is the header
    void print() const;

private:
    std::vector<std::vector<std::string>> m_rows;
};
[[nodiscard]] std::string relative(timestamp when);  // "3 min ago"
[[nodiscard]] std::string relative(const std::optional<timestamp>& when);
[[nodiscard]] std::string span(double seconds);     // "40 ms", "3.1 s", "12 min"
[[nodiscard]] std::string decimal(double number);   // at most six digits
[[nodiscard]] std::string join(const std::vector<std::string>& texts);

}  // namespace chancy::cli
