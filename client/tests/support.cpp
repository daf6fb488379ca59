#include "support.hpp"

#include <libpq-fe.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace test {
namespace {

const std::string own = "chancy_test_" + std::to_string(::getpid());
std::string maintenance;

PGconn* connect(const std::string& name) {
    const char* const keywords[] = {"dbname", "application_name", "client_min_messages", nullptr};
    const char* const values[] = {name.c_str(), "tests", nullptr, nullptr};
    PGconn* c = PQconnectdbParams(keywords, values, 0);
    if (PQstatus(c) != CONNECTION_OK) {
        const std::string message = PQerrorMessage(c);
        PQfinish(c);
        throw std::runtime_error(message);
    }
    PQsetNoticeProcessor(c, [](void*, const char*) {}, nullptr);
    return c;
}

class own_database : public ::testing::Environment {
    void SetUp() override {
        const char* given = std::getenv("PGDATABASE");
        maintenance = given ? given : "postgres";
        sql("CREATE DATABASE " + own, maintenance);
        sql("CREATE DATABASE " + own + "_bare", maintenance);
        ::setenv("PGDATABASE", own.c_str(), 1);
        sql("CREATE EXTENSION chancy");
    }
    void TearDown() override {
        for (const std::string& name : {own, own + "_bare"}) sql("DROP DATABASE IF EXISTS " + name + " WITH (FORCE)", maintenance);
    }
};

std::string contents(const std::string& path) {
    std::ostringstream out;
    out << std::ifstream(path).rdbuf();
    std::filesystem::remove(path);
    return out.str();
}

}  // namespace

const std::string& database() { return own; }

std::vector<std::string> sql(const std::string& statement, const std::string& name) {
    PGconn* c = connect(name.empty() ? own : name);
    PGresult* r = PQexec(c, statement.c_str());
    const std::string problem = PQresultErrorMessage(r);
    std::vector<std::string> out;
    for (int row = 0; row < PQntuples(r); ++row) out.emplace_back(PQgetvalue(r, row, 0));
    PQclear(r);
    PQfinish(c);
    if (!problem.empty()) throw std::runtime_error(statement + ": " + problem);
    return out;
}

bool eventually(const std::function<bool()>& what, std::chrono::seconds patience) {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    while (!what()) {
        if (std::chrono::steady_clock::now() > deadline) return false;
        std::this_thread::sleep_for(10ms);
    }
    return true;
}

std::string proc(const std::string& path) {
    std::string out;
    const int fd = ::open(("/proc/" + path).c_str(), O_RDONLY | O_CLOEXEC);
    char block[4096];
    for (ssize_t n; (n = ::read(fd, block, sizeof block)) > 0;) out.append(block, static_cast<std::size_t>(n));
    if (fd >= 0) ::close(fd);
    return out;
}

ran shell(const std::string& command) {
    static int number = 0;
    const std::string base = std::filesystem::temp_directory_path() / (own + "." + std::to_string(++number));
    const int status = std::system(("{ " + command + "\n} >" + base + ".out 2>" + base + ".err </dev/null").c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, contents(base + ".out"), contents(base + ".err")};
}

holder::holder(const std::string& statement) : m_connection(connect(own)) {
    PQclear(PQexec(m_connection, "BEGIN"));
    PGresult* r = PQexec(m_connection, statement.c_str());
    EXPECT_STREQ(PQresultErrorMessage(r), "");
    PQclear(r);
}

holder::~holder() { PQfinish(m_connection); }

void db_test::SetUp() {
    sql("DELETE FROM chancy.jobs; DELETE FROM chancy.queues; DELETE FROM chancy.workers");
    (void)db.declare_queue({.name = "default"});
}

chancy::job db_test::claim(chancy::new_job wanted, const std::string& worker_id) {
    const auto id = db.push(wanted);
    const auto jobs = db.fetch_jobs(wanted.queue, worker_id, 1);
    EXPECT_EQ(jobs.size(), 1u);
    EXPECT_EQ(jobs.at(0).id, id);
    return jobs.at(0);
}

}  // namespace test

int main(int argc, char** argv) {
    ::testing::InitGoogleTest(&argc, argv);
    ::testing::AddGlobalTestEnvironment(new test::own_database);
    return RUN_ALL_TESTS();
}
