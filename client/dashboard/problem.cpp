#include "route.hpp"

namespace chancy::dashboard {
namespace {

int status_of(const std::string& sqlstate) {
    const std::string group = sqlstate.substr(0, 2);
    if (group == "22" || group == "23") return 400;
    if (sqlstate == "42501" || sqlstate == "25006") return 403;
    if (group == "40" || group == "55") return 409;
    if (sqlstate == "57014") return 504;
    if (group == "08" || group == "53" || group == "57") return 503;
    return 500;
}

// Messages about input begin with the element: jobs[17].priority must be …
std::string path_in(const std::string& message) {
    const std::string first = message.substr(0, message.find(' '));
    return first.find_first_of("[.") != std::string::npos && first.find_first_of("\"':") == std::string::npos ? first : "";
}

}  // namespace

json problem(int status, const std::string& title, const std::string& detail) {
    return {{"type", "about:blank"}, {"status", status}, {"title", title}, {"detail", detail}};
}

json problem_of(const database_error& e) {
    const int status = status_of(e.sqlstate);
    json p = problem(status, status == 503 ? "The database does not answer" : status == 500 ? "The database failed" : "The database refused", e.what());
    p["sqlstate"] = e.sqlstate;
    if (!e.hint.empty()) p["hint"] = e.hint;
    if (const std::string path = path_in(e.what()); !path.empty()) p["path"] = path;
    return p;
}

}  // namespace chancy::dashboard
