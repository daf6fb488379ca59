#include "plain.hpp"

#include <chancy/error.hpp>

#include <libpq-fe.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <random>
#include <thread>

namespace demo {
namespace {

using clock = std::chrono::steady_clock;

constexpr int workers = 2;
constexpr int fetched_at_once = 32;

constexpr const char* table = R"(
DROP SCHEMA IF EXISTS chancy_demo CASCADE;
CREATE SCHEMA chancy_demo;
CREATE TABLE chancy_demo.jobs (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), queue text NOT NULL, func text NOT NULL,
    kwargs jsonb NOT NULL DEFAULT '{}', meta jsonb NOT NULL DEFAULT '{}', state varchar(25) NOT NULL DEFAULT 'pending',
    priority int NOT NULL DEFAULT 0, attempts int NOT NULL DEFAULT 0, max_attempts int NOT NULL DEFAULT 1, taken_by text,
    created_at timestamptz NOT NULL DEFAULT now(), started_at timestamptz, completed_at timestamptz,
    scheduled_at timestamptz NOT NULL DEFAULT now(), unique_key text, errors jsonb NOT NULL DEFAULT '[]');
CREATE UNIQUE INDEX ON chancy_demo.jobs (unique_key) WHERE unique_key IS NOT NULL AND state NOT IN ('succeeded', 'failed');
CREATE INDEX ON chancy_demo.jobs (queue, priority DESC, id) WHERE state IN ('pending', 'retrying'))";

constexpr const char* push = R"(
INSERT INTO chancy_demo.jobs (queue, func, unique_key) VALUES ('dpkg', 'dpkg.verify', $1)
ON CONFLICT (unique_key) WHERE unique_key IS NOT NULL AND state NOT IN ('succeeded', 'failed')
DO UPDATE SET state = jobs.state RETURNING id)";

constexpr const char* fetch = R"(
UPDATE chancy_demo.jobs SET state = 'running', taken_by = $1, started_at = now() WHERE id IN (
    SELECT id FROM chancy_demo.jobs WHERE queue = 'dpkg' AND state IN ('pending', 'retrying') AND scheduled_at <= now()
    ORDER BY priority DESC, id LIMIT $2 FOR UPDATE SKIP LOCKED) RETURNING id)";

constexpr const char* finish = R"(
UPDATE chancy_demo.jobs SET state = 'succeeded', completed_at = now(), attempts = attempts + 1, errors = '[]' WHERE id = $1)";

using answer = std::unique_ptr<PGresult, decltype(&PQclear)>;

class connection {
public:
    connection() : m_connection(PQconnectdb("")) {
        if (PQstatus(m_connection) != CONNECTION_OK) {
            const std::string message = PQerrorMessage(m_connection);
            PQfinish(m_connection);
            throw std::runtime_error(message);
        }
        run("SET client_min_messages = warning");
        PQclear(PQexec(m_connection, "SET deadlock_timeout = '100ms'"));  // superusers only; others wait longer
    }
    connection(const connection&) = delete;
    connection& operator=(const connection&) = delete;
    ~connection() { PQfinish(m_connection); }

    answer run(const char* sql, std::initializer_list<std::string> values = {}) {
        std::vector<const char*> raw;
        for (const std::string& v : values) raw.push_back(v.c_str());
        answer r(raw.empty() ? PQexec(m_connection, sql)
                             : PQexecParams(m_connection, sql, static_cast<int>(raw.size()), nullptr, raw.data(), nullptr, nullptr, 0),
                 PQclear);
        if (const auto status = PQresultStatus(r.get()); status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
            const char* state = PQresultErrorField(r.get(), PG_DIAG_SQLSTATE);
            throw chancy::error(PQresultErrorMessage(r.get()), {.sqlstate = state ? state : "08006", .function = "plain"});
        }
        return r;
    }

private:
    PGconn* m_connection;
};

struct round_state {
    clock::time_point end;
    const std::atomic<bool>& stop;
    [[nodiscard]] bool over() const { return stop || clock::now() > end; }
    std::atomic<long> transactions = 0, deadlocks = 0;
    std::atomic<int> producing = producers;
    std::mutex mutex{};
    std::exception_ptr problem{};
};

// One transaction, again after each deadlock.
template <class Body>
void in_transaction(connection& c, round_state& state, Body body) {
    for (;;) {
        try {
            c.run("BEGIN");
            body();
            c.run("COMMIT");
            ++state.transactions;
            return;
        } catch (const chancy::error& e) {
            c.run("ROLLBACK");
            if (e.sqlstate() != "40P01") throw;
            ++state.deadlocks;
        }
    }
}

void produce(const std::vector<block>& plan, int number, round_state& state) {
    connection c;
    for (const block& b : plan)
        for (const batch& names : b.batches[number]) {
            if (state.over()) return;
            in_transaction(c, state, [&] {
                for (const std::string& name : names) c.run(push, {"dpkg:" + name});  // in list order
            });
        }
}

void work(int number, round_state& state) {
    connection c;
    std::mt19937 random(static_cast<unsigned>(number));
    while (!state.over()) {
        const bool last = state.producing == 0;
        const answer fetched = c.run(fetch, {"worker " + std::to_string(number), std::to_string(fetched_at_once)});
        std::vector<std::string> ids;
        for (int row = 0; row < PQntuples(fetched.get()); ++row) ids.emplace_back(PQgetvalue(fetched.get(), row, 0));
        std::ranges::shuffle(ids, random);  // jobs end in an order of their own
        if (!ids.empty())
            in_transaction(c, state, [&] {
                for (const std::string& id : ids) c.run(finish, {id});  // in order of arrival
            });
        else if (last)
            return;
    }
}

}  // namespace

plain_outcome run_plain(const std::vector<block>& plan, std::chrono::seconds at_most, const std::atomic<bool>& stop) {
    plain_outcome out;
    const auto begin = clock::now();
    connection control;
    while (!stop && out.deadlocks == 0 && clock::now() - begin < at_most) {
        control.run(table);
        round_state state{.end = begin + at_most, .stop = stop};
        std::vector<std::thread> threads;
        const auto spawn = [&](auto body, bool producer) {
            threads.emplace_back([&state, body, producer] {
                try {
                    body();
                } catch (...) {
                    const std::lock_guard lock(state.mutex);
                    state.problem = std::current_exception();
                }
                if (producer) --state.producing;
            });
        };
        for (int i = 0; i < producers; ++i) spawn([&, i] { produce(plan, i, state); }, true);
        for (int i = 0; i < workers; ++i) spawn([&, i] { work(i, state); }, false);
        for (std::thread& t : threads) t.join();
        if (state.problem) std::rethrow_exception(state.problem);
        ++out.rounds;
        out.transactions += state.transactions;
        out.deadlocks += state.deadlocks;
    }
    out.seconds = std::chrono::duration<double>(clock::now() - begin).count();
    control.run("DROP SCHEMA IF EXISTS chancy_demo CASCADE");
    return out;
}

}  // namespace demo
