// One run: a server, workers, a load, and what is done to them.
#pragma once

#include "board.hpp"
#include "fleet.hpp"
#include "history.hpp"
#include "load.hpp"
#include "server.hpp"

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace chaos {

using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;

struct options {
    std::vector<std::string> faults;  // one after the other; the first one prepares the world
    double seconds = 6;
    unsigned seed = 0;
    int workers = 3, concurrency = 4, pushers = 2;
    int heartbeat_timeout = 3000;  // milliseconds; recovery's grace is the same, in whole seconds
    std::chrono::milliseconds patience = 30s;  // beyond it, for a recovery: the machine may be busy with others
    bool json = false, keep = false;
};

class fault;

class world {
public:
    explicit world(options o);
    ~world();

    const options how;
    const std::string folder;
    board& shared;
    ledger book;
    std::minstd_rand random;
    std::optional<server> primary, standby;
    server* serving = nullptr;                   // the one that is primary now
    std::string conninfo;                        // of the load
    std::vector<fleet::road> roads;              // of the workers, in turns; none: as the load
    std::optional<fleet> workers;
    std::optional<chaos::load> load;
    steady::time_point ends;

    void create_primary(const std::string& settings = "");
    void prepare_database();                   // the extension, the load's tables, tasks in quick step

    // Time is not over, and all is well.
    [[nodiscard]] bool goes_on();
    void sleep(std::chrono::milliseconds span);  // looks after the workers meanwhile; short when all is lost
    [[nodiscard]] int dice(int sides) { return std::uniform_int_distribution<int>(0, sides - 1)(random); }

    // To be told of each fault, as it is done.
    void injected(const std::string& what, std::int64_t times = 1);
    // A fault is over: jobs must come to their ends again, in every worker, without help, within the bound.
    void await_recovery(const char* after);

    // That the fault was done often enough, and met somebody at work; or the run means nothing.
    void check_injection(const fault& f);
    void check_jobs_in_flight();

    std::map<std::string, std::int64_t> faults;
    std::map<std::string, std::int64_t> seen;  // that they have hit: errors, waits
    std::int64_t with_jobs_in_flight = 0;      // faults that hit running handlers
    std::chrono::milliseconds longest_recovery{0};
    std::vector<std::string> violations;
    bool panic_allowed = false;
};

// Something that is done to a world. The order: prepare, then workers and load start, inject until it is time, heal.
class fault {
public:
    virtual ~fault() = default;
    virtual void prepare(world& w) { w.create_primary(), w.prepare_database(); }
    virtual void inject(world& w) = 0;
    virtual void heal(world&) {}  // so that all may end
    // What a run of so many seconds must have done, or seen, at least, or it means nothing.
    [[nodiscard]] virtual std::map<std::string, int> least(double seconds) const = 0;
};

// By name, as the command line knows them.
[[nodiscard]] std::unique_ptr<fault> make_fault(const std::string& name);
[[nodiscard]] const std::vector<std::string>& fault_names();

}  // namespace chaos
