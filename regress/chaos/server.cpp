#include "server.hpp"

#include "process.hpp"

#include <libpq-fe.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <thread>

#include <sys/shm.h>
#include <sys/wait.h>

namespace chaos {

using namespace std::chrono_literals;

std::vector<std::string> sql(const std::string& conninfo, const std::string& statement) {
    PGconn* c = PQconnectdb((conninfo + " connect_timeout=60").c_str());
    PQsetNoticeProcessor(c, [](void*, const char*) {}, nullptr);
    std::string problem = PQstatus(c) == CONNECTION_OK ? "" : PQerrorMessage(c);
    std::vector<std::string> out;
    if (problem.empty()) {
        PGresult* r = PQexec(c, statement.c_str());
        problem = PQresultErrorMessage(r);
        for (int row = 0; row < PQntuples(r); ++row) {
            std::string& line = out.emplace_back();
            for (int column = 0; column < PQnfields(r); ++column) (column > 0 ? line += '|' : line) += PQgetvalue(r, row, column);
        }
        PQclear(r);
    }
    PQfinish(c);
    if (!problem.empty()) throw std::runtime_error(statement + ": " + problem);
    return out;
}

std::string server::state_of(const std::string& statements) const {
    PGconn* c = PQconnectdb(conninfo("application_name=driver").c_str());
    PGresult* r = PQexec(c, statements.c_str());
    const char* state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    const ExecStatusType status = PQresultStatus(r);
    const std::string out = state ? state : status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK ? "ok" : "no answer";
    PQclear(r);
    PQfinish(c);
    return out;
}

server::server(std::string folder, std::string name, std::string data)
    : m_folder(std::move(folder)), m_name(std::move(name)), m_data(data.empty() ? m_folder + '/' + m_name : std::move(data)),
      m_log(m_folder + '/' + m_name + ".log"), m_port(free_port()) {}

server::~server() {
    if (running()) stop(stop_mode::immediate);
}

std::string server::conninfo(const std::string& more) const {
    return "host=127.0.0.1 port=" + std::to_string(m_port) + " user=postgres dbname=postgres " + more;
}

void server::create(const std::string& settings) {
    run({PGBIN "/initdb", "-D", m_data, "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"},
        {.output = m_folder + "/initdb.log", .as_server = true});
    std::ofstream(m_data + "/postgresql.conf", std::ios::app)
        << "listen_addresses = '127.0.0.1'\nunix_socket_directories = '" << m_folder
        << "'\ndeadlock_timeout = '100ms'\nmax_prepared_transactions = 20\nlog_line_prefix = '%m [%p] %a %e '\n"
           "shared_buffers = '32MB'\nautovacuum_naptime = '5s'\n"
        << settings;
}

void server::copy_from(const server& primary) {
    run({PGBIN "/pg_basebackup", "-D", m_data, "-d", primary.conninfo("application_name=" + m_name), "-R", "-X", "stream",
         "--checkpoint=fast", "--no-sync"},
        {.output = m_folder + "/basebackup.log", .as_server = true});
}

bool server::answers() const { return PQping(conninfo("connect_timeout=2").c_str()) == PQPING_OK; }

void server::start() {
    for (int tries = 0; tries < 600; ++tries) {
        if (m_process == 0)
            m_process = spawn({PGBIN "/postgres", "-D", m_data, "-p", std::to_string(m_port)},
                              {.output = m_log, .as_server = true, .death_signal = SIGQUIT});
        if (answers()) return;
        int status;
        if (::waitpid(m_process, &status, WNOHANG) == m_process) m_process = 0;  // what the last one left is still in use: again
        std::this_thread::sleep_for(50ms);
    }
    throw std::runtime_error("the server does not start: see " + m_log);
}

void server::stop(stop_mode how) {
    if (!running()) return;
    ::kill(m_process, how == stop_mode::fast ? SIGINT : how == stop_mode::immediate ? SIGQUIT : SIGKILL);
    wait_for(m_process);
    m_process = 0;
}

// Backends outlive a killed postmaster for a moment, and would panic without their files: they are attached to the
// shared memory that the seventh line of postmaster.pid names, as key and id.
bool server::in_use() const {
    std::ifstream in(m_data + "/postmaster.pid");
    std::string line;
    for (int n = 0; n < 6; ++n) std::getline(in, line);
    unsigned long key;
    int id;
    shmid_ds memory;
    return in >> key >> id && ::shmctl(id, IPC_STAT, &memory) == 0 && memory.shm_nattch > 0;
}

void server::remove_data() {
    for (int tries = 0; in_use(); ++tries) {
        if (tries == 1200) throw std::runtime_error("backends outlive their postmaster for a minute: see " + m_log);
        std::this_thread::sleep_for(50ms);
    }
    std::filesystem::remove_all(m_data);
}

void server::promote() { sql("SELECT pg_promote()"); }

}  // namespace chaos
