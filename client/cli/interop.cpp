#include "cli.hpp"

#include <chrono>
#include <iostream>
#include <thread>

namespace chancy::cli {
namespace {

int status(const context& with) {
    const python_interop now = with.connect().interop_status();
    if (with.json) print_json(now);
    else std::cout << (now.enabled ? "enabled" : "disabled") << (now.roles.empty() ? "" : ", roles: " + join(now.roles)) << '\n';
    return ok;
}

void print_adopted(const context& with, const std::vector<adopted>& rows) {
    table out({"what", "rows"});
    for (const adopted& row : rows) {
        if (with.json) print_json(row);
        else out.add({row.what, std::to_string(row.copied)});
    }
    if (!with.json) out.print();
}

// The call, again while somebody uses the tables: it never waits for them itself, so it draws nobody into a deadlock.
template <class Call>
void insist(std::chrono::milliseconds patience, Call call) {
    const auto give_up = std::chrono::steady_clock::now() + patience;
    for (;;) {
        try {
            return call();
        } catch (const error& e) {
            if (e.sqlstate() != "55P03" || std::chrono::steady_clock::now() >= give_up) throw;
            std::this_thread::sleep_for(std::chrono::milliseconds(50));
        }
    }
}

struct adopt_options {
    std::string schema = "public", prefix = "chancy_", wait = "1m";
    int batch = 10'000;
    bool back = false;
};

int adopt(const context& with, const adopt_options& o) {
    client db = with.connect();
    const auto patience = read_duration(o.wait);
    if (o.back) {
        insist(patience, [&] { print_adopted(with, db.give_back(o.schema, o.prefix)); });
        return ok;
    }
    try {
        insist(patience, [&] { print_adopted(with, db.adopt(o.schema, o.prefix)); });
    } catch (const error& e) {
        if (e.sqlstate() != "42710") throw;
        std::cerr << "chancy: adopted already; its history goes on\n";
    }
    for (bool done = false; !done;) {
        adopted_history now;
        insist(patience, [&] { now = db.adopt_history(o.schema, o.prefix, o.batch); });
        done = now.done;
        if (with.json) print_json(now);
        else std::cout << "history: " << now.so_far << " of " << now.history << " finished jobs" << std::endl;
    }
    return ok;
}

void add_adopt(CLI::App& app, context& with) {
    auto o = std::make_shared<adopt_options>();
    CLI::App* c = app.add_subcommand("adopt", "Take over the tables of a Python Chancy 0.25, or give them back");
    c->fallthrough();
    c->add_option("--schema", o->schema, "The schema that they are in")->capture_default_str();
    c->add_option("--prefix", o->prefix, "What their names begin with")->capture_default_str();
    c->add_option("--wait", o->wait, "Try so long while somebody uses them")->capture_default_str();
    c->add_option("--batch", o->batch, "Finished jobs in one transaction")->capture_default_str();
    c->add_flag("--back", o->back, "The way back: everything, as it is now, goes into the old tables");
    c->footer(R"(Stop the Python workers first. What lives is taken over in one transaction; finished jobs follow in batches. Broken
off, it goes on with the next call. The old tables are kept, with the suffix _adopted.

Examples:
  chancy adopt
  chancy adopt --schema app --prefix jobs_
  chancy adopt --back)");
    c->callback([o, &with] { with.command = [o, &with] { return adopt(with, *o); }; });
}

}  // namespace

void add_interop(CLI::App& app, context& with) {
    add_adopt(app, with);
    CLI::App* interop = app.add_subcommand("interop", "Python Chancy's clients and workers on the same tables");
    interop->fallthrough()->require_subcommand(1);
    interop->footer("Examples:\n  chancy interop enable --role python_app\n  chancy interop status\n  chancy interop disable");

    auto role = std::make_shared<std::string>();
    CLI::App* c = interop->add_subcommand("enable", "Send events to Python too, and guard jobs against its stale results");
    c->fallthrough();
    c->add_option("--role", *role, "The role that Python logs in as: gets what it needs, and its search_path");
    c->callback([role, &with] {
        with.command = [role, &with] {
            client db = with.connect();
            db.enable_python_interop(role->empty() ? std::nullopt : std::optional(*role));
            return status(with);
        };
    });
    c = interop->add_subcommand("disable", "Undo enable, for all roles");
    c->fallthrough();
    c->callback([&with] {
        with.command = [&with] {
            with.connect().disable_python_interop();
            return status(with);
        };
    });
    c = interop->add_subcommand("status", "Whether it is enabled, and for which roles");
    c->fallthrough();
    c->callback([&with] { with.command = [&with] { return status(with); }; });
}

}  // namespace chancy::cli
