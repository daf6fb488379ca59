#include "cli.hpp"

#include <cstdio>
#include <iostream>

namespace chancy::cli {
namespace {

std::string number(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.6g", value);
    return text;
}

std::string number(const std::optional<double>& value) { return value ? number(*value) : ""; }

int list(const context& with, const metric_filter& filter) {
    client db = with.connect();
    table out({"metric", "at", "value", "count", "average", "least", "most"});
    for (const metric_point& p : db.metric_points(filter)) {
        if (with.json) print_json(p);
        else out.add({p.metric_key, relative(p.at), number(p.value), p.metric_type == "histogram" ? std::to_string(p.count) : "",
                      number(p.average), number(p.least), number(p.most)});
    }
    if (!with.json) out.print();
    return ok;
}

int record(const context& with, const metric& m) {
    client db = with.connect();
    const int recorded = db.record_metrics({&m, 1});
    if (with.json) print_json({{"recorded", recorded}});
    return ok;
}

}  // namespace

void print_queue_stats(const context& with, const std::vector<queue_stats>& queues) {
    table out({"queue", "state", "pending", "retrying", "scheduled", "running", "oldest waiting", "in/s", "out/s", "waiting", "running for", "workers"});
    const auto seconds = [](const std::optional<double>& s) { return s ? number(*s) + " s" : ""; };
    for (const queue_stats& q : queues) {
        if (with.json) print_json(q);
        else out.add({q.queue, q.state.value_or("undeclared"), std::to_string(q.pending), std::to_string(q.retrying), std::to_string(q.scheduled),
                      std::to_string(q.running), seconds(q.oldest_waiting), number(q.pushed_per_second), number(q.finished_per_second),
                      seconds(q.average_waiting), seconds(q.average_running), std::to_string(q.workers)});
    }
    if (!with.json) out.print();
}

void add_metrics(CLI::App& app, context& with) {
    struct options {
        metric_filter filter;
        std::string since;
        metric own;
    };
    auto o = std::make_shared<options>();
    CLI::App* metrics = app.add_subcommand("metrics", "The history of what the queue did; and values of your own");
    metrics->fallthrough()->require_subcommand(1);
    metrics->footer("How queues stand now: chancy queue stats\n\nExamples:\n  chancy metrics list queue:mail:\n  chancy metrics record shop:orders 3");

    CLI::App* c = metrics->add_subcommand("list", "Points of the history, by metric, the newest first");
    c->fallthrough();
    c->add_option("prefix", o->filter.prefix, "Metrics whose key begins so; all without it");
    c->add_option("--resolution", o->filter.resolution, "1min, 5min, 1hour or 1day")
        ->check(CLI::IsMember({"1min", "5min", "1hour", "1day"}))->capture_default_str();
    c->add_option("--since", o->since, "Only so far back: 90, 10m, 2h, 7d");
    c->add_option("--limit", o->filter.up_to, "At most so many points")->check(CLI::PositiveNumber)->capture_default_str();
    c->footer(R"(Keys: queue:Q:pushed, succeeded, failed, retrying, cancelled, recovered, throughput, execution_time, waiting_time; the same with job:FUNC:; and
global:status:succeeded. Times are seconds. What happened shows within a minute, when maintenance has run.

Examples:
  chancy metrics list queue:mail: --since 10m
  chancy metrics list job:mail.send:execution_time --resolution 1hour)");
    c->callback([o, &with] {
        with.command = [o, &with] {
            if (!o->since.empty()) o->filter.since = now() - read_duration(o->since);
            return list(with, o->filter);
        };
    });

    c = metrics->add_subcommand("record", "Record a value of your own");
    c->fallthrough();
    c->add_option("key", o->own.metric_key, "Its key, such as shop:orders")->required();
    c->add_option("value", o->own.value, "A number")->capture_default_str();
    c->add_option("--type", o->own.type, "counter (adds up), gauge (the last counts) or histogram")
        ->check(CLI::IsMember({"counter", "gauge", "histogram"}))->capture_default_str();
    c->footer("Example:\n  chancy metrics record shop:orders 3");
    c->callback([o, &with] { with.command = [o, &with] { return record(with, o->own); }; });
}

}  // namespace chancy::cli
