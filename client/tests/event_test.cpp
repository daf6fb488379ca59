#include "support.hpp"

#include <libpq-fe.h>

#include <sys/eventfd.h>
#include <unistd.h>

using event = test::db_test;
using namespace std::chrono_literals;

namespace {

// Waits for one event of this type.
bool hears(chancy::listener& ear, const std::string& type, const std::string& key, const std::string& value) {
    return test::eventually([&] {
        for (const auto& e : ear.wait(1s))
            if (e.type() == type && e.body.value(key, "") == value) return true;
        return false;
    });
}

}  // namespace

TEST_F(event, a_listener_hears_what_happens) {
    chancy::listener ear;
    (void)db.declare_queue({.name = "new"});
    EXPECT_TRUE(hears(ear, "queue.declared", "q", "new"));
    db.pause_queue("new");
    EXPECT_TRUE(hears(ear, "queue.paused", "q", "new"));
    const auto j = claim({.func = "a"});
    db.cancel_job(j.id);
    EXPECT_TRUE(hears(ear, "job.cancelled", "j", j.id.to_string()));
}

TEST_F(event, strange_payloads_do_no_harm) {
    chancy::listener ear;
    test::sql("NOTIFY chancy_events, 'not json'; NOTIFY chancy_events, '[1]'; NOTIFY chancy_events, '{\"t\": 1}'; NOTIFY chancy_events, '{\"t\": \"mine\", \"q\": 1}'; NOTIFY chancy_events, '{\"t\": \"mine\", \"q\": \"x\"}'");
    EXPECT_TRUE(hears(ear, "mine", "q", "x"));
}

TEST_F(event, waiting_ends_at_the_timeout_or_by_a_descriptor) {
    chancy::listener ear;
    EXPECT_TRUE(ear.wait(1ms).empty());
    const int fd = ::eventfd(1, EFD_CLOEXEC);
    EXPECT_TRUE(ear.wait(std::chrono::hours(24), fd).empty());
    ::close(fd);
}

TEST_F(event, a_lost_connection_is_told) {
    chancy::listener ear;
    test::sql("SELECT pg_terminate_backend(" + std::to_string(PQbackendPID(ear.connection())) + ")");
    try {
        for (;;) (void)ear.wait(1s);
    } catch (const chancy::error& e) {
        EXPECT_TRUE(e.connection_lost());
    }
}

TEST_F(event, wait_for_job_ends_with_the_job) {
    chancy::listener ear;
    EXPECT_FALSE(chancy::wait_for_job(db, ear, chancy::uuid(), 1s));
    const auto j = claim({.func = "a"});
    EXPECT_EQ(chancy::wait_for_job(db, ear, j.id, 10ms)->state, chancy::job_state::running);
    std::thread later([&] {
        chancy::client other;
        // Only while somebody waits is the end told.
        EXPECT_TRUE(test::eventually([] { return test::sql("SELECT count(*) FROM chancy.watches").at(0) != "0"; }));
        other.apply_updates("tester", {{{.id = j.id, .started_at = *j.started_at}}});
    });
    EXPECT_EQ(chancy::wait_for_job(db, ear, j.id, 10min)->state, chancy::job_state::succeeded);
    later.join();
}

TEST_F(event, wait_for_jobs_ends_with_the_last_of_them) {
    chancy::listener ear;
    EXPECT_TRUE(chancy::wait_for_jobs(db, ear, {}, 1min).empty());
    const auto first = claim({.func = "a"}), second = claim({.func = "b"});
    const std::vector<chancy::uuid> ids = {second.id, chancy::uuid(), first.id};
    db.apply_updates("tester", {{{.id = first.id, .started_at = *first.started_at, .how = chancy::outcome::discarded}}});
    const auto unfinished = chancy::wait_for_jobs(db, ear, ids, 10ms);
    ASSERT_EQ(unfinished.size(), 2u);
    EXPECT_EQ(unfinished[0].state, chancy::job_state::running);
    EXPECT_EQ(unfinished[1].state, chancy::job_state::failed);
    std::thread later([&] {
        chancy::client other;
        EXPECT_TRUE(test::eventually([] { return test::sql("SELECT count(*) FROM chancy.watches").at(0) != "0"; }));
        other.apply_updates("tester", {{{.id = second.id, .started_at = *second.started_at}}});
    });
    const auto ended = chancy::wait_for_jobs(db, ear, ids, 10min);
    ASSERT_EQ(ended.size(), 2u);
    EXPECT_EQ(ended[0].id, second.id);
    EXPECT_EQ(ended[0].state, chancy::job_state::succeeded);
    later.join();
}
