// Interop: Python Chancy's clients and workers on the same tables.
//
//     db.enable_python_interop("python_app");   // the role that Python logs in as
//     for (const auto& role : db.interop_status().roles) std::cout << role << '\n';
//     db.adopt("public", "chancy_");            // its live jobs, its queues, …
//     while (!db.adopt_history("public", "chancy_").done) {}
//
// docs/from-chancy.md tells the whole way. Threads: plain values.
#pragma once

#include <chancy/job.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace chancy {

struct python_interop {
    bool enabled = false;
    std::vector<std::string> roles;  // that were given what Python needs
};

// What adopt() and give_back() tell: a table, and how many of its rows they took along.
struct adopted {
    std::string what;
    std::int64_t copied = 0;
};

struct adopted_history {
    int copied = 0;            // finished jobs, now
    bool done = false;         // there are no more
    std::int64_t so_far = 0;   // all that were looked at
    std::int64_t history = 0;  // all that the installation had
};

void to_json(json& out, const python_interop& in);
void to_json(json& out, const adopted& in);
void to_json(json& out, const adopted_history& in);

}  // namespace chancy
