#include <chancy/calls.hpp>

#include "statement.hpp"

namespace chancy {

namespace detail::describe {

call<installation> check_installation(std::chrono::milliseconds longer_than) {
    return {{"check_installation",
             "SELECT clock_timestamp(), chancy.library_version(), e.extversion, "
             "coalesce((SELECT jsonb_agg(to_jsonb(f)) FROM chancy.check_installation(make_interval(secs => $1::float8)) AS f), '[]') "
             "FROM pg_catalog.pg_extension AS e WHERE e.extname = 'chancy'",
             {seconds(longer_than)}},
            [](const result& rows) {
                installation out{.library_version = rows.text(0, 1), .extension_version = rows.text(0, 2), .server_time = rows.time(0, 0), .findings = {}};
                for (const json& f : rows.document(0, 3))
                    out.findings.push_back({.about = f.at("finding"), .severity = f.at("severity"), .what = f.at("what"), .hint = f.at("hint")});
                return out;
            }};
}

}  // namespace detail::describe

void to_json(json& out, const finding& in) {
    out = {{"finding", in.about}, {"severity", in.severity}, {"what", in.what}, {"hint", in.hint}};
}

}  // namespace chancy
