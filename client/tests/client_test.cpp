// Connections: borrowed ones, transactions, lost ones, and what is tried again.
#include "support.hpp"

#include <libpq-fe.h>

#include <future>

using session = test::db_test;
using transaction = test::db_test;
using namespace std::chrono_literals;

namespace {

int backend(chancy::client& db) { return PQbackendPID(db.connection()); }

void terminate(int pid) {
    // With a timeout it waits until the process is gone.
    test::sql("SELECT pg_terminate_backend(" + std::to_string(pid) + ", 10000)");
    EXPECT_TRUE(test::eventually([&] { return test::sql("SELECT count(*) FROM pg_stat_activity WHERE pid = " + std::to_string(pid)).at(0) == "0"; }));
}

bool waits_for_lock(int pid) {
    return test::eventually([&] {
        return test::sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND pid = " + std::to_string(pid)).at(0) == "1";
    });
}

}  // namespace

TEST_F(session, takes_part_in_a_borrowed_transaction) {
    PGconn* conn = PQconnectdb("");
    const auto run = [&](const char* sql) { PQclear(PQexec(conn, sql)); };
    chancy::session own(conn);
    run("BEGIN");
    own.push({.func = "rolled.back"});
    EXPECT_EQ(db.list_jobs().size(), 0u);
    run("ROLLBACK");
    EXPECT_EQ(db.list_jobs().size(), 0u);
    run("BEGIN");
    const auto id = own.push({.func = "committed"});
    run("COMMIT");
    EXPECT_EQ(db.get_job(id)->func, "committed");

    run("BEGIN");
    EXPECT_THROW(own.push({.func = ""}), chancy::error);
    EXPECT_EQ(PQtransactionStatus(conn), PQTRANS_INERROR);  // nothing was repaired behind the caller's back
    run("ROLLBACK");
    PQfinish(conn);
}

TEST_F(session, a_lost_connection_leaves_no_doubt_inside_a_transaction) {
    PGconn* conn = PQconnectdb("");
    chancy::session own(conn);
    PQclear(PQexec(conn, "BEGIN"));
    terminate(PQbackendPID(conn));
    try {
        own.push({.func = "a"});
        ADD_FAILURE() << "pushed on a dead connection";
    } catch (const chancy::error& e) {
        EXPECT_TRUE(e.connection_lost());
        EXPECT_FALSE(e.in_doubt());
        EXPECT_TRUE(e.retryable());
    }
    PQfinish(conn);
}

TEST_F(transaction, commits_or_rolls_back) {
    {
        chancy::transaction tx(db);
        tx.push({.func = "dropped"});
    }
    EXPECT_TRUE(db.list_jobs().empty());
    {
        chancy::transaction tx(db);
        tx.push({.func = "a"});
        tx.push_many(std::vector<chancy::new_job>{{.func = "b"}, {.func = "c"}});
        tx.commit();
    }
    EXPECT_EQ(db.list_jobs().size(), 3u);
    chancy::transaction broken(db);
    EXPECT_THROW(broken.push({.func = ""}), chancy::error);
    try {
        broken.commit();
        ADD_FAILURE() << "a failed transaction cannot commit";
    } catch (const chancy::error& e) {
        EXPECT_EQ(e.sqlstate(), "25P02");
    }
}

TEST_F(transaction, writes_take_effect_at_the_commit) {
    const auto live = db.push({.func = "a"});
    const auto mine = claim({.func = "b", .priority = 1});
    for (const bool commit : {false, true}) {
        chancy::transaction tx(db);
        EXPECT_TRUE(tx.cancel_job(live));
        EXPECT_EQ(tx.cancel_jobs({&live, 1}).size(), 1u);
        EXPECT_NE(tx.apply_updates("tester", {{{.id = mine.id, .started_at = *mine.started_at}}}).at(0).ok, false);
        chancy::client other;
        EXPECT_EQ(other.get_job(live)->state, chancy::job_state::pending);
        if (commit) tx.commit();
    }
    EXPECT_EQ(db.get_job(live)->state, chancy::job_state::failed);
    EXPECT_EQ(db.get_job(mine.id)->state, chancy::job_state::succeeded);
}

TEST(client, tells_when_it_cannot_connect) {
    try {
        chancy::client("host=/nonexistent");
        ADD_FAILURE() << "connected to nothing";
    } catch (const chancy::error& e) {
        EXPECT_TRUE(e.connection_lost());
        EXPECT_FALSE(e.in_doubt());
        EXPECT_EQ(e.sqlstate(), "08001");
    }
}

TEST(client, tells_when_the_extension_is_missing) {
    chancy::client db("dbname=" + test::database() + "_bare");
    try {
        db.push({.func = "a"});
        ADD_FAILURE() << "pushed without the extension";
    } catch (const chancy::error& e) {
        EXPECT_NE(e.hint().find("CREATE EXTENSION chancy"), std::string::npos) << e.hint();
    }
}

