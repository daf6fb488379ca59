#include "cli.hpp"

#include <algorithm>
#include <iostream>
#include <thread>

namespace chancy::cli {
namespace {

using namespace std::chrono_literals;

struct options {
    std::vector<std::string> types;
    long count = -1;
};

void print_event(const context& with, const event& e) {
    if (with.json) {
        print_json(e.body);
    } else {
        std::cout << to_string(now()) << ' ' << e.type();
        for (const auto& [key, value] : e.body.items())
            if (key != "t") std::cout << ' ' << key << '=' << (value.is_string() ? value.get<std::string>() : value.dump());
        std::cout << '\n';
    }
    std::cout.flush();  // whoever reads wants it now
}

int events(const context& with, const options& o) {
    long left = o.count;
    backoff pause;
    for (std::optional<listener> ear{with.conninfo};;) {
        try {
            if (!ear) {
                ear.emplace(with.conninfo);
                std::cerr << "chancy: listening again\n";
                pause.reset();
            }
            for (const event& e : ear->wait(1h)) {
                if (!o.types.empty() && std::ranges::find(o.types, e.type()) == o.types.end()) continue;
                print_event(with, e);
                if (!std::cout || --left == 0) return ok;
            }
        } catch (const error& e) {
            if (!e.connection_lost()) throw;
            if (ear) std::cerr << "chancy: " << e.what() << "; events are missed meanwhile\n";
            ear.reset();
            std::this_thread::sleep_for(pause.next());
        }
    }
}

}  // namespace

void add_event(CLI::App& app, context& with) {
    auto o = std::make_shared<options>();
    CLI::App* c = app.add_subcommand("events", "Print what happens in the queue, as it happens, until Ctrl-C");
    c->fallthrough();
    c->add_option("--type", o->types, "Only events of this type; may be repeated")->allow_extra_args(false);
    c->add_option("--count", o->count, "End after so many")->check(CLI::PositiveNumber);
    c->footer(R"(Types: queue.pushed, queue.declared, queue.paused, queue.resumed, queue.deleted, job.cancelled, job.finished (of jobs that
somebody waits for), worker.announced, worker.retired. Events are hints: what happens while nobody listens is never told.
Needs a direct connection: through PgBouncer in transaction mode nothing arrives.

Examples:
  chancy events
  chancy events --json --type queue.pushed | jq -r .q)");
    c->callback([o, &with] { with.command = [o, &with] { return events(with, *o); }; });
}

}  // namespace chancy::cli
