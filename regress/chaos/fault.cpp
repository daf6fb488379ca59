#include "world.hpp"

#include "fault_network.hpp"
#include "fault_pooler.hpp"
#include "fault_process.hpp"
#include "fault_server.hpp"
#include "fault_standby.hpp"

namespace chaos {
namespace {

template <class F>
std::unique_ptr<fault> make() {
    return std::make_unique<F>();
}

const std::map<std::string, std::unique_ptr<fault> (*)()> faults{
    {"clock", make<clock_jumps>},
    {"crash", make<crash>},
    {"cut", make<network_cut>},
    {"disk_full", make<disk_full>},
    {"exhaustion", make<exhaustion>},
    {"failover", make<failover>},
    {"half_open", make<half_open>},
    {"kill", make<kill_workers>},
    {"pause", make<pause_workers>},
    {"pooler", make<pooler>},
    {"restart", make<restart_server>},
    {"standby", make<standby_away>},
    {"terminate", make<terminate_backends>},
    {"wal_full", make<wal_full>},
};

}  // namespace

std::unique_ptr<fault> make_fault(const std::string& name) { return faults.at(name)(); }

const std::vector<std::string>& fault_names() {
    static const std::vector<std::string> names = [] {
        std::vector<std::string> out;
        for (const auto& [name, make] : faults) out.push_back(name);
        return out;
    }();
    return names;
}

}  // namespace chaos
