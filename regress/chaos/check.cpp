#include "check.hpp"

#include <algorithm>
#include <fstream>
#include <map>
#include <sstream>
#include <utility>

namespace chaos {
namespace {

std::map<chancy::uuid, row> read_rows(const server& on) {
    std::map<chancy::uuid, row> out;
    for (const std::string& line : on.sql("SELECT id, state, coalesce(taken_by, '-'), coalesce(result->>'run', '-'), "
                                          "coalesce((extract(epoch FROM started_at) * 1000000)::bigint, 0), "
                                          "translate(coalesce(errors->-1->>'traceback', ''), '|', '/') FROM chancy.jobs")) {
        std::istringstream in(line);
        std::string field[6];
        for (std::string& f : field) std::getline(in, f, '|');
        out[chancy::uuid::parse(field[0]).value()] = {.state = field[1], .worker = field[2], .run = field[3], .error = field[5],
                                                      .started_at = std::stoll(field[4])};
    }
    return out;
}

class checker {
public:
    checker(const ledger& book, std::vector<handled> runs, const std::map<chancy::uuid, row>& rows)
        : m_ledger(book), m_runs(std::move(runs)), m_rows(rows) {
        std::ranges::sort(m_runs, {}, &handled::from);
    }

    findings all() {
        no_push_lost();
        all_ended();
        no_fenced_result();
        no_held_result_lost();
        no_key_twice_at_once();
        return std::move(m_found);
    }

private:
    template <class... T>
    void violation(const T&... text) {
        std::ostringstream out;
        (out << ... << text);
        m_found.violations.push_back(out.str());
    }

    void no_push_lost() {
        for (const auto& [id, when] : m_ledger.acknowledged())
            if (!m_rows.contains(id)) violation("job ", id.to_string(), " was acknowledged, and is not there");
    }

    void all_ended() {
        m_found.jobs = m_rows.size();
        for (const auto& [id, job] : m_rows) {
            if (job.state == "succeeded") ++m_found.succeeded;
            else if (job.state == "failed") ++m_found.failed;
            else violation("job ", id.to_string(), " has not ended: ", job.state, ", taken by ", job.worker);
            // No handler of ours fails so often, and nobody else may make a job fail but a cancel and a worker that dies.
            if (job.state == "failed" && !m_ledger.cancelled().contains(id) && !job.error.starts_with("its worker died"))
                violation("job ", id.to_string(), " failed: ", job.error);
        }
    }

    // The result that stands is that of the last attempt, by the worker that the row names; nothing runs after it.
    void no_fenced_result() {
        std::map<std::string, const handled*> by_name;
        std::map<chancy::uuid, std::int64_t> last;
        for (const handled& run : m_runs) {
            by_name[run.name()] = &run;
            std::int64_t& at = last[run.job];
            at = std::max(at, run.started_at);
        }
        for (const auto& [id, job] : m_rows) {
            if (job.state != "succeeded") continue;
            const auto found = by_name.find(job.run);
            if (found == by_name.end()) {
                violation("job ", id.to_string(), " has the result of a run that nobody knows: ", job.run);
                continue;
            }
            const handled& run = *found->second;
            if (run.job != id || run.started_at != job.started_at || run.worker != job.worker)
                violation("job ", id.to_string(), " has the result of a fenced run: ", job.run);
            if (last[id] > job.started_at) violation("job ", id.to_string(), " ran again after it had succeeded");
        }
    }

    // What a handler has returned, its worker holds until it is written: so the job does not run again as long as that worker lives
    // and keeps its heartbeat. One that slept may have been taken for dead, and does not know.
    void no_held_result_lost() {
        std::map<chancy::uuid, const handled*> before;
        for (const handled& run : m_runs) {
            const handled* held = std::exchange(before[run.job], &run);
            if (!held || !held->done || held->to > run.from) continue;
            const auto killed = m_ledger.killed().find(held->worker);
            if (killed != m_ledger.killed().end() && killed->second < run.from) continue;
            if ((held->expired != 0 && held->expired < run.from) || m_ledger.slept(held->worker, held->from, run.from)) continue;
            violation("the result of ", held->name(), " was lost, and its worker was not: job ", run.job.to_string(), " ran again as ", run.name());
        }
    }

