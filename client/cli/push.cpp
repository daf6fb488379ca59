#include "cli.hpp"

#include <cstdlib>
#include <iostream>

namespace chancy::cli {
namespace {

struct options {
    new_job job;
    std::string kwargs, meta, traceparent, at, in, unique_for, file;
    std::vector<std::string> limits;
};

// Pushed from within a trace, by a command of a worker say: it goes on, unless it is told another one.
std::optional<trace_context> trace_of(const options& o) {
    if (!o.traceparent.empty()) {
        auto told = trace_context::read(o.traceparent);
        if (!told) throw CLI::ValidationError("--traceparent", "not a W3C traceparent: 00-, 32 hex digits, -, 16, -01");
        if (o.job.meta.contains("traceparent")) throw CLI::ValidationError("--traceparent", "--meta has one too");
        return told;
    }
    const auto variable = [](const char* name) { const char* value = std::getenv(name); return std::string(value ? value : ""); };
    return !o.job.meta.is_object() || o.job.meta.contains("traceparent") ? std::nullopt : trace_context::read(variable("TRACEPARENT"), variable("TRACESTATE"));
}

int push(const context& with, options& o) {
    if (!o.kwargs.empty()) o.job.kwargs = read_json("--kwargs", o.kwargs);
    if (!o.meta.empty()) o.job.meta = read_json("--meta", o.meta);
    if (const auto from = trace_of(o)) o.job.meta = from->into(std::move(o.job.meta));
    if (!o.at.empty()) o.job.scheduled_at = read_time(o.at);
    if (!o.in.empty()) o.job.scheduled_at = now() + read_duration(o.in);
    if (!o.unique_for.empty()) o.job.unique_for = read_duration(o.unique_for);
    for (const std::string& limit : o.limits) o.job.limits.push_back(read_limit(limit));
    if (!o.file.empty()) return push_stream(with, o.file, o.job);
    if (o.job.func.empty()) throw CLI::ValidationError("func is required");
    client db = with.connect();
    const pushed done = db.push_many({&o.job, 1}).at(0);
    if (with.json) print_json({{"id", done.id.to_string()}, {"created", done.created.value_or(true)}});
    else std::cout << done.id.to_string() << '\n';
    if (!with.json && !done.created.value_or(true)) std::cerr << "chancy: a job has this key already\n";
    return ok;
}

}  // namespace

void add_push(CLI::App& app, context& with) {
    auto o = std::make_shared<options>();
    CLI::App* c = app.add_subcommand("push", "Push a job, and print its id; or a stream of jobs");
    c->fallthrough();
    c->add_option("func", o->job.func, "The name of what to run; its worker knows it");
    c->add_option("--kwargs", o->kwargs, "Its arguments, a JSON object");
    c->add_option("--queue", o->job.queue, "The queue")->capture_default_str();
    c->add_option("--priority", o->job.priority, "Higher runs first")->capture_default_str();
    c->add_option("--max-attempts", o->job.max_attempts, "How often it is tried")->capture_default_str();
    auto* at = c->add_option("--at", o->at, "Not before this time: 2026-01-31T12:00:00Z, or \"2026-01-31 12:00\" (local)");
    c->add_option("--in", o->in, "Not before so long from now: 90, 10m, 1h30m, 2d")->excludes(at);
    c->add_option("--unique-key", o->job.unique_key, "One live job a key: while there is one, its id is printed instead");
    c->add_option("--on-conflict", o->job.on_conflict, "If the key is taken: keep the job that has it, replace what it is to do, reject (an error), or rerun: "
                  "run once more after this")->check(CLI::IsMember({"keep", "replace", "reject", "rerun"}))->capture_default_str();
    c->add_option("--unique-for", o->unique_for, "For so long the key stays taken, even if the job has ended: 30s, 1h, 7d");
    c->add_option("--concurrency-key", o->job.concurrency_key, "Whose share of the queue the job takes, a tenant say: see queue declare --max-running-per-key");
    c->add_option("--meta", o->meta, "Data of your own that stays with the job, a JSON object");
    c->add_option("--traceparent", o->traceparent, "The W3C trace that the job belongs to; TRACEPARENT and TRACESTATE in the environment without it");
    c->add_option("--limit", o->limits, "time=30s or memory=512M; once for each")->allow_extra_args(false);
    c->add_option("--file", o->file, "Push the jobs in this file, or - for standard input: a JSON object a line, keys as the columns");
    c->footer(R"(With --file, what a line does not name is as in the options. Jobs are pushed 1000 in a transaction, and as soon as the
stream pauses. After an error the lines before it stay pushed: give the jobs unique keys to be able to repeat all.

Examples:
  chancy push mail.send --kwargs '{"to": "a@b.c"}'
  chancy push report.build --queue slow --in 10m --unique-key report:today
  chancy push search.index --unique-key doc:17 --on-conflict rerun
  chancy push digest.send --unique-key digest:ann --unique-for 1h
  chancy push --file jobs.jsonl
  jq -c '{kwargs: .}' customers.json | chancy push mail.send --file -
  id=$(chancy push import --max-attempts 5) && chancy job wait "$id")");
    c->callback([o, &with] { with.command = [o, &with] { return push(with, *o); }; });
}

}  // namespace chancy::cli
