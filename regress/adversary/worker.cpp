#include "worker.hpp"

#include <algorithm>
#include <chrono>
#include <stdexcept>

#include "schema.hpp"

namespace adversary {

using nlohmann::json;

const char* name(isolation i) {
    static const char* const names[] = {"READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"};
    return names[static_cast<int>(i)];
}

std::string quote(const std::string& text) { return "$q$" + text + "$q$"; }

std::string uuids(const std::vector<std::string>& ids) {
    std::string text;
    for (const std::string& id : ids) text += (text.empty() ? "" : ",") + id;
    return "'{" + text + "}'::uuid[]";
}

worker::worker(world& w, int index, int round) : m_world(w), m_index(index), m_dice(w.get().seed, round, index) {}

void worker::run() {
    connect();
    while (!m_world.stopped()) {
        auto start = std::chrono::steady_clock::now();
        m_world.count().transactions++;
        m_extended = m_dice.percent(30);
        m_level = m_session;
        bool blocks = m_dice.percent(m_world.get().run == mode::immediate ? 70 : 50);
        if (m_world.get().run == mode::upstream)
            upstream();
        else if (blocks && !in_rush())
            transaction();
        else
            single_call();
        raise_to(m_world.count().longest_transaction, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    m_world.set_backend(m_index, 0);
    m_connection.reset();
}

void worker::connect() {
    m_world.set_backend(m_index, 0);
    m_connection.reset();
    try {
        m_connection = std::make_unique<connection>(parameters(m_world.get(), "adversary-" + std::to_string(m_index)));
        m_session = static_cast<isolation>(m_dice.weighted({8, 1, 1}));
        m_level = m_session;
        if (m_world.get().run != mode::contract) m_session = m_level = isolation::read_committed;
        if (m_session != isolation::read_committed)
            m_connection->need("SET default_transaction_isolation = " + quote(name(m_session)));
        if (m_world.get().run == mode::immediate) m_connection->need("SET chancy.push_mode = immediate");
        m_buffers = m_world.get().run == mode::contract && m_dice.percent(20);
        if (m_buffers) m_connection->need("SET chancy.push_mode = at_commit");
        m_connection->need("SET chancy.hot_key_bound = " + std::to_string(m_dice.one_of(std::vector<int>{0, 20, 500})));
        m_world.set_backend(m_index, m_connection->pid());
    } catch (const std::runtime_error& e) {
        violated(std::string("no connection: ") + e.what());
    }
}

void worker::violated(const std::string& what) {
    m_world.fail(what + "\n" + m_world.logs(m_index));
}

answer worker::run(const std::string& sql, bool first) {
    answer a;
    if (!m_connection) {
        a.lost = true;
        return a;
    }
    m_world.log(m_index, sql, first);
    a = m_connection->run(sql, m_extended && sql.find(';') == std::string::npos);
    if (a.ok)
        m_world.log(m_index, "  -> " + std::to_string(a.rows.size()) + " rows" +
                                 (a.rows.size() == 1 && a.rows[0].size() == 1 ? ": " + a.rows[0][0] : ""), false);
    else
        m_world.log(m_index, "  -> ERROR " + a.sqlstate + ": " + a.message, false);
    return a;
}

bool worker::accept(const answer& a, const permits& may, bool commits) {
    if (a.ok) return true;
    figures& count = m_world.count();
    auto says = [&](const char* text) { return a.message.find(text) != std::string::npos; };
    bool terminated = a.sqlstate == "57P01" || (a.lost && a.sqlstate.empty());
    if (terminated && m_world.get().kill) {
        count.killed++;
        if (!m_world.failed()) connect();
        return false;
    }
    if (a.sqlstate == "57014" && m_world.get().kill) {
        count.killed++;
        return false;
    }
    if (a.sqlstate == "40P01") {
        count.deadlocks++;
        if (m_world.get().run == mode::contract) {
            m_world.fail("deadlock\n" + m_world.logs(m_index) + "\nall others:\n" + m_world.all_logs());
        } else {
            m_world.stop();
        }
        return false;
    }
    if (m_world.get().run != mode::contract && (a.sqlstate.starts_with("40") || a.sqlstate.starts_with("55") || a.sqlstate == "23505"))
        return false;
    if (a.sqlstate == "40001") {
        if (says("could not wait for") || says("is locked by another transaction")) {
            count.gave_way++;
            if (may.give_way || (may.busy && says("is locked by another transaction"))) return false;
        } else if (says("read/write dependencies")) {
            count.serialization++;
            if (m_level == isolation::serializable) return false;
        } else if (says("could not serialize access due to concurrent")) {
            count.serialization++;
            if (m_level != isolation::read_committed && may.rows && !commits) return false;
        } else if (says("was declared by another transaction") && may.declare) {
            return false;
        }
    }
    if (a.sqlstate == "55000" && says("does not apply") && may.stale) {
        count.stale++;
        count.refused++;
        return false;
    }
    if (a.sqlstate == "23505" && says("is taken: ")) {  // on_conflict reject
        count.refused++;
        return false;
    }
    if (((a.sqlstate == "55000" && says("does not run any more")) || (a.sqlstate == "P0002" && says("no such workflow"))) && may.ended) {
        count.refused++;
        return false;
    }
    if (a.sqlstate == "55006" && may.in_use) {
        count.in_use++;
        count.refused++;
        return false;
    }
    violated("a statement failed that may not: " + a.sqlstate + " " + a.message);
    return false;
}

bool worker::call(const std::string& sql, const permits& may, answer* into) {
    answer a = run(sql);
    raise_to(m_world.count().longest_commit, a.seconds);
    bool good = accept(a, may);
    if (into != nullptr) *into = std::move(a);
    return good;
}

std::string worker::random_worker() { return "w" + std::to_string(m_dice.roll(0, 2)); }

std::string worker::random_key(const std::string& queue) {
    return queue == "brief" ? "t" + std::to_string(m_dice.roll(0, 2))
                            : "k" + std::to_string(m_dice.roll(10, 9 + m_world.get().keys));
}

json worker::random_job() {
    static const std::vector<std::string> queues = {"q0", "q0", "q0", "q1", "q1", "limited", "few", "few", "brief"};
    std::string queue = m_dice.one_of(queues);
    json job = {{"func", "adv.work"},
                {"queue", queue},
                {"priority", m_dice.roll(0, 3)},
                {"max_attempts", m_dice.roll(1, 3)},
                {"kwargs", {{"n", m_dice.roll(0, 1000)}}},
                {"meta", {{"retry_settings", {{"backoff", 0}, {"backoff_jitter", {0, 0.05}}}}}}};
    if (queue == "few" && m_dice.percent(80)) job["concurrency_key"] = "c" + std::to_string(m_dice.roll(0, 2));
    if (!m_dice.percent(92)) return job;
    job["unique_key"] = random_key(queue);
    if (m_world.get().run == mode::contract && m_dice.percent(15)) {
        // A key that many push at once and then nobody any more: a run that is missed is not made up for by the next push.
        job["unique_key"] = "r" + std::to_string(m_world.transactions() / 40);
        job["queue"] = m_dice.one_of(std::vector<std::string>{"q0", "q1"});
        job["on_conflict"] = "rerun";
        job["priority"] = 4;
        return job;
    }
    static const std::vector<std::string> modes = {"replace", "replace", "rerun", "rerun", "rerun", "reject"};
    if (m_world.get().run == mode::contract && m_dice.percent(40)) job["on_conflict"] = m_dice.one_of(modes);
    return job;
}

// Keys shuffled, and often twice.
std::string worker::random_batch(int* size) {
    *size = m_dice.roll(2, 12);
    json batch = json::array();
    for (int i = 0; i < *size; i++) batch.push_back(random_job());
    return batch.dump();
}

namespace {
std::string text_or_null(const json& job, const char* key) { return job.contains(key) ? quote(job[key]) : "NULL"; }
}  // namespace

std::string worker::push_statement(int64_t tx, const json& job, bool reserved) {
    return "WITH p AS MATERIALIZED (SELECT chancy.push(" + quote(job["func"]) + ", queue => " + quote(job["queue"]) +
           ", priority => " + job["priority"].dump() + ", max_attempts => " + job["max_attempts"].dump() +
           ", meta => " + quote(job["meta"].dump()) + ", unique_key => " + text_or_null(job, "unique_key") +
           ", on_conflict => " + quote(job.value("on_conflict", "keep")) + ", concurrency_key => " + text_or_null(job, "concurrency_key") +
           ") AS id), i AS (INSERT INTO adv.pushed (mode, tx, id, key, queue, reserved) SELECT " + text_or_null(job, "on_conflict") + ", " + std::to_string(tx) +
           ", id, " + text_or_null(job, "unique_key") + ", " + quote(job["queue"]) + ", " +
           (reserved && job.contains("unique_key") ? "true" : "false") + " FROM p) SELECT id FROM p";
}

// ord, id, created, key
std::string worker::push_many_statement(int64_t tx, const std::string& batch, const char* function, bool reserved) {
    std::string created = std::string(function) == "push_many" ? "p.created" : "NULL::boolean AS created";
    std::string kept = reserved ? "j.e ? 'unique_key'" : "false";
    return std::string("WITH p AS MATERIALIZED (SELECT p.ord, p.id, ") + created + ", j.e FROM chancy." + function + "(" +
           quote(batch) + ") p JOIN jsonb_array_elements(" + quote(batch) +
           "::jsonb) WITH ORDINALITY AS j (e, n) ON j.n = p.ord), i AS (INSERT INTO adv.pushed (tx, id, key, queue, "
           "reserved, created, mode) SELECT " + std::to_string(tx) + ", id, e ->> 'unique_key', e ->> 'queue', " + kept +
           ", created, e ->> 'on_conflict' FROM p j) SELECT ord, id, created, e ->> 'unique_key' FROM p ORDER BY ord";
}

json worker::random_updates(const std::vector<attempt>& attempts) {
    static const std::vector<std::string> outcomes = {"succeeded", "succeeded", "succeeded", "failed",
                                                      "failed",    "discarded", "snoozed",   "released"};
    json updates = json::array();
    for (const attempt& a : attempts) {
        json update = {{"id", a.id}, {"started_at", a.started_at}, {"outcome", m_dice.one_of(outcomes)}};
        if (update["outcome"] == "snoozed") update["retry_at"] = a.started_at;
        if (update["outcome"] == "failed") update["error"] = "by chance";
        if (m_dice.percent(20)) update["result"] = m_dice.roll(0, 9);
        updates.push_back(update);
    }
    return updates;
}

// ord, applied, reason, id, state. What applied, or is to apply at commit, goes into the book.
std::string worker::apply_statement(int64_t tx, const std::string& on_locked,
                                    std::vector<std::pair<std::string, attempt>>* taken) {
    std::string by = random_worker();
    std::vector<attempt> attempts = m_world.take_attempts(by, m_dice.roll(1, 4), m_dice);
    std::erase_if(attempts, [&](const attempt& a) {
        return std::any_of(taken->begin(), taken->end(), [&](const auto& t) { return t.second.id == a.id; });
    });
    if (attempts.empty()) return "";
    for (const attempt& a : attempts) taken->emplace_back(by, a);
    return updates_statement(tx, by, random_updates(attempts), on_locked);
}

std::string worker::updates_statement(int64_t tx, const std::string& by, const json& batch, const std::string& on_locked) {
    std::string updates = quote(batch.dump());
    return "WITH u AS MATERIALIZED (SELECT u.*, j.e FROM chancy.apply_updates(" + quote(by) + ", " + updates + ", " +
           quote(on_locked) + ") u JOIN jsonb_array_elements(" + updates +
           "::jsonb) WITH ORDINALITY AS j (e, n) ON j.n = u.ord), i AS (INSERT INTO adv.applied (tx, id, started_at, outcome, "
           "worker) SELECT " + std::to_string(tx) + ", id, (e ->> 'started_at')::timestamptz, e ->> 'outcome', " + quote(by) +
           " FROM u WHERE applied IS NOT FALSE) SELECT ord, applied, reason, id, state FROM u ORDER BY ord";
}

void worker::book_undone(int64_t tx, const std::vector<std::string>& ids) {
    if (ids.empty() || !m_connection) return;
    m_level = m_session;
    call("INSERT INTO adv.undone SELECT " + std::to_string(tx) + ", unnest(" + uuids(ids) + ")", {});
}

// Rows of ord, id, created, …: who met a live job that this very call did not create?
void worker::note_duplicates(const answer& a) {
    std::vector<std::string> own;
    for (const auto& row : a.rows)
        if (row[2] == "t") own.push_back(row[1]);
    for (const auto& row : a.rows)
        if (row[2] == "f" && std::find(own.begin(), own.end(), row[1]) == own.end()) m_world.count().duplicates++;
    for (const auto& row : a.rows) m_world.saw_live(row[1]);
}

void worker::note_results(const answer& a) {
    for (const auto& row : a.rows) {
        if (row[1] == "f") m_world.count().refused++;
        if (row[4] == "succeeded" || row[4] == "failed") m_world.saw_finished(row[3]);
    }
}

}  // namespace adversary
