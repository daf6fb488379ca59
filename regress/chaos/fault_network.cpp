// Faults of the way between worker and server.
#include "fault_network.hpp"

#include "isolation.hpp"

namespace chaos {

void half_open::prepare(world& w) {
    fault::prepare(w);
    m_proxy.emplace(w.primary->port());
    w.conninfo = "host=127.0.0.1 port=" + std::to_string(m_proxy->port()) + " user=postgres dbname=postgres";
    w.roads = {{.conninfo = w.conninfo}, {.conninfo = w.primary->conninfo()}, {.conninfo = w.conninfo}};
}

void half_open::inject(world& w) {
    while (w.goes_on()) {
        w.injected("connections forgotten", m_proxy->forget_connections());
        w.sleep(std::chrono::milliseconds(w.how.heartbeat_timeout / 2));
        w.injected("all silent beyond the heartbeat");
        m_proxy->go_silent();
        w.sleep(std::chrono::milliseconds(w.how.heartbeat_timeout * 3 / 2));
        m_proxy->speak();
        w.await_recovery("a silence");
        w.sleep(std::chrono::milliseconds(w.how.heartbeat_timeout));
    }
}

void network_cut::prepare(world& w) {
    isolate_network();
    fault::prepare(w);
}

void network_cut::inject(world& w) {
    for (bool longer = true; w.goes_on() || !longer; longer = !longer) {
        w.injected(longer ? "network cut beyond the heartbeat" : "network cut");
        set_loopback(false);
        w.sleep(std::chrono::milliseconds(longer ? w.how.heartbeat_timeout * 3 / 2 : w.how.heartbeat_timeout / 4));
        set_loopback(true);
        w.await_recovery("a cut");
        w.sleep(500ms);
    }
}

void network_cut::heal(world&) { set_loopback(true); }

}  // namespace chaos
