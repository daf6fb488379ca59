// chancy leadership: for scripts that stand beside Python Chancy's workers and do what its leader does. Our own maintenance
// needs no leader.
#include "cli.hpp"

#include <iostream>

namespace chancy::cli {

namespace {

int answer(const context& with, const char* field, bool yes) {
    if (with.json) print_json({{field, yes}});
    else std::cout << (yes ? field : std::string("not ") + field) << '\n';
    return yes ? ok : not_found;
}

}  // namespace

void add_leadership(CLI::App& app, context& with) {
    struct options {
        std::string worker, ttl = "30s";
    };
    auto o = std::make_shared<options>();
    CLI::App* leadership = app.add_subcommand("leadership", "Become, or stop being, the leader among Python's workers");
    leadership->require_subcommand(1)->fallthrough();
    CLI::App* acquire = leadership->add_subcommand("acquire", "Become the leader, or stay it; exit code 3 while another one is");
    acquire->fallthrough();
    acquire->add_option("worker", o->worker, "The worker's id")->required();
    acquire->add_option("--ttl", o->ttl, "For so long, 1s to 1d, unless acquired again")->capture_default_str();
    acquire->footer("Example:\n  chancy leadership acquire nightly-script --ttl 10m && ./nightly");
    acquire->callback([o, &with] {
        with.command = [o, &with] { return answer(with, "leader", with.connect().acquire_leadership(o->worker, read_duration(o->ttl))); };
    });
    CLI::App* release = leadership->add_subcommand("release", "Stop being the leader; exit code 3 when it was not");
    release->fallthrough();
    release->add_option("worker", o->worker, "The worker's id")->required();
    release->callback([o, &with] {
        with.command = [o, &with] { return answer(with, "released", with.connect().release_leadership(o->worker)); };
    });
}

}  // namespace chancy::cli
