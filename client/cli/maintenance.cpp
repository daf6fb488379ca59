#include "cli.hpp"

#include <algorithm>
#include <iostream>
#include <sstream>

namespace chancy::cli {
namespace {

constexpr int batch = 10'000;  // jobs in one transaction

int maintain(const context& with) {
    client db = with.connect();
    table out({"task", "did"});
    for (const task_run& run : db.maintain()) {
        if (with.json) print_json(run);
        else out.add({run.task, run.did.dump()});
    }
    if (!with.json) out.print();
    return ok;
}

int recover(const context& with, int max_recoveries, std::chrono::milliseconds grace, int limit) {
    client db = with.connect();
    const recovered_jobs done = db.recover_jobs(max_recoveries, grace, limit);
    if (with.json) print_json(done);
    else std::cout << done.recovered << " recovered, " << done.failed << " failed\n";
    return ok;
}

int prune(const context& with, const json& rule, std::int64_t limit) {
    client db = with.connect();
    std::int64_t deleted = 0;
    for (int asked = 0, n = 0; n == asked && deleted < limit; deleted += n) {
        asked = static_cast<int>(std::min<std::int64_t>(limit - deleted, batch));
        n = db.prune_jobs(rule, asked);
    }
    if (with.json) print_json({{"deleted", deleted}});
    else std::cout << deleted << " deleted\n";
    return ok;
}

int reprioritize(const context& with, raise_options how, std::int64_t limit) {
    client db = with.connect();
    std::int64_t raised = 0;
    for (int n = 0; raised < limit; raised += n) {
        how.up_to = static_cast<int>(std::min<std::int64_t>(limit - raised, batch));
        n = db.reprioritize(how);
        if (n < how.up_to) {
            raised += n;
            break;
        }
    }
    if (with.json) print_json({{"raised", raised}});
    else std::cout << raised << " raised\n";
    return ok;
}

int list_tasks(const context& with) {
    client db = with.connect();
    table out({"task", "every", "settings", "last run", "next due", "did"});
    for (const task& t : db.list_tasks()) {
        if (with.json) {
            print_json(t);
            continue;
        }
        const std::string did = t.failed() ? "error: " + *t.error : t.did ? t.did->dump() : "";
        out.add({t.name, t.enabled ? (std::ostringstream() << std::chrono::duration<double>(t.every).count() << " s").str() : "off",
                 t.settings.dump(), relative(t.last_run), relative(t.next_due), did});
    }
    if (!with.json) out.print();
    return ok;
}

void add_tasks(CLI::App& app, context& with) {
    CLI::App* tasks = app.add_subcommand("task", "List and set the tasks of maintenance");
    tasks->fallthrough()->require_subcommand(1);
    tasks->footer("Examples:\n  chancy task list\n  chancy task set pruner --every 5m --settings '{\"rule\": {\"age\": \"30 days\"}}'\n"
                  "  chancy task set workers --disable\n  chancy task reset pruner");
    CLI::App* c = tasks->add_subcommand("list", "What there is to do, how it is set, and how it went last");
    c->fallthrough();
    c->callback([&with] { with.command = [&with] { return list_tasks(with); }; });

    struct options {
        std::string name, every, settings;
        bool enable = false, disable = false;
    };
    auto o = std::make_shared<options>();
    c = tasks->add_subcommand("set", "Set a task; what is not given stays as it is");
    c->fallthrough();
    c->add_option("name", o->name, "The task")->required();
    c->add_option("--every", o->every, "How often it runs: 10, 5m, 1d");
    c->add_option("--settings", o->settings, "A JSON object, which replaces what was set before");
    auto* enable = c->add_flag("--enable", o->enable, "Run it");
    c->add_flag("--disable", o->disable, "Do not run it")->excludes(enable);
    c->callback([o, &with] {
        with.command = [o, &with] {
            task_change change;
            if (!o->every.empty()) change.every = read_duration(o->every);
            if (!o->settings.empty()) change.settings = read_json("--settings", o->settings);
            if (o->enable || o->disable) change.enabled = o->enable;
            with.connect().set_task(o->name, change);
            if (with.json) print_json({{"name", o->name}, {"set", true}});
            return ok;
        };
    });
    c = tasks->add_subcommand("reset", "Set a task back to its defaults; exit code 3 when nothing was set");
    c->fallthrough();
    c->add_option("name", o->name, "The task")->required();
    c->callback([o, &with] {
        with.command = [o, &with] {
            const bool reset = with.connect().reset_task(o->name);
            if (with.json) print_json({{"name", o->name}, {"reset", reset}});
            return reset ? ok : not_found;
        };
    });
}

void add_reprioritize(CLI::App& app, context& with) {
    struct options {
        raise_options how{.ceiling = 0};
        std::string every = "5m", rule;
        std::int64_t limit = INT64_MAX;
    };
    auto o = std::make_shared<options>();
    CLI::App* c = app.add_subcommand("reprioritize", "Raise the priority of jobs that have waited for long");
    c->fallthrough();
    c->add_option("--ceiling", o->how.ceiling, "No job is raised above this priority")->required();
    c->add_option("--by", o->how.by, "By so much")->capture_default_str();
    c->add_option("--every", o->every, "Once in this time, each job; it must have waited so long")->capture_default_str();
    c->add_option("--rule", o->rule, "JSON: which jobs");
    c->add_option("--limit", o->limit, "At most so many; all without it")->check(CLI::PositiveNumber);
    c->footer(R"(To have it done by itself: chancy task set reprioritize --settings '{"ceiling": 10, "interval": "5 min"}'

Examples:
  chancy reprioritize --ceiling 10
  chancy reprioritize --ceiling 10 --rule '{"and": [{"queue": "mail"}, {"age": "1 hour"}]}')");
    c->callback([o, &with] {
        with.command = [o, &with] {
            o->how.every = read_duration(o->every);
            if (!o->rule.empty()) o->how.rule = read_json("--rule", o->rule);
            return reprioritize(with, o->how, o->limit);
        };
    });
}

}  // namespace

void add_maintenance(CLI::App& app, context& with) {
    CLI::App* c = app.add_subcommand("maintain", "Run the maintenance tasks that are due; workers do so by themselves");
    c->fallthrough();
    c->footer("Runs the tasks that `chancy task list` shows, those that are due. Never waits; any number may run.\n\n"
              "Example, where no chancy worker runs, every 10 seconds:\n  watch -n 10 chancy maintain");
    c->callback([&with] { with.command = [&with] { return maintain(with); }; });

    struct options {
        int max_recoveries = 3, recover_limit = 1000;
        std::string grace = "90s", rule;
        std::int64_t prune_limit = INT64_MAX;
    };
    auto o = std::make_shared<options>();
    c = app.add_subcommand("recover", "Make running jobs of expired workers pending again");
    c->fallthrough();
    c->add_option("--max-recoveries", o->max_recoveries, "A job recovered so often fails instead")->capture_default_str();
    c->add_option("--grace", o->grace, "How long a job must have run whose worker nobody knows")->capture_default_str();
    c->add_option("--limit", o->recover_limit, "At most so many")->capture_default_str();
    c->footer("Examples:\n  chancy recover\n  chancy recover --max-recoveries 10 --grace 5m");
    c->callback([o, &with] {
        with.command = [o, &with] { return recover(with, o->max_recoveries, read_duration(o->grace), o->recover_limit); };
    });

    c = app.add_subcommand("prune", "Delete finished jobs that match a rule");
    c->fallthrough();
    c->add_option("--rule", o->rule, "JSON: which jobs")->required();
    c->add_option("--limit", o->prune_limit, "At most so many; all without it")->check(CLI::PositiveNumber);
    c->footer(R"(A rule is an object with one key: {"age": "30 days"} (since completion), {"queue": "q"}, {"func": "f"}, {"state": "failed"}
(each also with an array), {"keep": n} (all but the n newest finished jobs of each queue; of each func:
{"keep": {"count": n, "per": "func"}}), {"and": [rules]}, {"or": [rules]},
{"not": rule}. Jobs that are not finished stay. Deletes in transactions of 10,000 jobs, and waits for nobody.

Examples:
  chancy prune --rule '{"age": "30 days"}'
  chancy prune --rule '{"and": [{"state": "succeeded"}, {"age": "1 hour"}]}' --limit 1000)");
    c->callback([o, &with] {
        with.command = [o, &with] { return prune(with, read_json("--rule", o->rule), o->prune_limit); };
    });
    add_reprioritize(app, with);
    add_tasks(app, with);
}

}  // namespace chancy::cli
