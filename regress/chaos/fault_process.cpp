// Faults of processes: workers and backends that are killed, a server that is restarted.
#include "fault_process.hpp"

#include <csignal>

namespace chaos {

namespace {

// A worker that has handlers running.
int busy_slot(world& w) {
    for (int tries = 0;; ++tries) {
        const int slot = w.dice(w.workers->size());
        if (w.shared.running[slot] > 0 || tries == 1000) return slot;
        w.sleep(1ms);
    }
}

}  // namespace

void kill_workers::inject(world& w) {
    while (w.goes_on()) {
        const int slot = busy_slot(w);
        w.injected("worker killed");
        w.workers->kill(slot);
        w.workers->start(slot);
        w.sleep(std::chrono::milliseconds(200 + w.dice(400)));
    }
}

void pause_workers::inject(world& w) {
    while (w.goes_on()) {
        const int slot = busy_slot(w);
        w.injected("worker paused beyond its heartbeat");
        w.workers->pause(slot);
        w.sleep(std::chrono::milliseconds(w.how.heartbeat_timeout + 2000));  // recovery looks every second
        w.workers->resume(slot);
        w.sleep(500ms);
    }
}

void terminate_backends::inject(world& w) {
    const std::string statement = "SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' "
                                  "AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1) AS victim";
    while (w.goes_on()) {
        w.injected("backend terminated", static_cast<std::int64_t>(w.primary->sql(statement).size()));
        w.sleep(100ms);
    }
}

void restart_server::inject(world& w) {
    for (int i = 0; w.goes_on() || i < 3; ++i) {
        w.sleep(800ms);
        static const std::pair<server::stop_mode, const char*> modes[] = {
            {server::stop_mode::fast, "fast restart"}, {server::stop_mode::immediate, "immediate restart"}, {server::stop_mode::kill, "postmaster killed"}};
        w.injected(modes[i % 3].second);
        w.primary->stop(modes[i % 3].first);
        if (i % 2 == 0) w.sleep(300ms);
        w.primary->start();
        w.await_recovery(modes[i % 3].second);
    }
}

void clock_jumps::inject(world& w) {
    static constexpr int hour = 3600;
    while (w.goes_on()) {
        w.shared.clock_shift = (w.dice(2) == 0 ? 1 : -1) * (w.dice(2) == 0 ? 1 + w.dice(60) : hour * (1 + w.dice(1000)));
        w.injected("clock set");
        w.sleep(std::chrono::milliseconds(100 + w.dice(400)));
    }
    w.seen["look at a wrong clock"] = w.shared.clock_looks;
}

}  // namespace chaos
