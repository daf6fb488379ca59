#include "load.hpp"

#include <libpq-fe.h>

#include <optional>

#include <poll.h>

namespace chaos {

using namespace std::chrono_literals;

const char* const load_schema = "CREATE SCHEMA app; CREATE TABLE app.orders (job uuid PRIMARY KEY, at timestamptz DEFAULT now())";

namespace {

constexpr int keys = 40;
constexpr std::int64_t most_waiting = 300;  // more jobs than that need not wait: the end of a run is to come soon

thread_local std::minstd_rand random_source;

// Errors that a fault may well cause. All others would be bugs: a deadlock, a unique violation, bad input.
bool explained(const chancy::error& e) {
    const std::string kind = e.sqlstate().substr(0, 2);
    return e.connection_lost() || kind == "08" || kind == "53" || kind == "57" || e.sqlstate() == "25006" || e.sqlstate() == "40001";
}

// A statement of the application's own, on the same connection, which may have gone silent.
void write_row(PGconn* connection, const std::string& statement) {
    const auto give_up = std::chrono::steady_clock::now() + 3s;
    bool ok = PQsendQuery(connection, statement.c_str()) != 0;
    while (ok && (PQflush(connection) > 0 || PQisBusy(connection))) {
        pollfd p{PQsocket(connection), POLLIN, 0};
        ::poll(&p, 1, 50);
        ok = std::chrono::steady_clock::now() < give_up && PQconsumeInput(connection) != 0;
    }
    while (PGresult* r = ok ? PQgetResult(connection) : nullptr) {
        ok = PQresultStatus(r) == PGRES_COMMAND_OK;
        PQclear(r);
    }
    if (!ok) throw chancy::error("the application's own statement failed", {.sqlstate = "08006", .connection_lost = true});
}

}  // namespace

int load::dice(int sides) { return std::uniform_int_distribution<int>(0, sides - 1)(random_source); }

chancy::new_job load::make_job(bool keyed) {
    chancy::new_job job{.func = "chaos.work", .max_attempts = 4};
    job.kwargs["ms"] = dice(100) == 0 ? m_long_job : dice(20) == 0 ? 200 + dice(200) : dice(25);
    if (dice(10) == 0) job.kwargs["fails"] = 1 + dice(2);
    if (dice(20) == 0) job.kwargs["snooze"] = 50;
    job.meta["retry_settings"] = {{"backoff", 1}, {"backoff_limit", 1}, {"backoff_jitter", {0, 0}}};
    if (keyed) job.unique_key = "key:" + std::to_string(dice(keys));
    return job;
}

void load::push_one(chancy::client& db) {
    const chancy::uuid id = db.push(make_job(true));
    m_ledger.acknowledged(id);
    const std::lock_guard lock(m_mutex);
    m_recent.push_back(id);
}

void load::push_batch(chancy::client& db) {
    std::vector<chancy::new_job> jobs;
    for (int i = 2 + dice(10); i > 0; --i) jobs.push_back(make_job(dice(3) == 0));
    for (const chancy::pushed& p : db.push_many(jobs)) m_ledger.acknowledged(p.id);
}

// The row and the job: both or neither, whatever happens.
void load::push_with_row(chancy::client& db) {
    chancy::transaction tx(db);
    const chancy::uuid id = tx.push(make_job(false));
    write_row(tx.connection(), "INSERT INTO app.orders (job) VALUES ('" + id.to_string() + "')");
    tx.commit();
    m_ledger.acknowledged(id);
}

void load::cancel_one(chancy::client& db) {
    chancy::uuid id;
    {
        const std::lock_guard lock(m_mutex);
        if (m_recent.empty()) return;
        id = m_recent.back();
        m_recent.clear();
    }
    m_ledger.cancelled(id);
    if (db.cancel_job(id)) ++cancels;
}

void load::note(const chancy::error& e) {
    ++failed;
    if (e.in_doubt()) ++in_doubt;
    if (explained(e)) return;
    const std::lock_guard lock(m_mutex);
    m_surprises.push_back(e.function() + ": " + e.sqlstate() + ' ' + e.what());
}

void load::thread(unsigned number) {
    random_source.seed(m_seed + number);
    std::optional<chancy::client> db;
    while (!m_stop) {
        if (static_cast<std::int64_t>(m_ledger.pushes()) - m_board.finished() > most_waiting) {
            std::this_thread::sleep_for(5ms);
            continue;
        }
        ++calls;
        try {
            if (!db) db.emplace(m_conninfo, chancy::client_options{.retry = {.total = 2s}, .timeout = 3s, .connect_timeout = 2s});
            const int what = dice(20);
            if (what < 11) push_one(*db);
            else if (what < 15) push_batch(*db);
            else if (what < 19) push_with_row(*db);
            else cancel_one(*db);
            std::this_thread::sleep_for(std::chrono::milliseconds(dice(15)));
        } catch (const chancy::error& e) {
            note(e);
            std::this_thread::sleep_for(20ms);
        }
    }
}

void load::start(int threads) {
    for (int i = 0; i < threads; ++i) m_threads.emplace_back([this, i] { thread(static_cast<unsigned>(i)); });
}

void load::stop() {
    m_stop = true;
    for (std::thread& t : m_threads) t.join();
    m_threads.clear();
}

std::vector<std::string> load::surprises() const {
    const std::lock_guard lock(m_mutex);
    return m_surprises;
}

}  // namespace chaos
