#pragma once

#include "world.hpp"

namespace chaos {

// Workers and load behind PgBouncer in transaction mode: it is killed, frozen, and loses its server connections. Some
// workers listen over a direct connection, others only poll.
class pooler : public fault {
public:
    ~pooler() override;
    void prepare(world& w) override;
    void inject(world& w) override;
    std::map<std::string, int> least(double) const override { return {{"pooler killed", 1}, {"pooler frozen", 1}, {"backend terminated", 1}}; }

private:
    void start(const world& w);

    int m_port = 0;
    pid_t m_process = 0;
};

}  // namespace chaos
