#include "prepared.hpp"

#include "pipeline.hpp"

#include <libpq-fe.h>

#include <cstdio>

namespace chancy::detail {

prepared::way prepared::choose(const char* text) {
    if (m_off) return way::text;
    auto uses = m_uses.find(std::string_view(text));
    if (uses == m_uses.end()) uses = m_uses.emplace(text, 0).first;
    if (uses->second < 2) ++uses->second;
    else return way::ready;
    return uses->second == 1 ? way::text : way::prepare;
}

std::string prepared::name_of(const char* text) {
    std::uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
    for (const char* c = text; *c; ++c) hash = (hash ^ static_cast<unsigned char>(*c)) * 0x100000001b3;
    char name[32];
    std::snprintf(name, sizeof name, "chancy_%016llx", static_cast<unsigned long long>(hash));
    return name;
}

bool prepared::disowned(const std::string& sqlstate) {
    // 0A000: the type of its rows has changed, with the extension's version
    if (sqlstate != "26000" && sqlstate != "42P05" && sqlstate != "0A000") return false;
    return m_off = true;
}

result prepared::run(PGconn* connection, const statement& what, std::chrono::milliseconds timeout) {
    const way how = PQtransactionStatus(connection) == PQTRANS_IDLE ? choose(what.sql) : way::text;
    if (how == way::text) return detail::run(connection, what, timeout);
    const auto deadline = deadline_in(timeout);
    const std::string name = name_of(what.sql);
    try {
        if (how == way::prepare) {
            try {
                receive(connection, PQsendPrepare(connection, name.c_str(), what.sql, 0, nullptr) != 0, what.function, deadline);
            } catch (const error& e) {
                throw e.with_doubt(false);
            }
        }
        return receive(connection, send(connection, what, name.c_str()), what.function, deadline);
    } catch (const error& e) {
        if (!disowned(e.sqlstate())) throw;
    }
    return detail::run(connection, what, timeout);
}

}  // namespace chancy::detail
