// What the HTTP API answers, as data: each route is a statement, its parameters, who may, and what comes back. The server
// and the OpenAPI description are made from the same list, so neither can have what the other lacks.
#pragma once

#include "access.hpp"
#include "database.hpp"

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace chancy::dashboard {

using json = nlohmann::json;

struct parameter {
    const char* name;
    const char* place;        // path, query, body
    const char* type;         // of JSON Schema: string, integer, boolean, object; or uuid, date-time, which are strings
    const char* description;
    bool required = false;
    const char* fallback = nullptr;  // what the statement gets when it is left out; nullptr: NULL
};

struct route {
    const char* method;
    const char* path;         // below /api/v1, {name} for parameters of the path
    role needs;
    const char* summary;
    std::vector<parameter> parameters;  // $1, $2, … of the statement, in order
    const char* answer;       // schema: job, jobs for an array of them
    const char* statement;    // one row, one column: the JSON that is the answer. No row: 404, or 409 for a POST
    const char* each = nullptr;  // the statement gives ids; this one is run for each, as a transaction of its own
};

[[nodiscard]] const std::vector<route>& read_routes();
[[nodiscard]] const std::vector<route>& act_routes();

[[nodiscard]] json openapi();

// The kwargs, results, … that the rules name become "(hidden)", wherever there is a func beside them. A rule: field,
// field.member, or func:field.member; field error is part of errors. std::invalid_argument for anything else.
class hiding {
public:
    explicit hiding(const std::vector<std::string>& rules);
    [[nodiscard]] bool empty() const { return m_rules.empty(); }
    void apply(json& document) const;
    // Does it hold what stands for something hidden?
    [[nodiscard]] static bool is_hidden(const json& document);

private:
    struct rule {
        std::string func;
        std::vector<std::string> path;
    };
    std::vector<rule> m_rules;
};

// application/problem+json
[[nodiscard]] json problem(int status, const std::string& title, const std::string& detail);
[[nodiscard]] json problem_of(const database_error& e);  // with its status, sqlstate, hint and the path of the element

}  // namespace chancy::dashboard
