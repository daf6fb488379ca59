#include "failures.hpp"

#include <algorithm>
#include <utility>

namespace chancy::detail {
namespace {

constexpr std::size_t longest = 300;  // bytes of an error's line

std::string gist(const std::string& error) {
    std::string text(error_line(error));
    if (text.size() > longest) {
        std::size_t cut = longest;
        while (cut > 0 && (static_cast<unsigned char>(text[cut]) & 0xc0) == 0x80) --cut;
        text.resize(cut);
        text += "…";
    }
    return text;
}

}  // namespace
}  // namespace chancy::detail

namespace chancy {

std::string_view error_line(std::string_view text) noexcept {
    text = text.substr(0, text.find_last_not_of(" \t\r\n") + 1);
    const auto begins = [&](std::string_view with) { return text.starts_with(with); };
    if (begins("Traceback") || begins("exit status ") || begins("killed by signal ")) return text.substr(text.rfind('\n') + 1);
    return text.substr(0, text.find('\n'));
}

}  // namespace chancy

namespace chancy::detail {

std::optional<std::string> failure_log::line(const job& of, const update& how, clock::time_point now) {
    if (how.how != outcome::failed && how.how != outcome::discarded) return std::nullopt;
    std::size_t untold = 0;
    {
        const std::lock_guard lock(m_mutex);
        if (m_last != clock::time_point()) m_left = std::min(at_once, m_left + a_second * std::chrono::duration<double>(now - m_last).count());
        m_last = now;
        if (m_left < 1) {
            ++m_untold;
            return std::nullopt;
        }
        m_left -= 1;
        untold = std::exchange(m_untold, 0);
    }
    const bool last = how.how == outcome::discarded || of.attempts + 1 >= of.max_attempts;
    std::string text = "job " + of.id.to_string() + " (" + of.func + ") failed in attempt " + std::to_string(of.attempts + 1) + " of " +
                       std::to_string(of.max_attempts) + (last ? ", for good: " : how.retry_at ? ", next at " + to_string(*how.retry_at) + ": " : ", to be retried: ") +
                       gist(how.error.value_or(""));
    if (untold > 0) text += " (and " + std::to_string(untold) + " more failures since the line before)";
    return text;
}

}  // namespace chancy::detail
