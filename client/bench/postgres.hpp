// libpq for the benchmark: statements as anybody would send them, without the client library between.
// Any error ends the program: a figure with an error in it is none. Threads: one at a time per connection.
#pragma once

#include <chancy/call.hpp>

#include <libpq-fe.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

struct clear_result { void operator()(PGresult* r) const { PQclear(r); } };
using result = std::unique_ptr<PGresult, clear_result>;

class connection {
public:
    explicit connection(const std::string& conninfo);
    ~connection() { PQfinish(m_connection); }
    connection(const connection&) = delete;
    connection& operator=(const connection&) = delete;

    result run(const char* sql);
    result run(const std::string& sql) { return run(sql.c_str()); }
    // Text parameters; the plan is made for these values.
    result run(const char* sql, const std::vector<std::string>& parameters);
    // As libchancy made it: parameters in binary.
    result run(const chancy::detail::statement& made);
    void prepare(const char* name, const char* sql);
    result run_prepared(const char* name, const std::vector<std::string>& parameters);
    // One statement after the other, one round trip, one transaction.
    std::vector<result> run_together(const std::vector<std::pair<const char*, std::vector<std::string>>>& statements);
    void copy(const char* sql, std::string_view data);
    std::string value(const std::string& sql);  // of the first row and column
    long long number(const std::string& sql) { return std::stoll(value(sql)); }
    // Waits until a notification is there.
    void await_notification();

    [[nodiscard]] PGconn* get() const { return m_connection; }

private:
    result check(PGresult* r, const char* sql);
    PGconn* m_connection;
};

inline std::string_view cell(const result& r, int row, int column) { return PQgetvalue(r.get(), row, column); }

}  // namespace bench
