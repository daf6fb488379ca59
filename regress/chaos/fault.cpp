#include "world.hpp"

#include "fault_process.hpp"

namespace chaos {
namespace {

template <class F>
std::unique_ptr<fault> make() {
    return std::make_unique<F>();
}

const std::map<std::string, std::unique_ptr<fault> (*)()> faults{
    {"kill", make<kill_workers>},
    {"pause", make<pause_workers>},
    {"restart", make<restart_server>},
    {"terminate", make<terminate_backends>},
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
