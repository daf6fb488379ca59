// What the tests share: a database of their own on the server that PG* names, and a way to run programs.
#pragma once

#include <chancy/chancy.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace test {

using namespace std::chrono_literals;

// One statement as the server's superuser, outside of the code under test: the first column as text.
// database: empty for the tests' own.
std::vector<std::string> sql(const std::string& statement, const std::string& database = "");

// Whether it comes true; the patience only bounds a failure.
[[nodiscard]] bool eventually(const std::function<bool()>& what, std::chrono::seconds patience = 60s);

// The name of the database that the tests connect to by PGDATABASE; there is a twin without the extension, NAME_bare.
[[nodiscard]] const std::string& database();

// A file of /proc, as far as it can be read: a stream throws when the process ends meanwhile.
[[nodiscard]] std::string proc(const std::string& path);

struct ran {
    int code;
    std::string out, err;
};
[[nodiscard]] ran shell(const std::string& command);

// A statement that goes on in a connection of its own until finished: a lock that is held.
class holder {
public:
    explicit holder(const std::string& statement);  // after BEGIN
    ~holder();                                      // ROLLBACK
    holder(const holder&) = delete;
    holder& operator=(const holder&) = delete;

private:
    PGconn* m_connection;
};

// A worker that runs as long as this lives.
class running {
public:
    explicit running(chancy::worker& w) : m_worker(w), m_thread([&w] { w.run(); }) {}
    ~running() { stop(); }
    void stop() {
        if (!m_thread.joinable()) return;
        m_worker.stop();
        m_thread.join();
    }

private:
    chancy::worker& m_worker;
    std::thread m_thread;
};

// Each test finds empty tables.
class db_test : public ::testing::Test {
protected:
    void SetUp() override;
    chancy::client db{""};
    // A pushed job, claimed by this worker.
    chancy::job claim(chancy::new_job wanted, const std::string& worker_id = "tester");
    bool reaches(const chancy::uuid& id, chancy::job_state state) {
        return eventually([&] { return db.get_job(id)->state == state; });
    }
};

}  // namespace test
