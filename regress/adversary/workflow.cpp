// Workflows: pushed, added to, cancelled, retried and advanced, while results of their steps come in from everywhere.
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

void worker::single_workflow(int64_t tx) {
    if (m_dice.percent(15)) {
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
