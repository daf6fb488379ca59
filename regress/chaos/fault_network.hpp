#pragma once

#include "proxy.hpp"
#include "world.hpp"

namespace chaos {

// Two of three workers, and the load, go through a proxy that falls silent, or forgets connections; the third takes over.
class half_open : public fault {
public:
    void prepare(world& w) override;
    void inject(world& w) override;
    void heal(world&) override { m_proxy->speak(); }
    std::map<std::string, int> least(double) const override { return {{"all silent beyond the heartbeat", 1}, {"connections forgotten", 1}}; }

private:
    std::optional<proxy> m_proxy;
};

// Nobody reaches the server, and nobody is told.
class network_cut : public fault {
public:
    void prepare(world& w) override;
    void inject(world& w) override;
    void heal(world&) override;
    std::map<std::string, int> least(double) const override { return {{"network cut beyond the heartbeat", 1}, {"network cut", 1}}; }
};

}  // namespace chaos
