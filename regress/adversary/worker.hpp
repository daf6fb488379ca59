// One connection that runs random transactions until it is told to stop.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>

#include "connection.hpp"
#include "world.hpp"

namespace adversary {

enum class isolation { read_committed, repeatable_read, serializable };

// Errors that a statement may legitimately end with, besides being terminated.
struct permits {
    bool give_way = false;  // 40001 of chancy: an immediate call or a flush came before in the transaction (rule 2)
    bool rows = false;      // 40001 of the application's own rows, above READ COMMITTED
    bool stale = false;     // 55000: a buffered result that does not apply
    bool in_use = false;    // 55006: delete_queue
    bool declare = false;   // 40001: somebody else declared the queue
    bool ended = false;     // 55000, P0002: steps for a workflow that has ended or was never pushed
    bool busy = false;      // 40001 of a result with on_locked => 'skip' that COMMIT could not write
};

struct savepoint {
    std::string name;
    size_t made;  // how many ids were reserved before it
};

// A transaction block under way.
struct block {
    int64_t tx = 0;
    int row = 0;                         // the application's last lock: only higher ones follow
    bool flushed = false;                // flush() was called
    int workflows = 0;                   // calls of workflows, for the names of steps
    bool ends = false;                   // no further step: nothing may be locked after a flush()
    bool rows = false, live = false;     // it changes jobs by id; it may replace or rerun live jobs
    permits commit;                      // what COMMIT may end with
    std::vector<std::string> made;       // ids given by pushes, those taken back excluded
    std::vector<std::string> keyed;      // of these, pushes that are still only reserved
    std::vector<std::string> undone;     // given by pushes that a savepoint took back
    std::vector<savepoint> savepoints;
    std::vector<std::pair<std::string, attempt>> results;  // worker and attempt
};

class worker {
public:
    worker(world& w, int index, int round);
    void run();

private:
    // Statements.
    void connect();
    answer run(const std::string& sql, bool first = false);
    // True when it worked. False when it ended as permitted, or was terminated; else the run fails.
    bool accept(const answer& a, const permits& may, bool commit = false);
    bool call(const std::string& sql, const permits& may, answer* into = nullptr);
    void violated(const std::string& what);

    // What to push, and on which jobs to work.
    std::string random_key(const std::string& queue);
    nlohmann::json random_job();
    std::string random_batch(int* size);
    std::string push_statement(int64_t tx, const nlohmann::json& job, bool reserved);
    std::string push_many_statement(int64_t tx, const std::string& batch, const char* function, bool reserved);
    // Empty without attempts. taken gets them.
    std::string apply_statement(int64_t tx, const std::string& on_locked, std::vector<std::pair<std::string, attempt>>* taken);
    std::string updates_statement(int64_t tx, const std::string& by, const nlohmann::json& updates, const std::string& on_locked);
    nlohmann::json random_updates(const std::vector<attempt>& attempts);
    std::string random_worker();
    void book_undone(int64_t tx, const std::vector<std::string>& ids);
    void note_duplicates(const answer& a);
    void note_results(const answer& a);

    // Transactions of a single call (call.cpp).
    void single_call();
    bool call_at_once(const std::string& sql, permits more, answer* a);
    void restore_push_mode();
    void single_push(int64_t tx);
    void single_fetch(int64_t tx);
    void single_exchange(int64_t tx);
    void single_apply(int64_t tx);
    void single_change(int64_t tx);
    void single_queue();
    void single_worker();
    void single_watch();
    bool in_rush() const;
    void single_delete();
    void abandon_call(bool block);
    // What an autocommit call that may be buffered may end with.
    permits single(permits more = {}) const;
    void several_calls(int64_t tx);
    void reads();

    // Transaction blocks (transaction.cpp).
    void transaction();
    bool step(block& b);
    bool app_lock(block& b);
    bool app_insert(block& b);
    bool block_push(block& b);
    bool block_push_many(block& b);
    bool block_apply(block& b);
    bool block_cancel(block& b);
    bool block_retry(block& b);
    bool block_family(block& b);
    bool block_delete(block& b);
    bool block_do(block& b);
    bool block_flush(block& b);
    bool savepoint_step(block& b);
    void end_block(block& b);
    void commit(block& b);
    void prepare(block& b);
    void resolve(const std::string& gid, bool commits);
    void abandon(block& b);
    void look_at_pushed(block& b);

    // Workflows (workflow.cpp).
    std::string random_steps(int64_t tx);
    std::string workflow_statement(int64_t tx, permits* may);
    void single_workflow(int64_t tx);
    void fan_in(int64_t tx);
    void end_steps(int64_t tx);
    bool block_workflow(block& b);

    // Upstream's statements (upstream.cpp).
    void upstream();

    world& m_world;
    int m_index;
    dice m_dice;
    std::unique_ptr<connection> m_connection;
    isolation m_session = isolation::read_committed;  // of autocommit
    isolation m_level = isolation::read_committed;    // of the transaction of the moment
    bool m_buffers = false;                           // chancy.push_mode is at_commit
    bool m_extended = false;                          // the protocol of single statements
};

const char* name(isolation i);
std::string quote(const std::string& text);
std::string uuids(const std::vector<std::string>& ids);

}  // namespace adversary
