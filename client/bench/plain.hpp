// The other side: a table with the same columns and the same indexes, and the best statements that we know for it.
#pragma once

#include "postgres.hpp"

#include <string>
#include <vector>

namespace bench {

// Makes bench.plain, empty: every column and index of chancy.jobs.
void make_plain(connection& server);

// How a batch of jobs is to be made.
enum class keys { none, fresh, same };

// ---- push: the same jobs in four forms, made before the clock starts
struct batch {
    std::string json;      // for push_many
    chancy::detail::statement typed;  // of libchancy: push_arrays
    std::string copy;      // for COPY … (FORMAT binary), with ids
    std::string kwargs[2];  // for INSERT … unnest: arrays of kwargs and of keys
    int jobs = 0;
};
[[nodiscard]] batch make_batch(int jobs, keys how);

extern const char* const copy_statement;
extern const char* const insert_statement;  // one job: kwargs, unique_key or NULL
extern const char* const unnest_statement;  // kwargs[], unique_keys[]

// ---- fetch and complete, as hand-written: SKIP LOCKED; results fenced, locked in the order of keys; one transaction
class plain_worker {
public:
    plain_worker(connection& server, std::string name) : m_server(server), m_name(std::move(name)) {}
    // Completes what the last call fetched, then fetches: returns how many were completed.
    int exchange(int up_to);
    [[nodiscard]] bool idle() const { return m_ids.empty(); }

private:
    connection& m_server;
    std::string m_name;
    std::vector<std::string> m_ids, m_starts;
};

}  // namespace bench
