#include <chancy/calls.hpp>

#include "statement.hpp"

namespace chancy {
namespace detail::describe {

namespace {

std::int64_t large(const result& rows, int row, int column) { return std::stoll(rows.text(row, column)); }

std::vector<adopted> read_adopted(const result& rows) {
    std::vector<adopted> out;
    for (int row = 0; row < rows.rows(); ++row) out.push_back({.what = rows.text(row, 0), .copied = large(rows, row, 1)});
    return out;
}

}  // namespace

call<void> enable_python_interop(const std::optional<std::string>& role) {
    // The name of the role, not what a cast to regrole makes of one.
    return {{"enable_python_interop",
             "SELECT chancy.enable_python_interop(pg_catalog.quote_ident($1::text)::pg_catalog.regrole)", {role}, repeat::safe},
            read_nothing};
}

call<void> disable_python_interop() {
    return {{"disable_python_interop", "SELECT chancy.disable_python_interop()", {}, repeat::safe}, read_nothing};
}

call<python_interop> interop_status() {
    return {{"interop_status", "SELECT enabled, roles FROM chancy.interop_status()"},
            [](const result& rows) { return python_interop{.enabled = rows.boolean(0, 0), .roles = rows.texts(0, 1)}; }};
}

call<std::vector<adopted>> adopt(const std::string& schema, const std::string& prefix) {
    return {{"adopt", "SELECT what, copied::text FROM chancy.adopt($1::text, $2::text)", {schema, prefix}, repeat::never}, read_adopted};
}

call<adopted_history> adopt_history(const std::string& schema, const std::string& prefix, int up_to) {
    return {{"adopt_history", "SELECT copied, done, so_far::text, history::text FROM chancy.adopt_history($1::text, $2::text, $3::int)",
             {schema, prefix, std::to_string(up_to)}, repeat::safe},
            [](const result& rows) {
                return adopted_history{.copied = rows.integer(0, 0), .done = rows.boolean(0, 1), .so_far = large(rows, 0, 2), .history = large(rows, 0, 3)};
            }};
}

call<std::vector<adopted>> give_back(const std::string& schema, const std::string& prefix) {
    return {{"give_back", "SELECT what, copied::text FROM chancy.give_back($1::text, $2::text)", {schema, prefix}, repeat::never}, read_adopted};
}

}  // namespace detail::describe

void to_json(json& out, const python_interop& in) { out = {{"enabled", in.enabled}, {"roles", in.roles}}; }
void to_json(json& out, const adopted& in) { out = {{"what", in.what}, {"copied", in.copied}}; }
void to_json(json& out, const adopted_history& in) {
    out = {{"copied", in.copied}, {"done", in.done}, {"so_far", in.so_far}, {"history", in.history}};
}

}  // namespace chancy
