#pragma once

#include "world.hpp"

namespace chaos {

class kill_workers : public fault {
public:
    void inject(world& w) override;
    std::map<std::string, int> least(double seconds) const override { return {{"worker killed", 1 + static_cast<int>(seconds / 10)}}; }
};

class pause_workers : public fault {
public:
    void inject(world& w) override;
    std::map<std::string, int> least(double) const override { return {{"worker paused beyond its heartbeat", 1}}; }
};

class terminate_backends : public fault {
public:
    void inject(world& w) override;
    std::map<std::string, int> least(double seconds) const override { return {{"backend terminated", 1 + static_cast<int>(seconds)}}; }
};

class restart_server : public fault {
public:
    void inject(world& w) override;
    std::map<std::string, int> least(double) const override { return {{"fast restart", 1}, {"immediate restart", 1}, {"postmaster killed", 1}}; }
};

// The clock of the workers' host is set, forth and back.
class clock_jumps : public fault {
public:
    void inject(world& w) override;
    void heal(world& w) override { w.shared.clock_shift = 0; }
    std::map<std::string, int> least(double seconds) const override { return {{"clock set", 1 + static_cast<int>(seconds / 2)}, {"look at a wrong clock", 1}}; }
};

}  // namespace chaos
