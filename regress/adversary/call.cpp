// Transactions whose chancy locks all come from one call: (a) of the promise. And those that stay outside of it but
// may only ever end with 40001: several calls of one statement.
#include <chrono>
#include <cstdio>
#include <thread>

#include "worker.hpp"

namespace adversary {

using nlohmann::json;

void worker::single_call() {
    int64_t tx = m_world.next_transaction();
    m_world.log(m_index, "transaction " + std::to_string(tx) + ", one call, " + name(m_session), true);
    bool immediate = m_world.get().run == mode::immediate;
    if (in_rush()) return single_watch();
    switch (m_dice.weighted({24, 16, 12, 14, 12, immediate ? 0 : 2, immediate ? 0 : 5, immediate ? 0 : 7,
                             immediate ? 0 : 1, immediate ? 0 : 5, 3, immediate ? 0 : 20})) {
        case 0: return single_push(tx);
        case 1: return single_fetch(tx);
        case 2: return single_exchange(tx);
        case 3: return single_apply(tx);
        case 4: return single_change(tx);
        case 5: return single_queue();
        case 6: return single_worker();
        case 7: return single_watch();
        case 8: return single_delete();
        case 9: return several_calls(tx);
        case 11: return single_workflow(tx);
        default: return reads();
    }
}

// After an error that is permitted.
void worker::abandon_call(bool block) {
    if (block && m_connection && !m_world.failed()) m_connection->run("ROLLBACK");
}

permits worker::single(permits more) const {
    if (m_buffers) more.stale = more.busy = true;
    return more;
}

// The book is kept in the same statement, which therefore writes, so that auto would buffer the call.
bool worker::call_at_once(const std::string& sql, permits more, answer* a) {
    if (m_buffers || m_world.get().run != mode::contract) return call(sql, more, a);
    if (!call("SET chancy.push_mode = immediate", {})) return false;
    bool done = call(sql, more, a);
    restore_push_mode();
    return done;
}

// It may be cancelled, as any statement here, and must not stay undone. After a lost connection there is another one, which may buffer.
void worker::restore_push_mode() {
    for (int tries = 0; tries < 10 && m_connection && !m_world.failed(); tries++)
        if (call(m_buffers ? "SET chancy.push_mode = at_commit" : "RESET chancy.push_mode", {})) break;
}

void worker::single_push(int64_t tx) {
    answer a;
    if (m_dice.percent(40)) {  // as anybody writes it, and noted down afterwards
        json job = random_job();
        m_world.count().operations++;
        answer pushed = run("SELECT chancy.push('adv.work', queue => " + quote(job["queue"]) + ", unique_key => " +
                            (job.contains("unique_key") ? quote(job["unique_key"]) : "NULL") + ")");
        if (!accept(pushed, {})) return;
        m_world.saw_live(pushed.rows[0][0]);
        call("INSERT INTO adv.pushed (tx, id, key, queue, reserved) VALUES (" + std::to_string(tx) + ", '" + pushed.rows[0][0] +
                 "', " + (job.contains("unique_key") ? quote(job["unique_key"]) : "NULL") + ", " + quote(job["queue"]) + (m_buffers && job.contains("unique_key") ? ", true)" : ", false)"),
             {});
        return;
    }
    int size;
    std::string batch = random_batch(&size);
    m_world.count().operations += size;
    if (m_dice.percent(70)) {
        if (call_at_once(push_many_statement(tx, batch, "push_many", m_buffers), {}, &a)) note_duplicates(a);
        return;
    }
    // BEGIN; one call; COMMIT
    m_level = static_cast<isolation>(m_dice.weighted({2, 1, 1}));
    if (!call(std::string("BEGIN ISOLATION LEVEL ") + name(m_level), {})) return;
    if (!call(push_many_statement(tx, batch, "push_many", true), {})) return abandon_call(true);
    block b;
    b.tx = tx;
    commit(b);
}

namespace {
// id, started_at, worker
std::string claim_statement(int64_t tx, const std::string& from, const std::string& rest) {
    return "WITH f AS MATERIALIZED (SELECT * FROM " + from + "), i AS (INSERT INTO adv.claimed SELECT " + std::to_string(tx) +
           ", id, started_at, taken_by FROM f WHERE id IS NOT NULL) SELECT id, started_at, taken_by" + rest + " FROM f";
}
}  // namespace

void worker::single_fetch(int64_t tx) {
    static const std::vector<std::string> queues = {"q0", "q0", "q1", "limited", "few", "few", "brief"};
    answer a;
    m_world.count().operations++;
    bool block = m_dice.percent(30);
    if (block) {
        m_level = static_cast<isolation>(m_dice.weighted({2, 1, 1}));
        if (!call(std::string("BEGIN ISOLATION LEVEL ") + name(m_level), {})) return;
    }
    std::string from = "chancy.fetch_jobs(" + quote(m_dice.one_of(queues)) + ", " + quote(random_worker()) + ", " +
                       std::to_string(m_dice.roll(1, 6)) + ")";
    if (!call(claim_statement(tx, from, ""), {}, &a)) return abandon_call(block);
    if (block && !call(m_dice.percent(85) ? "COMMIT" : "ROLLBACK", {})) return;
    for (const auto& row : a.rows) m_world.saw_attempt(row[2], {row[0], row[1]});
}

void worker::single_exchange(int64_t tx) {
    std::string by = random_worker();
    std::vector<attempt> attempts = m_world.take_attempts(by, m_dice.roll(0, 5), m_dice);
    std::string updates = quote(random_updates(attempts).dump());
    std::string on_locked = m_dice.percent(70) ? "skip" : "wait";
    m_world.count().operations += static_cast<int64_t>(attempts.size()) + 1;
    // What it refused is told; the rest was applied.
    std::string sql =
        "WITH e AS MATERIALIZED (SELECT e.kind, e.ord, e.reason, e.passed, (e.job).* FROM chancy.exchange(" + quote(by) +
        ", " + updates + ", " + quote(m_dice.percent(70) ? "q0" : "q1") + ", " + std::to_string(m_dice.roll(1, 5)) + ", " +
        quote(on_locked) + ") e), c AS (INSERT INTO adv.claimed SELECT " + std::to_string(tx) +
        ", id, started_at, taken_by FROM e WHERE kind = 'job'), a AS (INSERT INTO adv.applied (tx, id, started_at, outcome, "
        "worker) SELECT " + std::to_string(tx) + ", (j.e ->> 'id')::uuid, (j.e ->> 'started_at')::timestamptz, j.e ->> 'outcome', " +
        quote(by) + " FROM jsonb_array_elements(" + updates +
        "::jsonb) WITH ORDINALITY AS j (e, n) WHERE NOT EXISTS (SELECT FROM e WHERE e.kind = 'refused' AND e.ord = j.n)) "
        "SELECT kind, reason, passed, id, started_at, taken_by FROM e";
    answer a;
    if (!call(sql, {}, &a)) return;
    bool refused = false;
    for (const auto& row : a.rows) {
        if (row[0] == "refused") m_world.count().refused++, refused = true;
        if (row[0] == "passed") m_world.count().passed++;
        if (row[0] == "job") m_world.saw_attempt(row[5], {row[3], row[4]});
    }
    if (!refused)
        for (const attempt& t : attempts) m_world.saw_finished(t.id);
}

void worker::single_apply(int64_t tx) {
    std::vector<std::pair<std::string, attempt>> taken;
    std::string sql = apply_statement(tx, m_dice.percent(50) ? "wait" : "skip", &taken);
    if (sql.empty()) return single_fetch(tx);
    m_world.count().operations += static_cast<int64_t>(taken.size());
    answer a;
    if (call_at_once(sql, single(), &a)) note_results(a);
}

// cancel_job, cancel_jobs, retry_job
void worker::single_change(int64_t tx) {
    if (m_dice.percent(40)) {
        auto id = m_world.some_finished(m_dice);
        if (!id) return single_fetch(tx);
        answer a;
        m_world.count().operations++;
        if (!call("SELECT chancy.retry_job('" + *id + "')", {}, &a)) return;
        if (a.rows[0][0] == "t") m_world.saw_live(*id);
        if (a.rows[0][0] == "f") m_world.count().refused++;
        return;
    }
    std::vector<std::string> ids;
    if (m_dice.percent(40)) ids = m_world.some_family(m_dice);
    for (int i = m_dice.roll(1, 4); i > 0; i--)
        if (auto id = m_world.some_live(m_dice)) ids.push_back(*id);
    if (ids.empty()) return single_fetch(tx);
    m_world.count().operations += static_cast<int64_t>(ids.size());
    answer a;
    if (ids.size() == 1 ? !call("SELECT 1, '" + ids[0] + "', chancy.cancel_job('" + ids[0] + "')", {}, &a)
                        : !call("SELECT ord, id, cancelled FROM chancy.cancel_jobs(" + uuids(ids) + ")", {}, &a))
        return;
    for (const auto& row : a.rows) {
        if (row[2] == "t") m_world.saw_finished(row[1]);
        if (row[2] == "f") m_world.count().refused++;
    }
}

// These go through SQL, so above READ COMMITTED a concurrent change fails them as any UPDATE.
void worker::single_queue() {
    if (m_session != isolation::read_committed) return reads();
    m_world.count().operations++;
    std::string queue = quote("q" + std::to_string(m_dice.roll(0, 1)));
    switch (m_dice.roll(0, 4)) {
        case 0: call("SELECT chancy.pause_queue(" + queue + ", now() + interval '50 ms')", {}); break;
        case 1: call("SELECT chancy.resume_queue(" + queue + ")", {}); break;
        case 2: call("SELECT chancy.declare_queue(" + queue + ")", {.declare = true}); break;
        case 3: call("SELECT chancy.declare_queue(" + queue + ", upsert => true)", {.declare = true}); break;
        default: call("SELECT chancy.declare_queue('brief')", {.declare = true}); break;
    }
}

void worker::single_worker() {
    if (m_session != isolation::read_committed) return reads();
    m_world.count().operations++;
    switch (m_dice.roll(0, 9)) {
        case 0: call("SELECT chancy.retire_worker(" + quote(random_worker()) + ")", {}); break;
        case 1: call("SELECT * FROM chancy.recover_jobs(1, '1 s', " + std::to_string(m_dice.roll(1, 5)) + ")", {}); break;
        case 2: call("SELECT chancy.prune_jobs('{\"queue\": \"brief\"}', " + std::to_string(m_dice.roll(1, 20)) + ")", {}); break;
        case 3: call("SELECT * FROM chancy.maintain()", {}); break;
        case 4: call("SELECT * FROM chancy.run_cron(" + std::to_string(m_dice.roll(1, 3)) + ")", {}); break;
        case 5: call(std::string("SELECT chancy.") + (m_dice.percent(50) ? "pause" : "resume") + "_cron('keep')", {}); break;
        default: call("SELECT chancy.heartbeat(" + quote(random_worker()) + ", '{}', '{q0,q1}', '2 s')", {}); break;
    }
}

namespace {
// All watch the same now and then. Such a watch lasts a second, so the next rush finds it expired, and clears it away.
// One connection holds the first row through the beginning of the rush, so that the others queue up behind it.
constexpr int rush_every = 1300, rush_lasts = 80, hold_before = 60;
int64_t since_rush() { return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::milliseconds(1) % rush_every; }
std::string watched(int n) { return "00000000-0000-7000-8000-" + std::to_string(100000000000 + n); }
}  // namespace

bool worker::in_rush() const {
    return m_world.get().run == mode::contract && m_session == isolation::read_committed &&
           (since_rush() < rush_lasts || (m_index == 0 && since_rush() >= rush_every - hold_before));
}

void worker::single_watch() {
    if (m_session != isolation::read_committed || (!in_rush() && since_rush() > 900)) return reads();
    bool rush = in_rush(), holds = rush && m_index == 0;
    std::vector<std::string> ids = {watched(1)};
    for (int i = m_dice.roll(1, 5); i > 0 && !holds; i--) ids.push_back(watched(m_dice.percent(50) ? m_dice.roll(1, 3) : m_dice.roll(4, 12)));
    if (m_dice.percent(50) && !holds) ids.erase(ids.begin());
    if (auto id = m_world.some_live(m_dice); id && m_dice.percent(30)) ids.push_back(*id);
    if (!rush || holds) std::erase_if(ids, [](const std::string& id) { return id > watched(3) && id <= watched(12); });
    m_world.count().operations++;
    bool block = holds || (!rush && m_dice.percent(30));
    if (block && !call("BEGIN", {})) return;
    std::string time = rush && !holds ? "1 s" : "1 min";
    if (!call("SELECT chancy.watch_jobs(" + uuids(ids) + ", interval '" + time + "')", {}) || !block) return abandon_call(block);
    std::this_thread::sleep_for(std::chrono::milliseconds(holds ? hold_before + 40 : m_dice.roll(0, 5)));
    if (!call("COMMIT", {})) abandon_call(block);
}

void worker::single_delete() {
    m_world.count().operations++;
    call(std::string("SELECT chancy.delete_queue('brief', ") + (m_dice.percent(80) ? "true" : "false") + ")", {.in_use = true});
    if (m_connection && m_session == isolation::read_committed) call("SELECT chancy.declare_queue('brief')", {.declare = true});
}

void worker::several_calls(int64_t tx) {
    std::string number = std::to_string(tx);
    json one = random_job(), two = random_job();
    std::string key1 = random_key("q0"), key2 = random_key("q1");
    m_world.count().operations += 2;
    switch (m_dice.roll(0, m_world.get().run == mode::contract ? 5 : 4)) {
        case 0:  // the first call runs at once, the second is buffered and may only try
            call("SELECT chancy.push('adv.a', unique_key => " + quote(key1) + ", queue => 'q0'), chancy.push('adv.b', "
                 "unique_key => " + quote(key2) + ", queue => 'q1')", {.give_way = !m_buffers});
            break;
        case 1:  // a procedure that commits after each
            if (m_session != isolation::read_committed) return reads();
            call("CALL adv.steps(" + number + ", ARRAY[" + quote(key1) + ", " + quote(key2) + "], 'q1')", {});
            break;
        case 2:  // an implicit block
            call(push_statement(tx, one, true) + "; " + push_statement(tx, two, true), {});
            break;
        case 3:  // a trigger pushes, in a transaction that has written
            call("INSERT INTO adv.orders VALUES (" + number + ", " + quote(key1) + ", 'q0'), (" + number + ", " + quote(key2) +
                 ", 'q1')", {});
            break;
        case 5:  // a function that pushes and then locks the application's rows
            call("SELECT adv.mixed(" + number + ", " + quote(key1) + ", " + std::to_string(m_dice.roll(1, m_world.get().rows)) + ")",
                 {.rows = true});
            break;
        default:
            call("INSERT INTO adv.invoices VALUES (" + number + ", " + quote(key1) + ", 'q0'), (" + number + ", " + quote(key2) +
                 ", 'q1')", {});
            break;
    }
}

void worker::reads() {
    switch (m_dice.roll(0, 4)) {
        case 0: call("SELECT count(*) FROM chancy.list_jobs(up_to => 20)", {}); break;
        case 1: call("SELECT count(*) FROM chancy.running_jobs(" + quote(random_worker()) + ")", {}); break;
        case 2: call("SELECT (chancy.get_live_job(" + quote(random_key("q0")) + ")).id", {}); break;
        case 3: call("SELECT count(*) FROM chancy.list_queues()", {}); break;
        default: call("SELECT count(*) FROM chancy.list_workers()", {}); break;
    }
}

}  // namespace adversary
