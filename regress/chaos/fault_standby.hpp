#pragma once

#include "world.hpp"

namespace chaos {

// The base of both: a primary whose commits a standby has to confirm. Workers and load name both hosts.
class with_standby : public fault {
public:
    void prepare(world& w) override;

protected:
    static void follow(world& w, server& standby);  // a standby of the one that serves
};

// The primary is killed, its standby promoted, and a new standby made where the primary was.
class failover : public with_standby {
public:
    void inject(world& w) override;
    std::map<std::string, int> least(double) const override { return {{"failover", 1}}; }
};

// The standby is away for longer than the heartbeat: commits hang meanwhile, and their answers come to nobody.
class standby_away : public with_standby {
public:
    void inject(world& w) override;
    std::map<std::string, int> least(double) const override { return {{"standby away", 1}, {"commit that hung", 1}}; }
};

}  // namespace chaos
