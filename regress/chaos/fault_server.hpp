#pragma once

#include "world.hpp"

namespace chaos {

// All connections that the server allows are taken by others, and those of the workers are ended.
class exhaustion : public fault {
public:
    void prepare(world& w) override;
    void inject(world& w) override;
    std::map<std::string, int> least(double) const override { return {{"no connection left", 1}, {"backend terminated", 4}}; }
};

// The jobs lie on a file system that is full: no page can be added.
class disk_full : public fault {
public:
    void prepare(world& w) override;
    void inject(world& w) override;
    void heal(world& w) override;
    std::map<std::string, int> least(double) const override { return {{"disk full", 1}, {"error 53100 in the server", 3}, {"call without room", 3}}; }

private:
    std::string m_disk;
};

// No room for WAL: the server ends itself, cannot recover, and is started again by somebody who has made room.
class wal_full : public fault {
public:
    void prepare(world& w) override;
    void inject(world& w) override;
    void heal(world& w) override;
    std::map<std::string, int> least(double) const override { return {{"disk of the WAL full", 1}, {"PANIC in the server", 1}}; }

private:
    std::string m_disk;
};

// A backend is killed in the middle of a call, and a worker with it: the server ends all others, recovers, and has forgotten
// its workers. fsync is on.
class crash : public fault {
public:
    void prepare(world& w) override;
    void inject(world& w) override;
    std::map<std::string, int> least(double) const override { return {{"backend killed in mid-call", 1}, {"prepared transaction left over", 1}}; }
};

}  // namespace chaos
