#include "fault_pooler.hpp"

#include "process.hpp"

#include <csignal>
#include <fstream>
#include <thread>

namespace chaos {

pooler::~pooler() {
    if (m_process == 0) return;
    ::kill(m_process, SIGKILL);
    wait_for(m_process);
}

void pooler::start(const world& w) {
    m_process = spawn({"pgbouncer", w.folder + "/pgbouncer.ini"}, {.output = w.folder + "/pgbouncer.log", .as_server = true});
    for (int tries = 0; tries < 200; ++tries) {
        try {
            sql(w.conninfo, "SELECT 1");
            return;
        } catch (const std::runtime_error&) {
            std::this_thread::sleep_for(20ms);
        }
    }
    throw std::runtime_error("pgbouncer does not start: see " + w.folder + "/pgbouncer.log");
}

void pooler::prepare(world& w) {
    fault::prepare(w);
    m_port = free_port();
    std::ofstream(w.folder + "/pgbouncer.ini")
        << "[databases]\npostgres = host=127.0.0.1 port=" << w.primary->port() << " user=postgres\n"
        << "[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = " << m_port << "\nunix_socket_dir =\nauth_type = any\n"
        << "pool_mode = transaction\nmax_client_conn = 100\ndefault_pool_size = 5\n";
    give_to_server(w.folder + "/pgbouncer.ini");
    w.conninfo = "host=127.0.0.1 port=" + std::to_string(m_port) + " user=postgres dbname=postgres";
    w.roads = {{.conninfo = w.conninfo, .listen_conninfo = w.primary->conninfo()}, {.conninfo = w.conninfo, .listen = false}};
    start(w);
}

void pooler::inject(world& w) {
    for (int i = 0; w.goes_on() || i < 3; ++i) {
        w.sleep(300ms);
        if (i % 3 == 0) {
            w.injected("pooler killed");
            ::kill(m_process, SIGKILL);
            wait_for(m_process);
            m_process = 0;
            w.sleep(200ms);
            start(w);
        } else if (i % 3 == 1) {
            w.injected("backend terminated", static_cast<std::int64_t>(w.primary->sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()").size()));
        } else {
            w.injected("pooler frozen");
            ::kill(m_process, SIGSTOP);
            w.sleep(std::chrono::milliseconds(w.how.heartbeat_timeout * 4 / 3));
            ::kill(m_process, SIGCONT);
        }
        w.await_recovery("trouble of the pooler");
    }
}

}  // namespace chaos
