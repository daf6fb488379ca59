// chancy::error: the one exception of this library.
//
//     try { db.push({.func = "mail.send"}); }
//     catch (const chancy::error& e) {
//         if (e.in_doubt()) …   // sent, connection lost: it may or may not have happened
//         std::cerr << e.what() << ' ' << e.hint() << '\n';
//     }
//
// Expected answers ("no such job", "not applied: stale") are values, never errors.
// Threads: an error is a plain value.
#pragma once

#include <stdexcept>
#include <string>

namespace chancy {

class error : public std::runtime_error {
public:
    struct properties {
        std::string sqlstate{};   // five characters; class 08 for what the server never said
        std::string function{};   // the call it happened in, "push_many"
        std::string detail{};
        std::string hint{};
        bool connection_lost = false;
        bool in_doubt = false;
    };

    error(const std::string& message, properties p) : std::runtime_error(message), m_properties(std::move(p)) {}

    [[nodiscard]] const std::string& sqlstate() const noexcept { return m_properties.sqlstate; }
    [[nodiscard]] const std::string& function() const noexcept { return m_properties.function; }
    [[nodiscard]] const std::string& detail() const noexcept { return m_properties.detail; }
    [[nodiscard]] const std::string& hint() const noexcept { return m_properties.hint; }
    // The connection is gone, or never came to be.
    [[nodiscard]] bool connection_lost() const noexcept { return m_properties.connection_lost; }
    // The call was sent and the connection was lost before the answer: it may have been committed.
    [[nodiscard]] bool in_doubt() const noexcept { return m_properties.in_doubt; }
    // The same transaction may succeed when it is run again: deadlock (40P01), serialization failure (40001), no room on
    // the server's disk, memory or connections (class 53), a standby (25006), or a lost connection that leaves nothing in doubt.
    [[nodiscard]] bool retryable() const noexcept {
        return sqlstate() == "40P01" || sqlstate() == "40001" || sqlstate().starts_with("53") || read_only() ||
               (connection_lost() && !in_doubt());
    }
    // This server is a standby; another one, or this one a little later, may not be.
    [[nodiscard]] bool read_only() const noexcept { return sqlstate() == "25006"; }

    // The same error, seen as in doubt (or not).
    [[nodiscard]] error with_doubt(bool doubt) const {
        error copy = *this;
        copy.m_properties.in_doubt = doubt;
        return copy;
    }

private:
    properties m_properties;
};

}  // namespace chancy
