// The scenarios, each in a file of its name. Each starts from empty tables and gives its figures.
#pragma once

#include "measure.hpp"

#include <string>
#include <vector>

namespace bench {

struct options {
    std::string conninfo;
    int rounds = 5;
    int jobs = 200'000;            // of a drain
    int connections = 2;           // of a drain
    double seconds = 60;           // of sustained load
    double held_minutes = 10;      // of sustained load beside a snapshot
    double latency_seconds = 10;
    long long history = 10'000'000;
    long long backlog = 1'000'000;
};

using figures = std::vector<figure>;

figures push_batches(const options& with);   // push_many against COPY and INSERT … unnest
figures push_single(const options& with);    // push against a prepared INSERT, 1 to 16 connections, commits durable or not
figures drain(const options& with);          // fetch and complete: exchange, the Worker, against SKIP LOCKED
figures sustain(const options& with);        // push and drain at the same time; with readers that hold snapshots
figures held(const options& with);           // the same for minutes, with a snapshot held open: the last minute against the first
figures latency(const options& with);        // push to handler start, against a NOTIFY round trip
figures history(const options& with);        // fetch of 100, with a history, and with a backlog, against an empty table

// A new database-wide start: the extension's tables and bench.plain, empty and checkpointed.
void make_empty(connection& server);
// jobs jobs that are due, in chancy.jobs or in bench.plain.
void fill(connection& server, const std::string& table, long long jobs);

}  // namespace bench
