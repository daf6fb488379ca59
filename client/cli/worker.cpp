#include "cli.hpp"
#include "scrape.hpp"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <iostream>

namespace chancy::cli {
namespace {

struct options {
    worker_options worker;
    std::vector<std::string> commands, batches, concurrency, executors;
    batch_options batch;
    std::string batch_wait = "0s", grace = "30s", poll, timeout = "90s", log_level = "info", log_format = "text", metrics;
    bool all_queues = false, no_listen = false, no_maintenance = false;
};

constexpr const char* executor_names = "process, thread or queue (as its row says)";

executor read_executor(const std::string& text) {
    if (text == "process") return executor::processes;
    if (text == "thread") return executor::threads;
    if (text == "queue") return executor::as_declared;
    throw CLI::ValidationError("--executor: \"" + text + "\" is not " + executor_names);
}

int read_concurrency(const std::string& text) {
    int value = -1;
    if (text.empty() || text.size() > 5 || text.find_first_not_of("0123456789") != std::string::npos || (value = std::stoi(text)) > 10'000)
        throw CLI::ValidationError("--concurrency: \"" + text + "\" is not a number from 0 to 10000");
    return value;
}

// VALUE for all queues, QUEUE=VALUE for one: calls take(its queue or nullptr, value). A queue's name may hold a "=" itself.
template <class F>
void each_for_queue(const std::vector<std::string>& given, F take) {
    for (const std::string& text : given) {
        const auto equals = text.rfind('=');
        if (equals == std::string::npos) {
            take(nullptr, text);
        } else {
            const std::string queue = text.substr(0, equals);
            take(&queue, text.substr(equals + 1));
        }
    }
}

// NAME=COMMAND: calls take(name, command).
template <class F>
void each_command(const char* option, const std::vector<std::string>& given, F take) {
    for (const std::string& pair : given) {
        const auto equals = pair.find('=');
        if (equals == 0 || equals == std::string::npos || equals + 1 == pair.size())
            throw CLI::ValidationError(std::string(option) + " wants NAME=COMMAND, not \"" + pair + "\"");
        take(pair.substr(0, equals), pair.substr(equals + 1));
    }
}

void read_queue_options(options& o) {
    if (o.all_queues) o.worker.queues.clear();
    o.worker.run_on = executor::processes;
    each_for_queue(o.concurrency, [&](const std::string* queue, const std::string& value) {
        (queue ? o.worker.by_queue[*queue].concurrency : o.worker.concurrency) = read_concurrency(value);
    });
    each_for_queue(o.executors, [&](const std::string* queue, const std::string& value) {
        if (queue) o.worker.by_queue[*queue].run_on = read_executor(value);
        else o.worker.run_on = read_executor(value);
    });
}

// A line of JSON for each message: time, level, worker, message.
class json_formatter : public spdlog::formatter {
public:
    explicit json_formatter(std::string worker_id) : m_worker(std::move(worker_id)) {}
    void format(const spdlog::details::log_msg& what, spdlog::memory_buf_t& out) override {
        const auto level = spdlog::level::to_string_view(what.level);
        const std::string line = json{{"time", to_string(std::chrono::time_point_cast<std::chrono::microseconds>(what.time))},
                                      {"level", std::string(level.data(), level.size())},
                                      {"worker", m_worker},
                                      {"message", std::string(what.payload.data(), what.payload.size())}}
                                     .dump(-1, ' ', false, json::error_handler_t::replace) + '\n';
        out.append(line.data(), line.data() + line.size());
    }
    [[nodiscard]] std::unique_ptr<spdlog::formatter> clone() const override { return std::make_unique<json_formatter>(m_worker); }

private:
    std::string m_worker;
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
    if (o.commands.empty() && o.batches.empty()) throw CLI::ValidationError("a worker needs something to run: --exec NAME=COMMAND");
    const auto log = spdlog::stderr_color_mt("chancy");
    log->set_level(spdlog::level::from_str(o.log_level));
    read_queue_options(o);
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
    if (o.log_format == "json") log->set_formatter(std::make_unique<json_formatter>(w.id()));
    else log->set_pattern("%Y-%m-%d %H:%M:%S.%e %^%l%$ %v");
    const auto patience = std::min<std::chrono::milliseconds>(std::chrono::seconds(4), o.worker.heartbeat_timeout / 4);
    o.batch.wait = read_duration(o.batch_wait);
    std::vector<std::string> funcs;
    each_command("--exec", o.commands, [&](const std::string& func, const std::string& shell) { w.on(funcs.emplace_back(func), command(shell, patience)); });
    each_command("--exec-batch", o.batches, [&](const std::string& func, const std::string& shell) {
        w.on_batch(funcs.emplace_back(func), o.batch, command_batch(shell, patience));
    });
    w.fork_children();  // before there are threads
    const stop_on_signals guard([&] {
        log->info("stopping");
        w.stop();
    });
    std::optional<scrape> told;
    if (!o.metrics.empty()) {
        told.emplace(o.metrics, w.id(), funcs, [&w] { return w.ready(); });
        w.use(told->counting());
        log->info("metrics at {}", told->url());
    }
    log->info("worker {} on {}", w.id(), o.all_queues ? "all queues whose tags match" : join(o.worker.queues));
    w.run();
    log->info("stopped");
    return ok;
}

}  // namespace

void add_worker(CLI::App& app, context& with) {
    auto o = std::make_shared<options>();
    CLI::App* c = app.add_subcommand("worker", "Run jobs as commands, until SIGTERM or Ctrl-C; or list the workers");
    c->fallthrough();
    auto* queues = c->add_option("--queue", o->worker.queues, "A queue to work on; may be repeated")->allow_extra_args(false)->capture_default_str();
    c->add_flag("--all-queues", o->all_queues, "Work on every declared queue that has a tag, a regex, for one of the worker's tags")->excludes(queues);
    c->add_option("--exec", o->commands, "Run COMMAND in a shell for jobs of this func; may be repeated")
        ->option_text("NAME=COMMAND")->allow_extra_args(false);
    c->add_option("--exec-batch", o->batches, "The same for up to --batch-size jobs at once: one a line, and a line of JSON as the answer for each")
        ->option_text("NAME=COMMAND")->allow_extra_args(false);
    c->add_option("--batch-size", o->batch.up_to, "Jobs of a batch, 1 to 1000")->check(CLI::Range(1, 1000))->capture_default_str();
    c->add_option("--batch-wait", o->batch_wait, "How long the first one waits for others, up to 10s")->capture_default_str();
    c->add_option("--concurrency", o->concurrency, "Jobs at once for each queue, or for one; 0: as the queue says, else one a processor")
        ->option_text("[QUEUE=]N")->allow_extra_args(false);
    c->add_option("--executor", o->executors, std::string("Where handlers run, for all queues or one: ") + executor_names + "; process without it")
        ->option_text("[QUEUE=]NAME")->allow_extra_args(false);
    c->add_option("--id", o->worker.worker_id, "The worker's id, its alone; host:pid:random without it");
    c->add_option("--tag", o->worker.tags, "A tag of the worker, beside *, hostname=, worker_id=, os= and arch=; may be repeated")->allow_extra_args(false);
    c->add_option("--grace", o->grace, "How long running jobs may go on after SIGTERM")->capture_default_str();
    c->add_option("--poll", o->poll, "How often to look when nothing wakes us; as the queue says without it");
    c->add_option("--heartbeat-timeout", o->timeout, "How long after its last sign of life others take the worker's jobs over")->capture_default_str();
    c->add_flag("--no-maintenance", o->no_maintenance, "Leave it to others to call chancy.maintain() now and then");
    c->add_flag("--no-listen", o->no_listen, "Only poll: behind PgBouncer in transaction mode");
    c->add_option("--listen-dbname", o->worker.listen_conninfo, "A direct connection for LISTEN, beside a PgBouncer");
    c->add_option("--metrics", o->metrics, "Answer /metrics for Prometheus, /healthz and /readyz there, without log-in")->option_text("[ADDRESS:]PORT");
    c->add_option("--log-level", o->log_level, "debug, info, warning or error")
        ->check(CLI::IsMember({"debug", "info", "warning", "error"}))->capture_default_str();
    c->add_option("--log-format", o->log_format, "text or json, a line for each message")
        ->check(CLI::IsMember({"text", "json"}))->capture_default_str();
    c->footer(R"(The command gets the job as JSON on standard input. Its exit status is the outcome: 0 succeeded (standard output,
if it is JSON, is the result), 75 failed for now (retried while attempts remain), any other failed for good.
When the job is cancelled, at its time limit, or when the grace ends, its process group gets SIGTERM, and 4 s later SIGKILL.
A memory limit is the command's RLIMIT_AS. When the worker ends, however it ends, all that it has started ends.

Examples:
  chancy worker --exec mail.send=./send-mail
  chancy worker --queue slow --queue default --concurrency 4 --concurrency slow=1 --exec 'thumb=jq -r .kwargs.file | xargs ./thumb'
  chancy worker --exec-batch 'index=./index-all' --batch-size 500 --batch-wait 200ms
  chancy worker --all-queues --tag has=gpu --exec train=./train --log-format json
  chancy worker list)");
    CLI::App* l = c->add_subcommand("list", "List the workers that the database knows");
    l->fallthrough();
    l->callback([&with] { with.command = [&with] { return list(with); }; });
    c->callback([o, &with] {
        if (!with.command) with.command = [o, &with] { return run(with, *o); };
    });
}

}  // namespace chancy::cli
