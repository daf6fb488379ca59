// A PostgreSQL of our own, that may be stopped, killed, copied and promoted.
#pragma once

#include <string>
#include <vector>

#include <sys/types.h>

namespace chaos {

// One or more statements, each row's columns as text joined by '|'; throws std::runtime_error.
std::vector<std::string> sql(const std::string& conninfo, const std::string& statement);

class server {
public:
    enum class stop_mode { fast, immediate, kill };

    // Everything of it lies in folder, its data below data (a mount of its own, perhaps; by default folder/NAME).
    server(std::string folder, std::string name, std::string data = "");
    ~server();  // stops it
    server(const server&) = delete;
    server& operator=(const server&) = delete;

    void create(const std::string& settings);         // a new cluster; lines for postgresql.conf
    void copy_from(const server& primary);            // a standby that streams from it
    void start();                                     // returns when it answers
    void stop(stop_mode how);
    void promote();
    void remove_data();                               // of one that was stopped for good; waits for what outlives a killed one

    [[nodiscard]] bool running() const noexcept { return m_process > 0; }
    [[nodiscard]] int port() const noexcept { return m_port; }
    [[nodiscard]] const std::string& log() const noexcept { return m_log; }
    [[nodiscard]] std::string conninfo(const std::string& more = "") const;
    // The SQLSTATE of the error that it raises, or "ok".
    [[nodiscard]] std::string state_of(const std::string& statements) const;
    std::vector<std::string> sql(const std::string& statement) const { return chaos::sql(conninfo("application_name=driver"), statement); }

private:
    [[nodiscard]] bool answers() const;
    [[nodiscard]] bool in_use() const;

    const std::string m_folder, m_name, m_data, m_log;
    const int m_port;
    pid_t m_process = 0;
};

}  // namespace chaos
