#include "cli.hpp"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <iostream>

namespace chancy::cli {
namespace {

struct options {
    worker_options worker;
    std::vector<std::string> commands;
    std::string grace = "30s", poll, timeout = "90s", log_level = "info";
    bool no_listen = false, no_maintenance = false;
};

int list(const context& with) {
    client db = with.connect();
    table out({"worker", "queues", "tags", "last seen", "expires"});
    for (const worker_row& w : db.list_workers()) {
        if (with.json) print_json(w);
        else out.add({w.worker_id, join(w.queues), join(w.tags), relative(w.last_seen), relative(w.expires_at)});
    }
    if (!with.json) out.print();
    return ok;
}

int run(const context& with, options& o) {
    if (o.commands.empty()) throw CLI::ValidationError("a worker needs something to run: --exec NAME=COMMAND");
    const auto log = spdlog::stderr_color_mt("chancy");
    log->set_level(spdlog::level::from_str(o.log_level));
    log->set_pattern("%Y-%m-%d %H:%M:%S.%e %^%l%$ %v");
    o.worker.conninfo = with.conninfo;
    o.worker.grace = read_duration(o.grace);
    if (!o.poll.empty()) o.worker.poll_interval = read_duration(o.poll);
    o.worker.heartbeat_timeout = read_duration(o.timeout);
    o.worker.listen = !o.no_listen;
    if (o.no_maintenance) o.worker.maintain_interval = {};
    o.worker.log = [log](chancy::log_level level, const std::string& text) {
        static constexpr spdlog::level::level_enum levels[] = {spdlog::level::debug, spdlog::level::info, spdlog::level::warn,
                                                               spdlog::level::err};
        log->log(levels[static_cast<int>(level)], "{}", text);
    };
    worker w(o.worker);
    for (const std::string& pair : o.commands) {
        const auto equals = pair.find('=');
        if (equals == 0 || equals == std::string::npos || equals + 1 == pair.size())
            throw CLI::ValidationError("--exec wants NAME=COMMAND, not \"" + pair + "\"");
        w.on(pair.substr(0, equals), command(pair.substr(equals + 1)));
    }
    const stop_on_signals guard([&] {
        log->info("stopping");
        w.stop();
    });
    log->info("worker {} on {}", w.id(), join(o.worker.queues));
    w.run();
    log->info("stopped");
    return ok;
}

}  // namespace

void add_worker(CLI::App& app, context& with) {
    auto o = std::make_shared<options>();
    CLI::App* c = app.add_subcommand("worker", "Run jobs as commands, until SIGTERM or Ctrl-C; or list the workers");
    c->fallthrough();
    c->add_option("--queue", o->worker.queues, "A queue to work on; may be repeated")->allow_extra_args(false)->capture_default_str();
    c->add_option("--exec", o->commands, "Run COMMAND in a shell for jobs of this func; may be repeated")
        ->option_text("NAME=COMMAND")->allow_extra_args(false);
    c->add_option("--concurrency", o->worker.concurrency, "Jobs at once for each queue; 0: as the queue says, else one a processor")
        ->check(CLI::Range(0, 10'000))->capture_default_str();
    c->add_option("--id", o->worker.worker_id, "The worker's id, its alone; host:pid:random without it");
    c->add_option("--tag", o->worker.tags, "A tag of the worker; may be repeated")->allow_extra_args(false);
    c->add_option("--grace", o->grace, "How long running jobs may go on after SIGTERM")->capture_default_str();
    c->add_option("--poll", o->poll, "How often to look when nothing wakes us; as the queue says without it");
    c->add_option("--heartbeat-timeout", o->timeout, "How long after its last sign of life others take the worker's jobs over")->capture_default_str();
    c->add_flag("--no-maintenance", o->no_maintenance, "Leave it to others to call chancy.maintain() now and then");
    c->add_flag("--no-listen", o->no_listen, "Only poll: behind PgBouncer in transaction mode");
    c->add_option("--listen-dbname", o->worker.listen_conninfo, "A direct connection for LISTEN, beside a PgBouncer");
    c->add_option("--log-level", o->log_level, "debug, info, warning or error")
        ->check(CLI::IsMember({"debug", "info", "warning", "error"}))->capture_default_str();
    c->footer(R"(The command gets the job as JSON on standard input. Its exit status is the outcome: 0 succeeded (standard output,
if it is JSON, is the result), 75 failed for now (retried while attempts remain), any other failed for good.
When the job is cancelled, or the grace ends, its process group gets SIGTERM, and 5 s later SIGKILL.

Examples:
  chancy worker --exec mail.send=./send-mail
  chancy worker --queue slow --queue default --concurrency 4 --exec 'thumb=jq -r .kwargs.file | xargs ./thumb'
  chancy worker list)");
    CLI::App* l = c->add_subcommand("list", "List the workers that the database knows");
    l->fallthrough();
    l->callback([&with] { with.command = [&with] { return list(with); }; });
    c->callback([o, &with] {
        if (!with.command) with.command = [o, &with] { return run(with, *o); };
    });
}

}  // namespace chancy::cli
