// The Debian packages of this machine, and their files against the checksums they came with.
#pragma once

#include <chancy/chancy.hpp>

#include <string>
#include <unordered_map>
#include <vector>

namespace demo {

// As dpkg names them in its info folder: "bash", and "libc6:amd64" where several architectures may live side by side.
[[nodiscard]] std::vector<std::string> installed_packages();

// path → where dpkg-divert moved the file that a package brought under this path, and on whose behalf.
struct diversion {
    std::string to, package;
};
using diversions = std::unordered_map<std::string, diversion>;
[[nodiscard]] diversions read_diversions();

struct report {
    long files = 0;
    long long bytes = 0;
    std::vector<std::string> mismatched;
    long missing = 0, diverted = 0, unreadable = 0;
};
void to_json(chancy::json& out, const report& in);
void from_json(const chancy::json& in, report& out);
void add(report& to, const report& more);

[[nodiscard]] report verify(const std::string& package, const diversions& moved, const chancy::job_context& job);

}  // namespace demo
