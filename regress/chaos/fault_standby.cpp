// Faults of replication.
#include "fault_standby.hpp"

#include <stdexcept>
#include <thread>

namespace chaos {

void with_standby::follow(world& w, server& standby) {
    const server& primary = *w.serving;
    standby.copy_from(primary);
    standby.start();
    primary.sql("ALTER SYSTEM SET synchronous_standby_names = '*'");
    primary.sql("SELECT pg_reload_conf()");
    std::this_thread::sleep_for(100ms);
    const std::string now = primary.sql("SELECT pg_current_wal_lsn()").at(0);
    for (int tries = 0; primary.sql("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync' AND flush_lsn >= '" + now + "'").at(0) == "0"; ++tries) {
        if (tries == 600) throw std::runtime_error("the standby does not stream: see " + standby.log());
        std::this_thread::sleep_for(50ms);
    }
}

void with_standby::prepare(world& w) {
    w.create_primary();
    w.prepare_database();
    w.standby.emplace(w.folder, "standby");
    follow(w, *w.standby);
    w.conninfo = "host=127.0.0.1,127.0.0.1 port=" + std::to_string(w.primary->port()) + ',' + std::to_string(w.standby->port()) +
                 " user=postgres dbname=postgres target_session_attrs=read-write";
}

void failover::inject(world& w) {
    w.sleep(1s);
    while (w.goes_on()) {
        server& old = *w.serving;
        server& next = &old == &*w.primary ? *w.standby : *w.primary;
        w.injected("failover");
        old.stop(server::stop_mode::kill);
        next.sql("ALTER SYSTEM RESET synchronous_standby_names");  // a copy of the primary's, where nobody would confirm now
        next.sql("SELECT pg_reload_conf()");
        next.promote();
        w.serving = &next;
        w.await_recovery("a promotion");
        if (!w.goes_on()) return;
        old.remove_data();
        follow(w, old);
        w.sleep(1s);
    }
}

namespace {

// Every function of the queue is refused cleanly, or reads.
void check_hot_standby(world& w) {
    const server& hot = *w.standby;
    const std::string id = w.serving->sql("SELECT id FROM chancy.jobs LIMIT 1").at(0);
    for (const std::string& writing :
         {std::string("push('a')"), std::string("push('a', unique_key => 'k')"), std::string("push_many('[{\"func\": \"a\"}]')"),
          std::string("push_at_commit('[{\"func\": \"a\"}]')"), std::string("fetch_jobs('default', 'w')"), "apply_updates('w', '[{\"id\": \"" + id +
          "\", \"started_at\": \"2026-01-01\", \"outcome\": \"succeeded\"}]')", std::string("exchange('w', '[]', 'default', 1)"),
          "cancel_job('" + id + "')", "cancel_jobs('{" + id + "}')", "retry_job('" + id + "')", std::string("declare_queue('q')"),
          std::string("pause_queue('default')"), std::string("resume_queue('default')"), std::string("delete_queue('default')"),
          std::string("heartbeat('w', '{}', '{}')"), std::string("retire_worker('w')"), std::string("recover_jobs()"),
          std::string("prune_jobs('{\"age\": \"1 day\"}')"), std::string("watch_jobs('{" + id + "}')")})
        for (const char* frame : {"SELECT * FROM chancy.", "BEGIN; SELECT * FROM chancy."})
            if (const std::string state = hot.state_of(frame + writing); state != "25006")
                w.violations.push_back("a standby answers " + state + " to " + frame + writing);
    for (const std::string& reading : {"get_job('" + id + "')", "get_jobs('{" + id + "}')", std::string("get_live_job('k')"), std::string("list_jobs()"),
                                       std::string("list_queues()"), std::string("running_jobs('w')"), std::string("event_channel()")})
        if (const std::string state = hot.state_of("SELECT * FROM chancy." + reading); state != "ok")
            w.violations.push_back("a standby answers " + state + " to " + reading);
    w.seen["call to a standby"] += 45;
}

}  // namespace

void standby_away::inject(world& w) {
    const auto begin = steady::now();
    check_hot_standby(w);
    w.ends += steady::now() - begin;  // which is none of the fault's time
    const std::string hanging = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    while (w.goes_on()) {
        w.sleep(1s);
        w.injected("standby away");
        w.standby->stop(server::stop_mode::fast);
        // Longer than an exchange waits for its answer.
        for (const auto until = steady::now() + std::chrono::milliseconds(w.how.heartbeat_timeout * 3 / 2); steady::now() < until && w.goes_on(); w.sleep(200ms))
            w.seen["commit that hung"] = std::max<std::int64_t>(w.seen["commit that hung"], std::stoll(w.serving->sql(hanging).at(0)));
        w.standby->start();
        w.await_recovery("the standby is back");
    }
}

}  // namespace chaos
