#include "cli.hpp"

#include <algorithm>
#include <iostream>

namespace chancy::cli {
namespace {

constexpr int prune_batch = 10'000;  // jobs in one transaction

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
        asked = static_cast<int>(std::min<std::int64_t>(limit - deleted, prune_batch));
        n = db.prune_jobs(rule, asked);
    }
    if (with.json) print_json({{"deleted", deleted}});
    else std::cout << deleted << " deleted\n";
    return ok;
}

}  // namespace

void add_maintenance(CLI::App& app, context& with) {
    CLI::App* c = app.add_subcommand("maintain", "Run the maintenance tasks that are due; workers do so by themselves");
    c->fallthrough();
    c->footer("Recovers jobs of workers that died, prunes by the rule in chancy.tasks if there is one. Never waits; any number may run.\n\n"
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
(each also with an array), {"keep": n} (all but the n newest finished jobs of each queue), {"and": [rules]}, {"or": [rules]},
{"not": rule}. Jobs that are not finished stay. Deletes in transactions of 10,000 jobs, and waits for nobody.

Examples:
  chancy prune --rule '{"age": "30 days"}'
  chancy prune --rule '{"and": [{"state": "succeeded"}, {"age": "1 hour"}]}' --limit 1000)");
    c->callback([o, &with] {
        with.command = [o, &with] { return prune(with, read_json("--rule", o->rule), o->prune_limit); };
    });
}

}  // namespace chancy::cli
