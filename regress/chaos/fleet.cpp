#include "fleet.hpp"

#include "board.hpp"
#include "process.hpp"

#include <csignal>

#include <sys/wait.h>

namespace chaos {

fleet::~fleet() {
    for (int slot = 0; slot < size(); ++slot)
        if (m_slots[static_cast<std::size_t>(slot)].process != 0) kill(slot);
}

void fleet::start(int slot) {
    if (slot >= size()) m_slots.resize(static_cast<std::size_t>(slot) + 1);
    member& m = m_slots[static_cast<std::size_t>(slot)];
    m.id = "w" + std::to_string(m_all.size() + 1);
    m_all.push_back(m.id);
    open_board(m_settings.folder + "/board").running[slot] = 0;
    const road& way = m_settings.roads[static_cast<std::size_t>(slot) % m_settings.roads.size()];
    std::vector<std::string> argv{m_settings.program, "worker", "--id", m.id, "--conninfo", way.conninfo,
                                  "--diary", diary_of(m.id), "--board", m_settings.folder + "/board",
                                  "--slot", std::to_string(slot), "--concurrency", std::to_string(m_settings.concurrency),
                                  "--heartbeat-timeout", std::to_string(m_settings.heartbeat_timeout)};
    if (!way.listen) argv.push_back("--no-listen");
    if (!way.listen_conninfo.empty()) argv.insert(argv.end(), {"--listen-conninfo", way.listen_conninfo});
    m.process = spawn(argv, {.output = m_settings.folder + "/workers.log"});
}

void fleet::kill(int slot) {
    member& m = m_slots.at(static_cast<std::size_t>(slot));
    ::kill(m.process, SIGKILL);
    wait_for(m.process);
    m_ledger.killed(m.id);
    m.process = 0;
}

void fleet::pause(int slot) {
    const member& m = m_slots.at(static_cast<std::size_t>(slot));
    m_ledger.paused(m.id);
    ::kill(m.process, SIGSTOP);
}

void fleet::resume(int slot) {
    const member& m = m_slots.at(static_cast<std::size_t>(slot));
    ::kill(m.process, SIGCONT);
    m_ledger.resumed(m.id);
}

std::vector<std::string> fleet::deserters() {
    for (member& m : m_slots) {
        int status = 0;
        if (m.process == 0 || ::waitpid(m.process, &status, WNOHANG) != m.process) continue;
        m.process = 0;
        m_ledger.killed(m.id);
        m_deserters.push_back(m.id + " ended by itself, with status " + std::to_string(status));
    }
    return m_deserters;
}

void fleet::stop_all() {
    for (const member& m : m_slots)
        if (m.process != 0) ::kill(m.process, SIGTERM);
    for (member& m : m_slots) {
        if (m.process == 0) continue;
        const int status = wait_for(m.process);
        m.process = 0;
        if (status != 0) m_deserters.push_back(m.id + " was asked to end, and did with status " + std::to_string(status));
    }
}

std::vector<handled> fleet::read_diaries() const {
    std::vector<handled> out;
    for (const std::string& id : m_all)
        for (handled& run : read_diary(diary_of(id), id)) out.push_back(std::move(run));
    return out;
}

}  // namespace chaos