using reconnect = test::db_test;

TEST_F(reconnect, an_idle_connection_that_died_is_replaced) {
    for (int i = 0; i < 2; ++i) {
        terminate(backend(db));
        EXPECT_NO_THROW(db.push({.func = "keyless"}));  // never sent on the dead one, so not in doubt
    }
    EXPECT_EQ(db.list_jobs().size(), 2u);
}

TEST_F(reconnect, a_keyless_push_that_was_cut_off_is_in_doubt) {
    const int pid = backend(db);
    std::future<void> push;
    {
        const test::holder lock("LOCK TABLE chancy.jobs IN ACCESS EXCLUSIVE MODE");
        push = std::async(std::launch::async, [&] { db.push({.func = "a"}); });
        ASSERT_TRUE(waits_for_lock(pid));
        terminate(pid);
    }
    try {
        push.get();
        ADD_FAILURE() << "repeated, although that might push twice";
    } catch (const chancy::error& e) {
        EXPECT_TRUE(e.connection_lost());
        EXPECT_TRUE(e.in_doubt());
        EXPECT_FALSE(e.retryable());
        EXPECT_EQ(e.function(), "push");
    }
}

TEST_F(reconnect, a_keyed_push_that_was_cut_off_is_repeated) {
    const int pid = backend(db);
    std::future<chancy::uuid> push;
    {
        const test::holder lock("LOCK TABLE chancy.jobs IN ACCESS EXCLUSIVE MODE");
        push = std::async(std::launch::async, [&] { return db.push({.func = "a", .unique_key = "k"}); });
        ASSERT_TRUE(waits_for_lock(pid));
        terminate(pid);
    }
    const auto id = push.get();
    EXPECT_EQ(id, db.get_live_job("k")->id);
    EXPECT_NE(backend(db), pid);
}

TEST_F(reconnect, it_gives_up_in_the_end) {
    chancy::client impatient("", {.retry = {.total = 0ms}});
    const int pid = backend(impatient);
    std::future<void> call;
    {
        const test::holder lock("LOCK TABLE chancy.jobs IN ACCESS EXCLUSIVE MODE");
        call = std::async(std::launch::async, [&] { (void)impatient.list_jobs(); });
        ASSERT_TRUE(waits_for_lock(pid));
        terminate(pid);
    }
    try {
        call.get();
        ADD_FAILURE() << "repeated";
    } catch (const chancy::error& e) {
        EXPECT_TRUE(e.connection_lost());
        EXPECT_FALSE(e.in_doubt());  // it only looked
    }
}

TEST_F(reconnect, a_call_may_have_a_timeout) {
    chancy::client hasty("", {.retry = {.total = 0ms}, .timeout = 100ms});
    const test::holder lock("LOCK TABLE chancy.jobs IN ACCESS EXCLUSIVE MODE");
    try {
        hasty.push({.func = "a"});
        ADD_FAILURE() << "the lock did not hold";
    } catch (const chancy::error& e) {
        EXPECT_TRUE(e.in_doubt());
    }
}

// A call that fails the first times with this SQLSTATE, in place of a function of the extension.
class failing_pause {
public:
    failing_pause(const std::string& state, int times) {
        test::sql("CREATE SEQUENCE tries; ALTER FUNCTION chancy.pause_queue(text, timestamptz) RENAME TO pause_queue_really;"
                  "CREATE FUNCTION chancy.pause_queue(name text, resume_at timestamptz) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN "
                  "IF nextval('public.tries') <= " + std::to_string(times) + " THEN RAISE EXCEPTION 'again' USING ERRCODE = '" + state + "'; END IF; "
                  "RETURN chancy.pause_queue_really(name, resume_at); END $$");
    }
    ~failing_pause() {
        test::sql("DROP SEQUENCE tries; DROP FUNCTION chancy.pause_queue(text, timestamptz);"
                  "ALTER FUNCTION chancy.pause_queue_really(text, timestamptz) RENAME TO pause_queue");
    }
    [[nodiscard]] std::string tries() const { return test::sql("SELECT last_value FROM tries").at(0); }
};

TEST_F(reconnect, deadlocks_and_serialization_failures_are_tried_again) {
    for (const char* state : {"40P01", "40001"}) {
        const failing_pause failing(state, 3);
        EXPECT_TRUE(db.pause_queue("default")) << state;
        EXPECT_EQ(failing.tries(), "4");
    }
    const failing_pause failing("22023", 1);
    EXPECT_THROW(db.pause_queue("default"), chancy::error);
    EXPECT_EQ(failing.tries(), "1");
}
