#include "world.hpp"

#include "process.hpp"

#include <algorithm>
#include <filesystem>
#include <thread>

#include <sys/mount.h>

namespace chaos {

world::world(options o)
    : how(std::move(o)), folder(make_folder()), shared(open_board(folder + "/board")), random(how.seed) {}

world::~world() {
    load.reset();
    workers.reset();
    standby.reset();
    primary.reset();
    ::umount2((folder + "/disk").c_str(), MNT_DETACH);  // where there is one
    if (!how.keep) std::filesystem::remove_all(folder);
}

void world::create_primary(const std::string& settings) {
    primary.emplace(folder, "primary");
    primary->create("fsync = off\n" + settings);
    primary->start();
    serving = &*primary;
    conninfo = primary->conninfo();
}

void world::prepare_database() {
    const std::string grace = std::to_string((how.heartbeat_timeout + 999) / 1000);
    primary->sql("CREATE EXTENSION chancy");
    primary->sql("INSERT INTO chancy.tasks (name, every, settings) VALUES ('recovery', '1 s', '{\"grace\": " + grace +
                 ", \"max_recoveries\": 20}')");
    primary->sql("SELECT chancy.declare_queue('default')");
    primary->sql(load_schema);
}

bool world::goes_on() {
    for (const std::string& who : workers->deserters())
        if (std::ranges::find(violations, who) == violations.end()) violations.push_back(who);
    return violations.empty() && steady::now() < ends;
}

void world::sleep(std::chrono::milliseconds span) {
    const auto until = steady::now() + span;
    while (steady::now() < until && violations.empty()) {
        (void)goes_on();
        std::this_thread::sleep_for(std::min<steady::duration>(20ms, until - steady::now()));
    }
}

void world::injected(const std::string& what, std::int64_t times) {
    faults[what] += times;
    if (shared.in_flight() > 0) with_jobs_in_flight += times;
}

void world::await_recovery(const char* after) {
    const auto from = steady::now();
    const auto bound = std::chrono::milliseconds(how.heartbeat_timeout) + how.patience;
    std::vector<std::int64_t> before;
    for (int slot = 0; slot < workers->size(); ++slot) before.push_back(shared.ended[slot]);
    for (int slot = 0; slot < workers->size();) {
        if (shared.ended[slot] > before[static_cast<std::size_t>(slot)]) {
            ++slot;
        } else if (steady::now() > from + bound) {
            violations.push_back("no job ended in worker " + std::to_string(slot) + " within " + std::to_string(bound / 1s) + " s after " + after);
            return;
        } else {
            std::this_thread::sleep_for(2ms);
        }
    }
    longest_recovery = std::max(longest_recovery, std::chrono::ceil<std::chrono::milliseconds>(steady::now() - from));
}

void world::check_injection(const fault& f) {
    for (const auto& [what, times] : f.least(how.seconds))
        if (const std::int64_t done = faults.contains(what) ? faults.at(what) : seen[what]; done < times)
            violations.push_back("only " + std::to_string(done) + " times \"" + what + "\", not " + std::to_string(times));
}

void world::check_jobs_in_flight() {
    std::int64_t all = 0;
    for (const auto& [what, times] : faults) all += times;
    if (2 * with_jobs_in_flight < all)
        violations.push_back("jobs were in flight at only " + std::to_string(with_jobs_in_flight) + " of " + std::to_string(all) + " faults");
}

}  // namespace chaos
