// chancy cron: schedules.
#include "cli.hpp"

#include <iostream>

namespace chancy::cli {
namespace {

// The answer of a command that names a schedule.
int answer(const context& with, const std::string& key, const char* what, bool done) {
    if (with.json) print_json({{"key", key}, {what, done}});
    else if (!done) std::cerr << "chancy: there is no schedule \"" << key << "\"\n";
    return done ? ok : not_found;
}

int list(const context& with) {
    client db = with.connect();
    table out({"key", "expression", "time zone", "func", "queue", "missed", "last", "next"});
    for (const cron_row& row : db.list_cron()) {
        if (with.json) print_json(row);
        else
            out.add({row.key, row.expression, row.time_zone, row.job.value("function", row.job.value("func", "")), row.job.value("queue", "default"), row.missed,
                     relative(row.last_run), row.paused ? "paused" : relative(row.next_run)});
    }
    if (!with.json) out.print();
    return ok;
}

void add_rules(CLI::App* c, std::string& time_zone, std::string& skipped, std::string& repeated) {
    c->add_option("--time-zone", time_zone, "Whose clock: Europe/Berlin")->capture_default_str();
    c->add_option("--skipped-times", skipped, "Times that do not come when the clock is set forward: as_cron, after, skip")->capture_default_str();
    c->add_option("--repeated-times", repeated, "Times that come twice when it is set back: as_cron, first, last, both")->capture_default_str();
}

void add_schedule(CLI::App& cron, context& with) {
    struct options {
        new_cron wanted;
        std::string kwargs, meta, unique_for, grace = "1m";
        std::vector<std::string> limits;
        std::string args, timeout = "1h";
        bool sql = false;
    };
    auto o = std::make_shared<options>();
    CLI::App* c = cron.add_subcommand("schedule", "Make or change a schedule; prints its next tick");
    c->fallthrough();
    c->add_option("key", o->wanted.key, "Its name; also the unique key of its jobs")->required();
    c->add_option("expression", o->wanted.expression, "When: minute hour day-of-month month day-of-week [second], or @daily and the like")->required();
    c->add_option("func", o->wanted.job.func, "The name of what to run")->required();
    c->add_option("--kwargs", o->kwargs, "Its arguments, a JSON object");
    auto* queue = c->add_option("--queue", o->wanted.job.queue, "The queue; of SQL jobs sql, unless given")->capture_default_str();
    c->add_option("--priority", o->wanted.job.priority, "Higher runs first")->capture_default_str();
    c->add_option("--max-attempts", o->wanted.job.max_attempts, "How often it is tried")->capture_default_str();
    c->add_option("--unique-key", o->wanted.job.unique_key, "The unique key of its jobs, if it is not the schedule's");
    auto* conflict = c->add_option("--on-conflict", o->wanted.job.on_conflict, "If the job of an earlier tick is still live: keep it, replace it, or rerun after it")
        ->check(CLI::IsMember({"keep", "replace", "rerun"}))->capture_default_str();
    c->add_option("--unique-for", o->unique_for, "Its jobs keep their key taken for so long from when they were to run, even finished: 1h");
    c->add_option("--concurrency-key", o->wanted.job.concurrency_key, "What counts its jobs in a queue with max_running_per_key");
    c->add_option("--meta", o->meta, "Data of your own that stays with the job, a JSON object");
    auto* limits = c->add_option("--limit", o->limits, "time=30s or memory=512M; once for each")->allow_extra_args(false);
    auto* sql = c->add_flag("--sql", o->sql, "func is a function or procedure of the database: the job runs in the server, as you");
    for (auto* other : {c->get_option("--kwargs"), conflict, limits}) sql->excludes(other);
    c->add_option("--args", o->args, "With --sql: its arguments, a JSON array")->needs(sql);
    c->add_option("--timeout", o->timeout, "With --sql: how long the call may take")->capture_default_str()->needs(sql);
    add_rules(c, o->wanted.time_zone, o->wanted.skipped_times, o->wanted.repeated_times);
    c->add_option("--missed", o->wanted.missed, "What nobody ran in time: skip, once, \"all up to N\"")->capture_default_str();
    c->add_option("--grace", o->grace, "How long a tick is in time")->capture_default_str();
    c->add_flag("--overlap", o->wanted.overlap, "Each tick makes a job of its own, whatever became of the one before");
    c->add_flag("--paused", o->wanted.paused, "Do not run it until cron resume");
    c->footer(R"(Examples:
  chancy cron schedule nightly '30 2 * * *' tidy.up --time-zone Europe/Berlin
  chancy cron schedule report '0 9 LW * *' report.build --queue slow --missed skip
  chancy cron schedule poll '* * * * * */10' feed.poll --on-conflict rerun
  chancy cron schedule totals '*/5 * * * *' 'refresh(text)' --sql --args '["totals"]')");
    c->callback([o, &with, queue] {
        with.command = [o, &with, queue] {
            if (o->sql) {
                new_sql_job& job = o->wanted.sql.emplace();
                job.function = o->wanted.job.func;
                if (queue->count() > 0) job.queue = o->wanted.job.queue;
                job.priority = o->wanted.job.priority;
                job.max_attempts = o->wanted.job.max_attempts;
                job.timeout = read_duration(o->timeout);
                if (!o->args.empty()) job.args = read_json("--args", o->args);
            }
            if (!o->kwargs.empty()) o->wanted.job.kwargs = read_json("--kwargs", o->kwargs);
            if (!o->meta.empty()) o->wanted.job.meta = read_json("--meta", o->meta);
            if (!o->unique_for.empty()) o->wanted.job.unique_for = read_duration(o->unique_for);
            for (const std::string& limit : o->limits) o->wanted.job.limits.push_back(read_limit(limit));
            o->wanted.grace = read_duration(o->grace);
            const auto next = with.connect().schedule_cron(o->wanted);
            if (with.json) print_json({{"key", o->wanted.key}, {"next_run", next ? json(to_string(*next)) : json(nullptr)}});
            else std::cout << (next ? to_string(*next) : "paused") << '\n';
            return ok;
        };
    });
}

void add_next(CLI::App& cron, context& with) {
    struct options {
        std::string expression, time_zone = "UTC", after, skipped = "as_cron", repeated = "as_cron";
        int n = 5;
    };
    auto o = std::make_shared<options>();
    CLI::App* c = cron.add_subcommand("next", "Show what an expression means: its next ticks");
    c->fallthrough();
    c->add_option("expression", o->expression, "When")->required();
    add_rules(c, o->time_zone, o->skipped, o->repeated);
    c->add_option("-n", o->n, "How many")->capture_default_str();
    c->add_option("--after", o->after, "After this time instead of now");
    c->footer("Example:\n  chancy cron next '30 2 * * *' --time-zone Europe/Berlin --after 2030-03-30");
    c->callback([o, &with] {
        with.command = [o, &with] {
            const auto after = o->after.empty() ? std::nullopt : std::optional(read_time(o->after));
            table out({"time (" + o->time_zone + ")", "UTC"});
            client db = with.connect();
            for (const next_run& run : db.next_runs(o->expression, o->time_zone, o->n, after, o->skipped, o->repeated)) {
                if (with.json) print_json(run);
                else out.add({run.local_time, to_string(run.tick)});
            }
            if (!with.json) out.print();
            return ok;
        };
    });
}

}  // namespace

void add_cron(CLI::App& app, context& with) {
    CLI::App* cron = app.add_subcommand("cron", "Schedules: jobs that are pushed again and again");
    cron->fallthrough();
    cron->require_subcommand(1);
    cron->footer(R"(Examples:
  chancy cron schedule nightly '30 2 * * *' tidy.up --time-zone Europe/Berlin
  chancy cron next '30 2 * * *'
  chancy cron list
  chancy cron push nightly)");

    CLI::App* c = cron->add_subcommand("list", "All schedules");
    c->fallthrough();
    c->callback([&with] { with.command = [&with] { return list(with); }; });
    add_schedule(*cron, with);
    add_next(*cron, with);

    auto key = std::make_shared<std::string>();
    const auto add = [&](const char* name, const char* what, auto command) {
        CLI::App* sub = cron->add_subcommand(name, what);
        sub->fallthrough();
        sub->add_option("key", *key, "The schedule")->required();
        sub->callback([key, &with, command] { with.command = [key, command] { return command(*key); }; });
    };
    add("unschedule", "End a schedule; jobs that it pushed stay",
        [&with](const std::string& k) { return answer(with, k, "unscheduled", with.connect().unschedule_cron(k)); });
    add("pause", "Stop a schedule until it is resumed", [&with](const std::string& k) { return answer(with, k, "paused", with.connect().pause_cron(k)); });
    add("resume", "Go on with it, from the next tick on",
        [&with](const std::string& k) { return answer(with, k, "resumed", with.connect().resume_cron(k)); });
    add("push", "Push its job now, and print the id; its ticks stay as they are", [&with](const std::string& k) {
        const auto id = with.connect().push_cron(k);
        if (!id) return answer(with, k, "pushed", false);
        if (with.json) print_json({{"key", k}, {"id", id->to_string()}});
        else std::cout << id->to_string() << '\n';
        return static_cast<int>(ok);
    });

    c = cron->add_subcommand("run", "Push what is due now; workers and the background worker do so by themselves");
    c->fallthrough();
    c->callback([&with] {
        with.command = [&with] {
            client db = with.connect();
            const auto ticks = db.run_cron();
            table out({"key", "tick", "job", "created"});
            for (const cron_tick& t : ticks) {
                if (with.json) print_json(t);
                else out.add({t.key, relative(t.tick), t.id.to_string(), t.created ? "yes" : "no"});
            }
            if (!with.json && !ticks.empty()) out.print();
            return ticks.empty() ? not_found : ok;
        };
    });
}

}  // namespace chancy::cli