    // Of two runs of a key the first has ended before the second begins, unless its worker is dead or it was cancelled. A
    // worker that sleeps cannot stop its handlers: it stops them when it wakes.
    void no_key_twice_at_once() {
        std::map<std::string, const handled*> open;  // of each key or job, the run that ends last
        for (handled& run : m_runs) {
            ++m_found.runs;
            if (run.to == 0) {
                ++m_found.cut_short;
                const auto killed = m_ledger.killed().find(run.worker);
                if (killed == m_ledger.killed().end()) violation("run ", run.name(), " never ended, and nobody killed its worker");
                else run.to = run.cut = killed->second;
            }
            const handled*& before = open[run.key.empty() ? run.job.to_string() : run.key];
            if (before && before->to == before->cut && before->job == run.job) ++m_found.recovered;
            if (before && before->to > run.from && m_ledger.slept(before->worker, before->from, before->to)) ++m_found.overlapped;
            else if (before && before->to > run.from && !was_cancelled(before->job, run.from))
                violation("two runs at once of ", run.key.empty() ? run.job.to_string() : run.key, ": ", before->name(), " until ",
                          before->to / 1000000, " ms, ", run.name(), " from ", run.from / 1000000, " ms");
            if (!before || before->to < run.to) before = &run;
        }
    }

    bool was_cancelled(const chancy::uuid& job, std::int64_t before) const {
        const auto found = m_ledger.cancelled().find(job);
        return found != m_ledger.cancelled().end() && found->second < before;
    }

    const ledger& m_ledger;
    std::vector<handled> m_runs;
    const std::map<chancy::uuid, row>& m_rows;
    findings m_found;
};

void rows_and_jobs(const server& on, std::vector<std::string>& violations) {
    for (const std::string& id : on.sql("SELECT o.job FROM app.orders o LEFT JOIN chancy.jobs j ON j.id = o.job WHERE j.id IS NULL"))
        violations.push_back("the row of job " + id + " was committed without its job");
    if (on.sql("SELECT FROM app.orders LIMIT 1").empty()) violations.push_back("no transaction of the application was committed");
}

void indexes(const server& on, std::vector<std::string>& violations) {
    on.sql("CREATE EXTENSION IF NOT EXISTS amcheck");
    for (const std::string& checked : on.sql(
             "SELECT count(*) FROM (SELECT bt_index_parent_check(c.oid, true) FROM pg_class c JOIN pg_am a ON a.oid = c.relam AND a.amname = 'btree' "
             "WHERE c.relkind = 'i' AND c.relnamespace = 'chancy'::regnamespace) AS checked"))
        if (checked == "0") violations.push_back("no index was checked");
    for (const std::string& key : on.sql("SELECT unique_key FROM chancy.jobs WHERE state NOT IN ('succeeded', 'failed') "
                                         "AND unique_key IS NOT NULL GROUP BY 1 HAVING count(*) > 1"))
        violations.push_back("key " + key + " is live twice");
}

}  // namespace

bool at_rest(const server& on) {
    return on.sql("SELECT count(*) FROM chancy.jobs WHERE state IN ('pending', 'running', 'retrying')").at(0) == "0";
}

findings check_history(const ledger& book, std::vector<handled> runs, const std::map<chancy::uuid, row>& rows) {
    return checker(book, std::move(runs), rows).all();
}

findings check(const server& on, const ledger& book, std::vector<handled> runs) {
    findings found = check_history(book, std::move(runs), read_rows(on));
    rows_and_jobs(on, found.violations);
    indexes(on, found.violations);
    return found;
}

std::vector<std::string> bad_lines(const std::string& log, bool panic_allowed) {
    std::vector<std::string> out;
    std::ifstream in(log);
    for (std::string line; std::getline(in, line);)
        for (const char* word : {"deadlock detected", "signal 11", "signal 6", "TRAP:", " XX000 ", " XX001 ", " XX002 ", " 23505 ", "PANIC:"})
            if (line.find(word) != std::string::npos && !(panic_allowed && (std::string(word) == "PANIC:" || std::string(word) == "signal 6"))) out.push_back(line);
    return out;
}

}  // namespace chaos
