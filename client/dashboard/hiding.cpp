#include "route.hpp"

#include <algorithm>
#include <array>
#include <stdexcept>

namespace chancy::dashboard {
namespace {

constexpr std::array fields = {"kwargs", "meta", "result", "errors", "progress"};

constexpr const char* instead = "(hidden)";

void hide(json& within, const std::vector<std::string>& path, std::size_t at) {
    if (within.is_array())
        for (json& element : within) hide(element, path, at);
    if (!within.is_object()) return;
    const auto found = within.find(path[at]);
    if (found == within.end() || found->is_null()) return;
    if (at + 1 == path.size()) *found = instead;
    else hide(*found, path, at + 1);
}

}  // namespace

hiding::hiding(const std::vector<std::string>& rules) {
    for (const std::string& text : rules) {
        const auto colon = text.rfind(':');
        rule r{colon == std::string::npos ? "" : text.substr(0, colon), {}};
        for (std::size_t at = colon == std::string::npos ? 0 : colon + 1; at <= text.size();) {
            const std::size_t end = std::min(text.find('.', at), text.size());
            r.path.push_back(text.substr(at, end - at));
            at = end + 1;
        }
        if (std::ranges::find(fields, r.path[0]) == fields.end())
            throw std::invalid_argument("--hide " + text + ": not [func:]field[.member]…, with kwargs, meta, result, errors or progress as field");
        m_rules.push_back(std::move(r));
    }
}

void hiding::apply(json& document) const {
    if (document.is_object() && document.contains("func")) {
        for (const rule& r : m_rules) {
            if (!r.func.empty() && document["func"] != r.func) continue;
            hide(document, r.path, 0);
            if (r.path[0] == "errors") hide(document, {"error"}, 0);
        }
    }
    // Statements of others may hold payloads.
    if (!m_rules.empty() && document.is_object() && document.contains("pid")) hide(document, {"query"}, 0);
    if (!m_rules.empty() && document.is_object() && document.value("finding", json()) == "held") hide(document, {"hint"}, 0);
    if (document.is_structured())
        for (auto& member : document) apply(member);
}

bool hiding::is_hidden(const json& document) {
    return document.is_structured() ? std::ranges::any_of(document, is_hidden) : document == instead;
}

}  // namespace chancy::dashboard
