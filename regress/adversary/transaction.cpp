// Transaction blocks that mix everything: (b) of the promise. The application's own locks are taken in ascending
// order, before, between and after the calls; chancy's writes wait for the commit.
#include <algorithm>
#include <chrono>
#include <thread>

#include "worker.hpp"

namespace adversary {

using nlohmann::json;

void worker::transaction() {
    block b;
    b.tx = m_world.next_transaction();
    m_level = m_world.get().run == mode::contract ? static_cast<isolation>(m_dice.weighted({6, 2, 2})) : isolation::read_committed;
    m_world.log(m_index, "transaction " + std::to_string(b.tx) + ", a block", true);
    if (!call(std::string("BEGIN ISOLATION LEVEL ") + name(m_level), {})) return;
    b.commit.rows = false;
    for (int steps = m_dice.roll(1, 8); steps > 0 && !b.ends; steps--)
        if (!step(b)) return abandon(b);
    end_block(b);
}

bool worker::step(block& b) {
    bool immediate = m_world.get().run == mode::immediate;
    switch (m_dice.weighted({22, 6, 16, 16, 9, 7, 4, immediate ? 0 : 1, 4, immediate ? 0 : 2, 10, 3, 9, immediate ? 0 : 6})) {
        case 0: return app_lock(b);
        case 1: return app_insert(b);
        case 2: return block_push(b);
        case 3: return block_push_many(b);
        case 4: return block_apply(b);
        case 5: return block_cancel(b);
        case 6: return block_retry(b);
        case 7: return block_delete(b);
        case 8: return block_do(b);
        case 9: return block_flush(b);
        case 10: return savepoint_step(b);
        case 12: return block_family(b);
        case 13: return block_workflow(b);
        default:
            std::this_thread::sleep_for(std::chrono::milliseconds(m_dice.roll(0, 4)));
            return true;
    }
}

// A row or an advisory lock; the two kinds share one ascending order.
bool worker::app_lock(block& b) {
    int last = 2 * m_world.get().rows;
    if (b.row >= last) return true;
    b.row = m_dice.roll(b.row + 1, std::min(last, b.row + 4));
    std::string n = std::to_string((b.row + 1) / 2);
    permits may{.rows = true};
    if (b.row % 2 == 0) return call("SELECT pg_advisory_xact_lock(" + n + ")", may);
    switch (m_dice.roll(0, 2)) {
        case 0: return call("SELECT balance FROM adv.account WHERE n = " + n + " FOR UPDATE", may);
        case 1: return call("SELECT balance FROM adv.account WHERE n = " + n + " FOR NO KEY UPDATE", may);
        default: return call("UPDATE adv.account SET balance = balance + 1 WHERE n = " + n, may);
    }
}

// Rows whose triggers push, at once or deferred to the commit.
bool worker::app_insert(block& b) {
    std::string values;
    for (int i = m_dice.roll(1, 3); i > 0; i--)
        values += (values.empty() ? "(" : ", (") + std::to_string(b.tx) + ", " + quote(random_key("q0")) + ", 'q0')";
    m_world.count().operations++;
    return call(std::string("INSERT INTO adv.") + (m_dice.percent(60) ? "orders" : "invoices") + " VALUES " + values,
                {.give_way = b.flushed});
}

bool worker::block_push(block& b) {
    json job = random_job();
    answer a;
    m_world.count().operations++;
    if (!call(push_statement(b.tx, job, true), {.give_way = b.flushed}, &a)) return false;
    b.made.push_back(a.rows[0][0]);
    b.live = b.live || job.contains("on_conflict");
    if (job.contains("unique_key")) b.keyed.push_back(a.rows[0][0]);
    return true;
}

bool worker::block_push_many(block& b) {
    int size;
    std::string batch = random_batch(&size);
    answer a;
    m_world.count().operations += size;
    const char* function = m_dice.percent(75) ? "push_many" : "push_at_commit";
    b.live = true;
    if (!call(push_many_statement(b.tx, batch, function, true), {.give_way = b.flushed}, &a)) return false;
    for (const auto& row : a.rows) {
        b.made.push_back(row[1]);
        if (!row[3].empty()) b.keyed.push_back(row[1]);
    }
    return true;
}

bool worker::block_apply(block& b) {
    std::string on_locked = m_dice.percent(85) ? "wait" : "skip";
    size_t before = b.results.size();
    std::string sql = apply_statement(b.tx, on_locked, &b.results);
    if (sql.empty()) return true;
    m_world.count().operations += static_cast<int64_t>(b.results.size() - before);
    b.commit.stale = b.rows = true;
    if (on_locked == "skip") b.commit.busy = true;
    return call(sql, {.give_way = b.flushed});
}

bool worker::block_cancel(block& b) {
    // Its own push: withdrawn, unless flush() has made it.
    if (!b.keyed.empty() && !b.flushed && m_dice.percent(30)) {
        std::string id = m_dice.one_of(b.keyed);
        m_world.count().operations++;
        return call("WITH c AS MATERIALIZED (SELECT chancy.cancel_job('" + id + "') AS done), w AS (INSERT INTO adv.withdrawn "
                    "VALUES (" + std::to_string(b.tx) + ", '" + id + "')) SELECT done FROM c", {});
    }
    std::vector<std::string> ids;
    for (int i = m_dice.roll(1, 3); i > 0; i--)
        if (auto id = m_world.some_live(m_dice)) ids.push_back(*id);
    if (ids.empty()) return true;
    m_world.count().operations += static_cast<int64_t>(ids.size());
    b.rows = true;
    return call(ids.size() == 1 ? "SELECT chancy.cancel_job('" + ids[0] + "')"
                                : "SELECT count(*) FROM chancy.cancel_jobs(" + uuids(ids) + ")", {.give_way = b.flushed});
}

bool worker::block_retry(block& b) {
    auto id = m_world.some_finished(m_dice);
    if (!id) return true;
    b.rows = true;
    m_world.count().operations++;
    return call("SELECT chancy.retry_job('" + *id + "')", {.give_way = b.flushed});
}

// Several rows of one key, and its slot, in any order.
bool worker::block_family(block& b) {
    std::vector<std::string> ids = m_world.some_family(m_dice);
    b.rows = true;
    for (const std::string& id : ids) {
        m_world.count().operations++;
        const char* function = m_dice.percent(70) ? "retry_job" : "cancel_job";
        if (!call(std::string("SELECT chancy.") + function + "('" + id + "')", {.give_way = b.flushed})) return false;
        if (m_dice.percent(20) && !block_push(b)) return false;
    }
    return true;
}

bool worker::block_delete(block& b) {
    m_world.count().operations++;
    b.commit.in_use = true;
    return call("SELECT chancy.delete_queue('brief')", {});
}

// A function that catches an exception: what its inner part pushed is not to be.
bool worker::block_do(block& b) {
    std::string tx = std::to_string(b.tx);
    auto push = [&](const std::string& key) {
        return "INSERT INTO adv.pushed (tx, id, key, queue, reserved) VALUES (" + tx + ", chancy.push('adv.do', queue => 'q1', "
               "unique_key => '" + key + "'), '" + key + "', 'q1', true); ";
    };
    std::string inner = push(random_key("q1"));
    if (m_dice.percent(50))  // a subtransaction in the subtransaction
        inner += "BEGIN " + push(random_key("q1")) + "PERFORM 1 / " + (m_dice.percent(50) ? "0" : "1") +
                 "; EXCEPTION WHEN division_by_zero THEN NULL; END; ";
    if (m_dice.percent(60)) inner += "RAISE EXCEPTION 'by chance'; ";
    m_world.count().operations += 3;
    return call("DO $do$ BEGIN " + push(random_key("q1")) + "BEGIN " + inner + "EXCEPTION WHEN raise_exception THEN NULL; END; " +
                push(random_key("q1")) + "END $do$", {.give_way = b.flushed});
}

// In a block only the last step but calls: what it takes is held, so no lock of the application may follow.
bool worker::block_flush(block& b) {
    b.commit.give_way = true;
    permits may = b.commit;
    if (!call("SELECT chancy.flush()", may)) return false;
    b.flushed = true;
    b.ends = true;
    for (int steps = m_dice.roll(0, 3); steps > 0; steps--) {
        bool good = true;
        switch (m_dice.roll(0, 3)) {
            case 0: good = block_push(b); break;
            case 1: good = block_push_many(b); break;
            case 2: good = block_cancel(b); break;
            default: good = savepoint_step(b); break;
        }
        if (!good) return false;
    }
    if (m_dice.percent(30)) return call("SELECT chancy.flush()", may);
    return true;
}

bool worker::savepoint_step(block& b) {
    if (b.savepoints.empty() || m_dice.percent(40)) {
        std::string sp = "s" + std::to_string(b.savepoints.size());
        if (!call("SAVEPOINT " + sp, {})) return false;
        b.savepoints.push_back({sp, b.made.size()});
        return true;
    }
    size_t at = static_cast<size_t>(m_dice.roll(0, static_cast<int>(b.savepoints.size()) - 1));
    savepoint sp = b.savepoints[at];
    if (m_dice.percent(50)) {
        b.savepoints.resize(at);
        return call("RELEASE SAVEPOINT " + sp.name, {});
    }
    if (!call("ROLLBACK TO SAVEPOINT " + sp.name, {})) return false;
    b.savepoints.resize(at + 1);
    b.undone.insert(b.undone.end(), b.made.begin() + static_cast<std::ptrdiff_t>(sp.made), b.made.end());
    b.made.resize(sp.made);
    std::erase_if(b.keyed, [&](const std::string& id) { return std::find(b.made.begin(), b.made.end(), id) == b.made.end(); });
    return true;
}

// After an error that is permitted: nothing of the transaction may be.
void worker::abandon(block& b) {
    for (const auto& [by, a] : b.results) m_world.saw_attempt(by, a);
    if (m_world.failed() || !m_connection) return;
    m_connection->run("ROLLBACK");
    m_level = m_session;
    m_world.count().rolled_back++;
    b.undone.insert(b.undone.end(), b.made.begin(), b.made.end());
    book_undone(b.tx, b.undone);
}

void worker::end_block(block& b) {
    // The live job of a key, to be replaced or rerun, that appears when other rows of the key are locked is tried.
    if (b.rows && b.live) b.commit.give_way = true;
    bool can_prepare = m_world.get().prepare && m_world.get().run == mode::contract;
    int end = m_dice.roll(1, 100);
    if (end <= 10) {
        call("ROLLBACK", {});
        return abandon(b);
    }
    if (end <= 25 && can_prepare) return prepare(b);
    commit(b);
}

void worker::commit(block& b) {
    answer a = run("COMMIT");
    raise_to(m_world.count().longest_commit, a.seconds);
    permits may = b.commit;
    if (!accept(a, may, true)) {
        bool doubt = a.lost;
        if (doubt) {
            m_world.count().in_doubt++;
            b.made.clear();  // it may have committed
        }
        return abandon(b);
    }
    m_level = m_session;
    m_world.count().committed++;
    for (const auto& [by, t] : b.results) m_world.saw_finished(t.id);
    look_at_pushed(b);
    book_undone(b.tx, b.undone);
}

// pushed() names exactly the keyed pushes of the book's transaction: none that a savepoint took back, none missing.
void worker::look_at_pushed(block& b) {
    std::string tx = std::to_string(b.tx);
    answer a;
    if (m_world.get().run != mode::contract || !m_connection ||
        !call("WITH a AS MATERIALIZED (SELECT * FROM adv.pushed WHERE tx = " + tx + " AND reserved), p AS MATERIALIZED (SELECT * "
              "FROM chancy.pushed()), j AS MATERIALIZED (SELECT p.ord, p.reserved, p.id, p.created, a.key, a.began, a.id AS booked, "
              "EXISTS (SELECT FROM adv.withdrawn w WHERE w.id = a.id) AS withdrawn FROM a FULL JOIN p ON p.reserved = a.id "
              "WHERE EXISTS (SELECT FROM a)), i AS (INSERT INTO adv.decided (tx, reserved, id, created, key, began) SELECT " + tx +
              ", reserved, id, created, key, began FROM j WHERE reserved IS NOT NULL AND booked IS NOT NULL) SELECT ord, id, "
              "created, reserved, booked, withdrawn FROM j ORDER BY ord", {}, &a))
        return;
    for (const auto& row : a.rows) {
        if (row[3].empty()) return violated("push " + row[4] + " is missing in pushed()");
        if (row[4].empty()) return violated("pushed() tells of " + row[3] + ", which this transaction did not push");
        if (row[1].empty() != (row[5] == "t"))
            return violated("push " + row[3] + (row[1].empty() ? " is told as withdrawn" : " was cancelled but not withdrawn"));
        if (row[2] == "t" && row[1] != row[3]) return violated("push " + row[3] + " created another id: " + row[1]);
    }
    note_duplicates(a);
}

void worker::prepare(block& b) {
    std::string gid = m_world.gid(b.tx);
    answer a = run("PREPARE TRANSACTION '" + gid + "'");
    raise_to(m_world.count().longest_commit, a.seconds);
    if (!accept(a, b.commit, true)) {
        if (a.lost && !m_world.failed()) resolve(gid, false);  // it may be prepared
        return abandon(b);
    }
    m_level = m_session;
    m_world.count().prepared++;
    // While it rests, others pile up behind it in the middle of their own flush.
    if (m_dice.percent(40)) std::this_thread::sleep_for(std::chrono::milliseconds(m_dice.roll(1, 25)));
    bool commits = m_dice.percent(70);
    resolve(gid, commits);
    if (m_world.failed()) return;
    if (!commits) {
        m_world.count().rolled_back++;
        b.undone.insert(b.undone.end(), b.made.begin(), b.made.end());
        for (const auto& [by, t] : b.results) m_world.saw_attempt(by, t);
    } else {
        m_world.count().committed++;
    }
    book_undone(b.tx, b.undone);
}

// The coordinator: ends the prepared transaction whatever happens, and locks nothing meanwhile.
void worker::resolve(const std::string& gid, bool commits) {
    for (int tries = 0; tries < 200 && m_connection; tries++) {
        answer a = run((commits ? "COMMIT PREPARED '" : "ROLLBACK PREPARED '") + gid + "'");
        if (a.ok || a.sqlstate == "42704") return;  // 42704: the terminated backend had done it, or never prepared
        if (a.lost) {
            accept(a, {});
            if (m_world.failed()) return;
        } else if (a.sqlstate != "55000") {  // 55000: busy, the terminated backend is still at it
            return violated("a prepared transaction could not be ended: " + a.sqlstate + " " + a.message);
        } else {
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
        }
    }
    violated("prepared transaction " + gid + " could not be ended");
}

}  // namespace adversary
