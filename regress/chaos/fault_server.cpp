// Faults of the server: it has no connections left, its disk is full.
#include "fault_server.hpp"

#include "isolation.hpp"

#include <libpq-fe.h>

#include <filesystem>
#include <fstream>

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
        std::vector<PGconn*> taken;
        bool full = false;
        const auto until = steady::now() + std::chrono::milliseconds(w.how.heartbeat_timeout / 2);
        while (steady::now() < until && w.goes_on()) {
            PGconn* c = PQconnectdb((w.conninfo + " application_name=greedy").c_str());
            if (PQstatus(c) == CONNECTION_OK) {
                taken.push_back(c);
                continue;
            }
            if (!full) w.injected("no connection left");
            full = true;
            PQfinish(c);
            w.sleep(20ms);
        }
        for (PGconn* c : taken) PQfinish(c);
        w.await_recovery("a lack of connections");
        w.sleep(500ms);
    }
}

void disk_full::prepare(world& w) {
    m_disk = w.folder + "/disk";
    std::filesystem::create_directory(m_disk);
    mount_small(m_disk, 24);
    w.create_primary();
    w.prepare_database();
    w.primary->sql("CREATE TABLESPACE small LOCATION '" + m_disk + "'");
    for (const char* what : {"TABLE chancy.jobs", "INDEX chancy.jobs_pkey", "INDEX chancy.jobs_fetch", "INDEX chancy.jobs_running",
                             "INDEX chancy.jobs_unique_key"})
        w.primary->sql(std::string("ALTER ") + what + " SET TABLESPACE small");
}

void disk_full::inject(world& w) {
    while (w.goes_on()) {
        w.injected("disk full");
        // What somebody else writes there, until nothing is left.
        const int file = ::open((m_disk + "/ballast").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        const std::string block(65536, 'x');
        while (::write(file, block.data(), block.size()) > 0) {}
        ::close(file);
        w.sleep(std::chrono::milliseconds(w.how.heartbeat_timeout / 2));
        std::filesystem::remove(m_disk + "/ballast");
        w.await_recovery("a full disk");
        w.sleep(1s);
    }
    w.faults["error 53100 in the server"] = count_in(w.primary->log(), " 53100 ");
}

void disk_full::heal(world&) { std::filesystem::remove(m_disk + "/ballast"); }

}  // namespace chaos
