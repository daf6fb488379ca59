// Faults of the server: it has no connections left, its disk is full.
#include "fault_server.hpp"

#include "isolation.hpp"
#include "process.hpp"

#include <libpq-fe.h>

#include <filesystem>
#include <fstream>

#include <csignal>
#include <fcntl.h>
#include <unistd.h>

namespace chaos {
namespace {

int count_in(const std::string& file, const std::string& word) {
    int n = 0;
    std::ifstream in(file);
    for (std::string line; std::getline(in, line);) n += line.find(word) != std::string::npos;
    return n;
}

}  // namespace

void exhaustion::prepare(world& w) {
    w.create_primary("max_connections = 25\nsuperuser_reserved_connections = 3\n");
    w.prepare_database();
    // The driver comes in as superuser, by the reserved ones. The others may not.
    w.primary->sql("CREATE ROLE app LOGIN; GRANT USAGE ON SCHEMA app, chancy TO app; GRANT ALL ON ALL TABLES IN SCHEMA app TO app");
    w.primary->sql("SELECT chancy.grant_admin('app')");
    w.conninfo = "host=127.0.0.1 port=" + std::to_string(w.primary->port()) + " user=app dbname=postgres";
}

void exhaustion::inject(world& w) {
    while (w.goes_on()) {
        const auto ended = w.primary->sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'");
        w.injected("backend terminated", static_cast<std::int64_t>(ended.size()));
        // Everything that is free or becomes free, until there is nothing, and for a while longer.
        std::vector<PGconn*> taken;
        auto until = steady::now() + 30s;
        for (bool full = false; steady::now() < until;) {
            PGconn* c = PQconnectdb((w.conninfo + " application_name=greedy").c_str());
            if (PQstatus(c) == CONNECTION_OK) {
                taken.push_back(c);
                continue;
            }
            PQfinish(c);
            if (!full) {
                w.injected("no connection left");
                until = steady::now() + std::chrono::milliseconds(w.how.heartbeat_timeout / 2);
            }
            full = true;
            w.sleep(20ms);
        }
        for (PGconn* c : taken) PQfinish(c);
        w.await_recovery("a lack of connections");
        w.sleep(500ms);
    }
}

// What somebody else writes there, until nothing is left.
void fill(const std::string& disk) {
    const int file = ::open((disk + "/ballast").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    const std::string block(65536, 'x');
    while (::write(file, block.data(), block.size()) > 0) {}
    ::close(file);
}

void disk_full::prepare(world& w) {
    m_disk = w.folder + "/disk";
    std::filesystem::create_directory(m_disk);
    mount_small(m_disk, 24 + static_cast<int>(w.how.seconds / 4));  // finished jobs are kept
    w.create_primary();
    w.prepare_database();
    w.primary->sql("CREATE TABLESPACE small LOCATION '" + m_disk + "'");
    for (const char* what : {"TABLE chancy.jobs", "INDEX chancy.jobs_pkey", "INDEX chancy.jobs_fetch", "INDEX chancy.jobs_running",
                             "INDEX chancy.jobs_unique_key"})
        w.primary->sql(std::string("ALTER ") + what + " SET TABLESPACE small");
}

namespace {

// Calls that cannot have the room they need: refused, with nothing done, in a session that goes on.
void check_calls(world& w) {
    const std::string many = "(SELECT jsonb_agg(jsonb_build_object('func', 'no.room', 'queue', 'other', 'kwargs', jsonb_build_object('x', repeat('x', 500)))) "
                             "FROM generate_series(1, 20000))";
    for (const auto& [what, state] : {std::pair<std::string, std::string>("SELECT count(*) FROM chancy.push_many(" + many + ")", "53100"),
                                      {"BEGIN; SELECT count(*) FROM chancy.push_at_commit(" + many + "); COMMIT", "53100"},
                                      {"BEGIN; SELECT count(*) FROM chancy.push_many(" + many + "); COMMIT", "53100"}}) {
        const std::string told = w.primary->state_of(what);
        if (told == state) ++w.seen["call without room"];
        else if (w.goes_on()) w.violations.push_back("with a full disk: " + told + ", not " + state + ", from " + what.substr(0, 60));
    }
    if (w.primary->sql("SELECT count(*) FROM chancy.jobs WHERE func = 'no.room'").at(0) != "0")
        w.violations.push_back("a call without room has left jobs");
}

}  // namespace

void disk_full::inject(world& w) {
    while (w.goes_on()) {
        w.injected("disk full");
        fill(m_disk);
        check_calls(w);
        w.sleep(std::chrono::milliseconds(w.how.heartbeat_timeout / 2));
        std::filesystem::remove(m_disk + "/ballast");
        w.await_recovery("a full disk");
        w.sleep(1s);
    }
    w.seen["error 53100 in the server"] = count_in(w.primary->log(), " 53100 ");
}

void disk_full::heal(world&) { std::filesystem::remove(m_disk + "/ballast"); }

void wal_full::prepare(world& w) {
    m_disk = w.folder + "/disk";
    std::filesystem::create_directory(m_disk);
    mount_small(m_disk, 80);
    w.create_primary("min_wal_size = '32MB'\nmax_wal_size = '32MB'\n");
    w.primary->stop(server::stop_mode::fast);
    const std::string before = w.folder + "/primary/pg_wal";
    run({"/bin/mv", before, m_disk}, {.output = w.folder + "/mv.log", .as_server = true});
    run({"/bin/ln", "-s", m_disk + "/pg_wal", before}, {.output = w.folder + "/mv.log", .as_server = true});
    w.primary->start();
    w.prepare_database();
    w.panic_allowed = true;
}

void wal_full::inject(world& w) {
    while (w.goes_on()) {
        fill(m_disk);
        w.injected("disk of the WAL full");
        // The work goes on in the segments that there are; this hurries it on to the next one.
        for (int tries = 0; tries < 100 && w.primary->state_of("SELECT pg_logical_emit_message(false, 'x', repeat('x', 1000000))") == "ok"; ++tries) {}
        w.sleep(std::chrono::milliseconds(w.how.heartbeat_timeout / 2));
        w.primary->stop(server::stop_mode::kill);
        heal(w);
        w.primary->start();
        w.await_recovery("a full disk of the WAL");
        w.sleep(1s);
    }
    w.seen["PANIC in the server"] = count_in(w.primary->log(), " PANIC: ");
}

void wal_full::heal(world&) { std::filesystem::remove(m_disk + "/ballast"); }

void crash::prepare(world& w) {
    w.create_primary("fsync = on\n");
    w.prepare_database();
}

namespace {

// A backend that is in a call, or in the commit of one.
int find_victim(world& w) {
    for (int tries = 0; tries < 500; ++tries) {
        const auto busy = w.primary->sql("SELECT pid FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid() "
                                         "AND query ~ 'push|exchange|COMMIT' AND application_name = 'chancy' ORDER BY random() LIMIT 1");
        if (!busy.empty()) return std::stoi(busy[0]);
    }
    return 0;
}

}  // namespace

void crash::inject(world& w) {
    for (int i = 0; w.goes_on(); ++i) {
        // A prepared transaction stands over the crash; nobody has to wait for it who does not push its key.
        const std::string name = "left_over_" + std::to_string(i);
        w.primary->sql("BEGIN; SELECT chancy.push('chaos.work', unique_key => '" + name + "'); PREPARE TRANSACTION '" + name + "'");
        w.injected("prepared transaction left over");
        if (const int victim = find_victim(w); victim > 0) {
            w.injected("backend killed in mid-call");
            ::kill(victim, SIGKILL);
        }
        const int slot = w.dice(w.workers->size());
        w.injected("worker killed");
        w.workers->kill(slot);
        w.workers->start(slot);
        w.await_recovery("a crash");
        const std::string late = w.primary->state_of("SET chancy.flush_timeout = '300ms'; SELECT chancy.push('chaos.work', unique_key => '" + name + "')");
        if (late != "55P03") w.violations.push_back("a push that meets a prepared one's key got " + late + ", and did not wait");
        w.primary->sql((i % 2 == 0 ? "COMMIT PREPARED '" : "ROLLBACK PREPARED '") + name + "'");
        const bool there = w.primary->sql("SELECT count(*) FROM chancy.jobs WHERE unique_key = '" + name + "'").at(0) == "1";
        if (there != (i % 2 == 0)) w.violations.push_back("a prepared push came out wrong");
        w.sleep(300ms);
    }
}

}  // namespace chaos
