// Results of attempts, whatever form they come in: see update.cpp.
#pragma once

#include "event.hpp"
#include "fetch.hpp"
#include "role.hpp"

namespace chancy {

outcome parse_outcome(bytes text, place where);
// True: what is locked is told, not waited for.
bool parse_on_locked(bytes on_locked);

// So many updates, before their fields are read.
std::span<change> begin_updates(size_t count, bytes worker, bool skip);
// Refuse what no form of a result may be.
void check_attempt(bool id, bool started_at, bool outcome, place where);
void check_result(const result &r, place where);
// An attempt has one result: the same id twice is a mistake, refused before anything is written.
void check_ids_differ(std::span<change> updates);

// Why the update was not applied; null when it was.
const char *reason(verdict v);

// The arguments of exchange, worker_id the first.
void check_exchange(FunctionCallInfo fcinfo, int queue, int up_to);

// A row of exchange.
struct exchanged {
    const char *kind;
    int ord;             // refused: which update, from 1
    const char *reason;  // refused
    int number;          // passed, wait
    HeapTuple job;       // job
};

// Applies the updates, then fetches up_to jobs (0: none); calls put(row, jobs) for each row.
template <typename Put>
void exchange(std::span<change> updates, bytes queue, bytes worker, int32 up_to, Put put) {
    permit may = require(role_kind::worker);
    if (up_to != 0) check_queue(may, queue);
    with_jobs([&, may](table &jobs) {
        apply(jobs, updates, {waiting::allowed, 0, may, nullptr});
        for (change &c : updates)
            if (c.is != verdict::applied) put(exchanged{"refused", c.element + 1, reason(c.is), 0, nullptr}, jobs);
        if (up_to == 0) return;
        fetched got = fetch(jobs, queue, worker, up_to);
        if (got.exhausted) take_back_pushed(queue);
        if (got.again) put(exchanged{"again", 0, nullptr, 0, nullptr}, jobs);
        if (got.passed > 0) put(exchanged{"passed", 0, nullptr, got.passed, nullptr}, jobs);
        if (got.wait > 0) put(exchanged{"wait", 0, nullptr, static_cast<int>(std::min<int64>((got.wait + 999) / 1000, PG_INT32_MAX)), nullptr}, jobs);
        for (HeapTuple job : got.jobs) put(exchanged{"job", 0, nullptr, 0, job}, jobs);
    });
}

}  // namespace chancy
