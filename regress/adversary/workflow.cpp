// Workflows: pushed, added to, cancelled, retried and advanced, while results of their steps come in from everywhere.
#include <chrono>
#include <thread>

#include "worker.hpp"

namespace adversary {

using nlohmann::json;

// Steps that wait for steps before them; some with keys that all fight for.
std::string worker::random_steps(int64_t tx) {
    json steps = json::array();
    int size = m_dice.roll(1, 8);
    for (int i = 0; i < size; i++) {
        json step = random_job();
        if (step["queue"] == "brief" || m_dice.percent(70)) step.erase("unique_key");
        if (step["queue"] == "brief") step["queue"] = "q1";  // its jobs are deleted with it
        step.erase("on_conflict");
        step.erase("unique_for");
        step["step"] = std::to_string(tx) + "-" + std::to_string(i);
        step["after"] = json::array();
        for (int d = 0; d < i; d++)
            if (m_dice.percent(40)) step["after"].push_back(std::to_string(tx) + "-" + std::to_string(d));
        if (m_dice.percent(20)) step["when"] = "finished";
        if (m_dice.percent(30)) step["undo"] = {{"func", "adv.undo"}, {"queue", "q0"}};
        steps.push_back(step);
    }
    return steps.dump();
}

std::string worker::workflow_statement(int64_t tx, permits* may) {
    static const std::vector<std::string> policies = {"fail", "continue", "continue", "compensate"};
    m_world.count().operations++;
    auto id = m_world.some_workflow(m_dice);
    switch (id ? m_dice.weighted({5, 1, 2, 2}) : 0) {
        case 0:
            return "SELECT chancy.push_workflow('" + std::to_string(tx) + "', " + quote(random_steps(tx)) + ", " + quote(m_dice.one_of(policies)) + ")";
        case 1: return "SELECT chancy.cancel_workflow('" + *id + "')::text";
        case 2: return "SELECT chancy.retry_workflow('" + *id + "')::text";
        default:
            may->ended = true;
            return "SELECT chancy.add_steps('" + *id + "', " + quote(random_steps(tx)) + ")::text";
    }
}

// The fan-in's race: the last steps before one that waits for all of them end at the same time, in several transactions.
void worker::fan_in(int64_t tx) {
    std::string n = std::to_string(tx);
    json steps = json::array();
    json all = json::array();
    for (int i = m_dice.roll(2, 4); i > 0; i--) {
        std::string name = n + "-" + std::to_string(i);
        steps.push_back({{"step", name}, {"func", "adv.part"}, {"queue", "q0"}, {"priority", 9}, {"max_attempts", 2}});
        all.push_back(name);
    }
    steps.push_back({{"step", n + "-all"}, {"func", "adv.all"}, {"queue", "q0"}, {"priority", 9}, {"after", all}});
    answer a;
    m_world.count().operations++;
    if (!call("SELECT chancy.push_workflow('fan', " + quote(steps.dump()) + ", 'continue')", {}, &a)) return;
    m_world.saw_workflow(a.rows[0][0]);
    single_fetch(tx);
}

void worker::end_steps(int64_t tx) {
    answer a;
    std::string running = "SELECT j.id, j.started_at, j.taken_by FROM chancy.jobs j WHERE j.id IN (SELECT s.job_id FROM chancy.workflow_steps s WHERE "
                          "s.workflow_id = (SELECT w.id FROM chancy.workflows w WHERE w.status = 'running' AND w.name = 'fan' ORDER BY w.created_at DESC "
                          "OFFSET " + std::to_string(m_dice.roll(0, 2)) + " LIMIT 1)) AND j.state = 'running' ORDER BY random() LIMIT " +
                          std::to_string(m_dice.roll(1, 2));
    if (!call(running, {}, &a)) return;
    if (a.rows.empty()) return single_fetch(tx);
    json updates = json::array();
    for (const auto& row : a.rows)
        if (row[2] == a.rows[0][2]) updates.push_back({{"id", row[0]}, {"started_at", row[1]}, {"outcome", m_dice.percent(90) ? "succeeded" : "discarded"}});
    m_world.count().operations += static_cast<int64_t>(updates.size());
    // BEGIN; one call; COMMIT
    if (!call("SET chancy.push_mode = immediate", {})) return;
    m_level = static_cast<isolation>(m_dice.weighted({2, 1, 1}));
    bool done = call(std::string("BEGIN ISOLATION LEVEL ") + name(m_level), {});
    if (done && !call(updates_statement(tx, a.rows[0][2], updates, m_dice.percent(50) ? "wait" : "skip"), {}, &a)) {
        abandon_call(true);
        done = false;
    }
    if (done) {
        std::this_thread::sleep_for(std::chrono::milliseconds(m_dice.roll(0, 6)));
        if (call(m_dice.percent(90) ? "COMMIT" : "ROLLBACK", {})) note_results(a);
    }
    m_level = m_session;
    restore_push_mode();
}

void worker::single_workflow(int64_t tx) {
    if (!m_buffers && m_dice.percent(60)) return m_dice.percent(25) ? fan_in(tx) : end_steps(tx);
    // It finds what was forgotten, too: so half of the runs do without.
    if (m_dice.percent(15) && m_world.get().seed % 2 == 1) {
        if (m_session != isolation::read_committed) return reads();
        m_world.count().operations++;
        call("SELECT * FROM chancy.advance_workflows(" + std::to_string(m_dice.roll(1, 50)) + ")", {});
        return;
    }
    permits may;
    std::string sql = workflow_statement(tx, &may);
    answer a;
    if (call(sql, may, &a) && a.rows[0][0].size() == 36) m_world.saw_workflow(a.rows[0][0]);
}

bool worker::block_workflow(block& b) {
    if (m_world.get().run != mode::contract) return true;
    permits may{.give_way = b.flushed};
    std::string sql = workflow_statement(b.tx * 1000 + b.workflows++, &may);
    b.commit.ended = b.commit.ended || may.ended;
    answer a;
    if (!call(sql, may, &a)) return false;
    if (a.rows[0][0].size() == 36) m_world.saw_workflow(a.rows[0][0]);
    return true;
}

}  // namespace adversary
