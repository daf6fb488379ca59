// What is wrong with an installation, and what to do: chancy.check_installation(), docs/sql-check.md.
//
//     for (const auto& f : db.check_installation().findings) std::cout << f.what << ": " << f.hint << '\n';
//
// For roles with grant_admin or grant_reader. Threads: plain values.
#pragma once

#include <chancy/job.hpp>

#include <string>
#include <vector>

namespace chancy {

struct finding {
    std::string about;     // version grants index trigger bloat snapshot prepared slot worker queue task autovacuum setting
    std::string severity;  // error | warning | notice
    std::string what;
    std::string hint;      // what to do
};

struct installation {
    std::string library_version;    // of the library that the server has loaded
    std::string extension_version;  // of the extension in this database
    timestamp server_time;
    std::vector<finding> findings;  // the worst first
};

void to_json(json& out, const finding& in);

}  // namespace chancy
