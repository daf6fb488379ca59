// The statements of Chancy 0.25 as its Python code sends them, two transactions on the same rows: an application that
// pushes a batch in list order, and a worker that writes a batch of results in order of arrival.
#include <algorithm>

#include "worker.hpp"

namespace adversary {

namespace {

std::string upstream_push(const std::string& key) {
    return "INSERT INTO chancy.jobs (id, queue, func, kwargs, limits, meta, priority, max_attempts, scheduled_at, unique_key) "
           "VALUES (gen_random_uuid(), 'q0', 'adv.work', '{}', '[]', '{}', 0, 1, now(), '" + key + "') ON CONFLICT (unique_key) "
           "WHERE unique_key IS NOT NULL AND state NOT IN ('succeeded', 'failed') DO UPDATE SET state = jobs.state RETURNING id";
}

constexpr const char* upstream_fetch =
    "WITH selected_jobs AS (SELECT id FROM chancy.jobs WHERE queue = 'q0' AND (state = 'pending' OR state = 'retrying') "
    "AND attempts < max_attempts AND (scheduled_at IS NULL OR scheduled_at <= NOW()) ORDER BY priority DESC, id ASC LIMIT 5 "
    "FOR UPDATE OF jobs SKIP LOCKED) UPDATE chancy.jobs SET started_at = NOW(), state = 'running', taken_by = 'python' "
    "FROM selected_jobs WHERE jobs.id = selected_jobs.id RETURNING jobs.id, jobs.started_at";

}  // namespace

void worker::upstream() {
    int64_t tx = m_world.next_transaction();
    m_world.log(m_index, "transaction " + std::to_string(tx) + ", upstream's", true);
    std::vector<std::string> statements;
    if (m_dice.percent(70)) {
        std::vector<std::string> keys;
        for (int i = 0; i < m_world.get().keys; i++) keys.push_back("k" + std::to_string(i));
        m_dice.shuffle(keys);
        keys.resize(static_cast<size_t>(m_dice.roll(2, std::min(6, m_world.get().keys))));
        for (const std::string& key : keys) statements.push_back(upstream_push(key));
    } else {
        answer fetched;
        if (!call(upstream_fetch, {}, &fetched)) return;
        for (const auto& row : fetched.rows)
            statements.push_back("UPDATE chancy.jobs SET state = 'succeeded', started_at = '" + row[1] + "', completed_at = now(), "
                                 "attempts = 1, errors = '[]', meta = '{}', max_attempts = 1 WHERE id = '" + row[0] + "'");
    }
    m_world.count().operations += static_cast<int64_t>(statements.size());
    if (!call("BEGIN", {})) return;
    for (const std::string& statement : statements) {
        if (call(statement, {})) continue;
        if (m_connection) m_connection->run("ROLLBACK");
        m_world.count().rolled_back++;
        return;
    }
    if (call("COMMIT", {})) m_world.count().committed++;
}

}  // namespace adversary
