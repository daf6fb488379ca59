// The workers of a run, each a process that may be killed at any time. One thread, the main one.
#pragma once

#include "history.hpp"

#include <string>
#include <vector>

#include <sys/types.h>

namespace chaos {

class fleet {
public:
    struct road {
        std::string conninfo, listen_conninfo{};
        bool listen = true;
    };
    struct settings {
        std::string program, folder;
        std::vector<road> roads;  // to the server: of each slot, in turns
        int concurrency, heartbeat_timeout;
    };

    explicit fleet(settings how, ledger& book) : m_settings(std::move(how)), m_ledger(book) {}
    ~fleet();  // kills what still runs
    fleet(const fleet&) = delete;
    fleet& operator=(const fleet&) = delete;

    void start(int slot);  // a new worker with a name of its own
    void kill(int slot);   // SIGKILL
    void pause(int slot);  // SIGSTOP: as if its machine slept
    void resume(int slot);
    void stop_all();       // SIGTERM, and each must end with 0

    // Those that have ended and were not killed: there must be none.
    [[nodiscard]] std::vector<std::string> deserters();
    [[nodiscard]] std::vector<handled> read_diaries() const;
    [[nodiscard]] int size() const { return static_cast<int>(m_slots.size()); }

private:
    struct member {
        std::string id;
        pid_t process = 0;
    };
    [[nodiscard]] std::string diary_of(const std::string& id) const { return m_settings.folder + '/' + id + ".diary"; }

    settings m_settings;
    ledger& m_ledger;
    std::vector<member> m_slots;
    std::vector<std::string> m_all;  // every id there ever was
    std::vector<std::string> m_deserters;
};

}  // namespace chaos
