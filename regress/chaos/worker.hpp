// The worker that the faults hit: a process of its own, with a handler that keeps a diary.
#pragma once

#include <chrono>
#include <string>

namespace chaos {

struct worker_settings {
    std::string id, conninfo, listen_conninfo, diary, board;
    int slot = 0;
    int concurrency = 4;
    int heartbeat_timeout = 3000;  // milliseconds
    bool listen = true;
};

// Until SIGTERM.
int run_worker(const worker_settings& settings);

}  // namespace chaos
