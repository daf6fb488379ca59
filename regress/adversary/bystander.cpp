#include "bystander.hpp"

#include <chrono>
#include <map>
#include <set>
#include <stdexcept>
#include <thread>

#include "check.hpp"
#include "schema.hpp"

namespace adversary {

using namespace std::chrono_literals;
using clock = std::chrono::steady_clock;

namespace {

void look_at_waits(world& w, connection& c, std::set<std::string>& seen) {
    answer a = c.need(
        "SELECT l.pid, l.waitstart, extract(epoch FROM clock_timestamp() - l.waitstart), l.locktype, l.mode, "
        "a.application_name, pg_blocking_pids(l.pid), left(a.query, 200) FROM pg_locks l JOIN pg_stat_activity a USING (pid) "
        "WHERE NOT l.granted AND l.waitstart IS NOT NULL AND a.datname = current_database() "
        "AND a.application_name LIKE 'adversary-%'");
    for (const auto& row : a.rows) {
        if (seen.insert(row[0] + "/" + row[1]).second) w.count().waits++;
        double seconds = std::stod(row[2]);
        raise_to(w.count().longest_wait, seconds);
        if (seconds > w.get().bound + 1)
            w.fail("backend " + row[0] + " (" + row[5] + ") has waited for " + row[2] + " s for " + row[3] + " " + row[4] +
                   ", blocked by " + row[6] + ": " + row[7] + "\n" + w.all_logs());
    }
}

// A call may also never end without waiting for a lock.
void look_at_runners(world& w, connection& c) {
    answer a = c.need("SELECT pid, application_name, wait_event_type, wait_event, left(query, 200) FROM pg_stat_activity WHERE "
                      "datname = current_database() AND state = 'active' AND application_name LIKE 'adversary-%' AND "
                      "clock_timestamp() - query_start > interval '1 s' * " + std::to_string(w.get().bound + 5));
    for (const auto& row : a.rows)
        w.fail("backend " + row[0] + " (" + row[1] + ") does not come to an end, in " + row[2] + "/" + row[3] + ": " + row[4] + "\n" +
               w.all_logs());
}

void look_at_keys(world& w, connection& c) {
    w.count().looks++;
    answer a = c.need(live_twice);
    for (const auto& row : a.rows) w.fail("key " + row[0] + " is live " + row[1] + " times: " + row[2] + "\n" + w.all_logs());
}

// Of the queue "few" four jobs run at once, and two of each key.
void look_at_limits(world& w, connection& c) {
    if (w.get().run == mode::upstream) return;
    answer a = c.need("SELECT concurrency_key, count(*), array_agg(id || ' ' || taken_by || ' ' || started_at) FROM chancy.jobs WHERE "
                      "queue = 'few' AND state = 'running' GROUP BY ROLLUP (concurrency_key) HAVING count(*) > CASE WHEN "
                      "grouping(concurrency_key) = 1 THEN 4 WHEN concurrency_key IS NULL THEN 4 ELSE 2 END");
    for (const auto& row : a.rows) w.fail("of key '" + row[0] + "' run " + row[1] + " at once: " + row[2] + "\n" + w.all_logs());
}

// Results of workers whose connection was terminated are written by others.
void refresh(world& w, connection& c) {
    for (const auto& row : c.need("SELECT id, started_at, taken_by FROM chancy.jobs WHERE state = 'running' AND started_at < "
                                  "clock_timestamp() - interval '700 ms' LIMIT 100").rows)
        w.saw_attempt(row[2], {row[0], row[1]});
    for (const auto& row : c.need("SELECT id FROM chancy.jobs WHERE state NOT IN ('succeeded', 'failed') LIMIT 30").rows)
        w.saw_live(row[0]);
    std::map<std::string, std::vector<std::string>> families;
    for (const auto& row : c.need("SELECT unique_key, id FROM (SELECT unique_key, id, row_number() OVER (PARTITION BY unique_key ORDER "
                                  "BY id DESC) AS n FROM chancy.jobs WHERE created_at > clock_timestamp() - interval '3 s' AND "
                                  "(unique_key IS NOT NULL OR state NOT IN ('succeeded', 'failed'))) j WHERE n <= 4").rows)
        families[row[0]].push_back(row[1]);
    std::vector<std::vector<std::string>> found;
    for (auto& [key, ids] : families) found.push_back(ids);
    if (families.contains(""))  // keyless ones as often as all others
        for (size_t i = 2; i < families.size(); i++) found.push_back(families[""]);
    w.set_families(std::move(found));
}

}  // namespace

void watch(world& w) {
    try {
        connection c(parameters(w.get(), "adversary"));
        c.need("LISTEN chancy_events; SET enable_indexscan = off; SET enable_bitmapscan = off; SET enable_indexonlyscan = off");
        std::set<std::string> seen;
        for (int i = 0; !w.stopped(); i++) {
            look_at_waits(w, c, seen);
            if (i % 20 == 0) look_at_keys(w, c);
            if (i % 5 == 0) look_at_limits(w, c);
            if (i % 50 == 0) look_at_runners(w, c);
            if (i % 20 == 10) refresh(w, c);
            std::this_thread::sleep_for(15ms);
        }
    } catch (const std::runtime_error& e) {
        w.fail(std::string("the look-out: ") + e.what() + "\n" + w.all_logs());
    }
}

void maintain(world& w, int round) {
    static const std::vector<std::string> statements = {
        "VACUUM chancy.jobs", "ANALYZE chancy.jobs", "REINDEX INDEX CONCURRENTLY chancy.jobs_unique_key",
        "REINDEX TABLE CONCURRENTLY chancy.jobs", "VACUUM ANALYZE chancy.watches", "REINDEX INDEX CONCURRENTLY chancy.jobs_pkey",
        "REINDEX INDEX CONCURRENTLY chancy.jobs_fetch", "VACUUM chancy.queues, chancy.workers",
        "REINDEX TABLE CONCURRENTLY chancy.queues", "REINDEX TABLE CONCURRENTLY chancy.watches"};
    dice d(w.get().seed, round, -2);
    try {
        connection c(parameters(w.get(), "maintenance"));
        while (!w.stopped()) {
            std::string sql = d.one_of(statements);
            answer a = c.run(sql);
            if (!a.ok) return w.fail("maintenance failed: " + sql + ": " + a.sqlstate + " " + a.message + "\n" + w.all_logs());
            w.count().maintenance++;
            std::this_thread::sleep_for(std::chrono::milliseconds(d.roll(20, 300)));
        }
    } catch (const std::runtime_error& e) {
        w.fail(std::string("maintenance: ") + e.what());
    }
}

void kill_backends(world& w, int round) {
    dice d(w.get().seed, round, -3);
    try {
        connection c(parameters(w.get(), "killer"));
        while (!w.stopped()) {
            std::this_thread::sleep_for(std::chrono::milliseconds(d.roll(20, 300)));
            int pid = w.some_backend(d);
            if (pid == 0 || w.stopped()) continue;
            bool ends = d.percent(50);  // or only its statement
            c.need(std::string("SELECT ") + (ends ? "pg_terminate_backend(" : "pg_cancel_backend(") + std::to_string(pid) + ")");
            if (ends) w.count().terminated++;
            else w.count().cancelled++;
        }
    } catch (const std::runtime_error& e) {
        w.fail(std::string("the killer: ") + e.what());
    }
}

}  // namespace adversary
