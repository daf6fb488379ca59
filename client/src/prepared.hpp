// The statements of one connection, kept ready at its server: of a small call, to read the text and to plan it is the greater
// part of what it costs there.
// A pooler in transaction mode may give each transaction another server, which does not have them, or has those of others.
// Then the server refuses before anything is done, the call is made again with its text, and nothing is prepared from then on.
// Only for calls outside a transaction block: in one, the refusal would abort it.
#pragma once

#include "statement.hpp"

#include <map>

namespace chancy::detail {

class prepared {
public:
    enum class way { text, prepare, ready };
    // How to send it now: a text is prepared when it comes for the second time.
    [[nodiscard]] way choose(const char* text);
    // The same for the same text: what another client has left at a pooler's server under this name is the same statement.
    [[nodiscard]] static std::string name_of(const char* text);
    // Was the statement that a call named refused as unknown, known already or outdated? Then the call is to be sent as text.
    bool disowned(const std::string& sqlstate);

    // As detail::run(), by the best way.
    result run(PGconn* connection, const statement& what, std::chrono::milliseconds timeout);

private:
    std::map<std::string, int, std::less<>> m_uses;
    bool m_off = false;
};

}  // namespace chancy::detail
