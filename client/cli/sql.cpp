// chancy sql: functions of the database as jobs, run in the server.
#include "cli.hpp"

#include <iostream>

namespace chancy::cli {
namespace {

struct options {
    new_sql_job job;
    std::string args, at, in, timeout = "1h", every, after, queue = "sql";
    int up_to = 100, at_most = 1000;
};

int push(const context& with, options& o) {
    if (!o.args.empty()) o.job.args = read_json("--args", o.args);
    if (!o.at.empty()) o.job.scheduled_at = read_time(o.at);
    if (!o.in.empty()) o.job.scheduled_at = now() + read_duration(o.in);
    if (!o.every.empty()) o.job.every = read_duration(o.every);
    o.job.timeout = read_duration(o.timeout);
    const uuid id = with.connect().push_sql(o.job);
    if (with.json) print_json({{"id", id.to_string()}});
    else std::cout << id.to_string() << '\n';
    return ok;
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

// What came of the last run.
std::string outcome_of(const sql_job_row& row) {
    if (row.error && row.state != job_state::succeeded) return first_line(*row.error);
    return row.result ? row.result->dump(-1, ' ', false, json::error_handler_t::replace) : "";
}

int list(const context& with, const options& o) {
    client db = with.connect();
    table out({"id", "function", "arguments", "role", "queue", "state", "due", "started", "completed", "result or error"});
    for (const sql_job_row& row : db.list_sql_jobs(o.after.empty() ? std::nullopt : std::optional(read_id(o.after)), o.up_to)) {
        if (with.json) print_json(row);
        else
            out.add({row.id.to_string(), row.function, row.args.dump(-1, ' ', false, json::error_handler_t::replace), row.role, row.queue,
                     std::string(to_string(row.state)), relative(row.scheduled_at), relative(row.started_at), relative(row.completed_at), outcome_of(row)});
    }
    if (!with.json) out.print();
    return ok;
}

}  // namespace

void add_sql(CLI::App& app, context& with) {
    auto o = std::make_shared<options>();
    CLI::App* sql = app.add_subcommand("sql", "SQL jobs: functions of the database, run in the server");
    sql->fallthrough()->require_subcommand(1);
    sql->footer(R"(The queue has to be declared, and each job is one that job show, wait, cancel and retry know. By a cron expression: cron schedule --sql.

Examples:
  chancy queue declare sql
  chancy sql push 'refresh(text)' --args '["totals"]' --timeout 10m
  chancy sql push 'tidy_up()' --every 1d
  chancy sql list)");
    const auto add = [&](const char* name, const char* what, auto run) {
        CLI::App* c = sql->add_subcommand(name, what);
        c->fallthrough();
        c->callback([o, &with, run] { with.command = [o, &with, run] { return run(with, *o); }; });
        return c;
    };

    CLI::App* c = add("push", "Push a call of a function or procedure, to be run as you, and print the job's id", push);
    c->add_option("function", o->job.function, "With the types of its arguments: app.refresh(text)")->required();
    c->add_option("--args", o->args, "Its arguments in their order, a JSON array");
    c->add_option("--queue", o->job.queue, "The queue")->capture_default_str();
    c->add_option("--priority", o->job.priority, "Higher runs first")->capture_default_str();
    c->add_option("--max-attempts", o->job.max_attempts, "How often it is tried")->capture_default_str();
    auto* at = c->add_option("--at", o->at, "Not before this time: 2026-01-31T12:00:00Z, or \"2026-01-31 12:00\" (local)");
    c->add_option("--in", o->in, "Not before so long from now: 90, 10m, 1h30m, 2d")->excludes(at);
    c->add_option("--timeout", o->timeout, "How long the call may take")->capture_default_str();
    c->add_option("--every", o->every, "Again, so long after each start, until it is cancelled: 5m, 1h, 7d");

    c = add("list", "SQL jobs, the newest first, with what came of them", list);
    c->add_option("--after", o->after, "The next page: the last id of the page before");
    c->add_option("--limit", o->up_to, "At most so many")->capture_default_str();

    c = add("run", "Run what is due, one after the other, on this connection; the server's background workers do so by themselves",
            [](const context& w, const options& given) {
                w.connect().run_sql_jobs(given.queue, given.at_most);
                return static_cast<int>(ok);
            });
    c->add_option("--queue", o->queue, "The queue")->capture_default_str();
    c->add_option("--limit", o->at_most, "At most so many")->capture_default_str();
}

}  // namespace chancy::cli
