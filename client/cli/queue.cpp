#include "cli.hpp"

#include <iostream>

namespace chancy::cli {
namespace {

void print_queues(const context& with, const std::vector<queue>& queues) {
    table out({"queue", "state", "concurrency", "running at most", "rate limit", "tags", "resumes", "created"});
    for (const queue& q : queues) {
        if (with.json) {
            print_json(q);
            continue;
        }
        const std::string rate = q.rate_limit ? std::to_string(*q.rate_limit) + " in " + std::to_string(q.rate_limit_window.value_or(0)) + " s" +
            (q.rate_limit_burst ? ", " + std::to_string(*q.rate_limit_burst) + " at once" : "") : "";
        std::string most = q.max_running ? std::to_string(*q.max_running) : "";
        if (q.max_running_per_key) most += (most.empty() ? "" : ", ") + std::to_string(*q.max_running_per_key) + " a key";
        out.add({q.name, q.state, q.concurrency ? std::to_string(*q.concurrency) : "", most, rate, join(q.tags), relative(q.resume_at),
                 relative(q.created_at)});
    }
    if (!with.json) out.print();
}

// The answer of a command that names a queue.
int answer(const context& with, const std::string& name, const char* what, bool done) {
    if (with.json) print_json({{"name", name}, {what, done}});
    else if (!done) std::cerr << "chancy: there is no queue \"" << name << "\"\n";
    return done ? ok : not_found;
}

void add_declare(CLI::App& queues, context& with) {
    struct options {
        queue wanted;
        std::string resume_at, executor_options;
        bool upsert = false;
    };
    auto o = std::make_shared<options>();
    CLI::App* c = queues.add_subcommand("declare", "Make a queue, or with --upsert change it; prints the queue as it is");
    c->fallthrough();
    c->add_option("name", o->wanted.name, "Its name")->required();
    c->add_option("--concurrency", o->wanted.concurrency, "Jobs at once in one worker");
    c->add_option("--tag", o->wanted.tags, "A regex for the tags of workers that take it; may be repeated")->allow_extra_args(false);
    c->add_option("--rate-limit", o->wanted.rate_limit, "At most so many jobs in a window");
    c->add_option("--rate-limit-window", o->wanted.rate_limit_window, "The window, in seconds");
    c->add_option("--rate-limit-burst", o->wanted.rate_limit_burst, "A token bucket: at most so many at once, and the rate limit in any such span");
    c->add_option("--max-running", o->wanted.max_running, "Jobs at once over all workers");
    c->add_option("--max-running-per-key", o->wanted.max_running_per_key, "Jobs at once of one concurrency key; keys take turns");
    c->add_option("--polling-interval", o->wanted.polling_interval, "Seconds between polls of its workers")->capture_default_str();
    c->add_flag("--eager-polling", o->wanted.eager_polling, "Poll again at once after a full batch");
    c->add_option("--state", o->wanted.state, "active or paused")->capture_default_str();
    c->add_option("--resume-at", o->resume_at, "When a paused queue goes on");
    c->add_option("--executor", o->wanted.executor, "The executor of its workers")->capture_default_str();
    c->add_option("--executor-options", o->executor_options, "A JSON object");
    c->add_flag("--upsert", o->upsert, "Change the queue if it exists");
    c->footer("Example:\n  chancy queue declare mail --concurrency 4 --rate-limit 100 --rate-limit-window 60 --upsert");
    c->callback([o, &with] {
        with.command = [o, &with] {
            if (!o->resume_at.empty()) o->wanted.resume_at = read_time(o->resume_at);
            if (!o->executor_options.empty()) o->wanted.executor_options = read_json("--executor-options", o->executor_options);
            client db = with.connect();
            print_queues(with, {db.declare_queue(o->wanted, o->upsert)});
            return ok;
        };
    });
}

}  // namespace

void add_queue(CLI::App& app, context& with) {
    CLI::App* queues = app.add_subcommand("queue", "List, look at, declare, pause, resume, delete queues");
    queues->fallthrough()->require_subcommand(1);
    queues->footer("Examples:\n  chancy queue list\n  chancy queue stats\n  chancy queue pause mail --for 1h\n  chancy queue delete old");

    CLI::App* list = queues->add_subcommand("list", "List the queues");
    list->fallthrough();
    list->callback([&with] {
        with.command = [&with] {
            client db = with.connect();
            print_queues(with, db.list_queues());
            return ok;
        };
    });
    CLI::App* stats = queues->add_subcommand("stats", "How the queues stand now: live jobs, rates, times, workers");
    stats->fallthrough();
    stats->footer("Rates and times are those of the last one to two minutes.\n\nExample:\n  watch chancy queue stats");
    stats->callback([&with] {
        with.command = [&with] {
            print_queue_stats(with, with.connect().queue_stats());
            return ok;
        };
    });
    add_declare(*queues, with);

    struct named {
        std::string name, until, span;
        bool keep_jobs = false;
    };
    auto o = std::make_shared<named>();
    const auto add = [&](const char* name, const char* description, auto run) {
        CLI::App* c = queues->add_subcommand(name, description);
        c->fallthrough();
        c->add_option("name", o->name, "The queue")->required();
        c->callback([o, &with, run] { with.command = [o, &with, run] { return run(*o); }; });
        return c;
    };
    CLI::App* pause = add("pause", "Let nothing be fetched from a queue", [&with](const named& n) {
        std::optional<timestamp> until;
        if (!n.until.empty()) until = read_time(n.until);
        if (!n.span.empty()) until = now() + read_duration(n.span);
        return answer(with, n.name, "paused", with.connect().pause_queue(n.name, until));
    });
    auto* until = pause->add_option("--until", o->until, "Go on at this time");
    pause->add_option("--for", o->span, "Go on after so long: 90, 10m, 2h")->excludes(until);
    add("resume", "Let a paused queue go on",
        [&with](const named& n) { return answer(with, n.name, "resumed", with.connect().resume_queue(n.name)); });
    CLI::App* remove = add("delete", "Delete a queue and its jobs; refused while one of them runs", [&with](const named& n) {
        return answer(with, n.name, "deleted", with.connect().delete_queue(n.name, !n.keep_jobs));
    });
    remove->add_flag("--keep-jobs", o->keep_jobs, "Leave its jobs in the table");
}

}  // namespace chancy::cli
