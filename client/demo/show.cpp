#include "show.hpp"

#include <algorithm>
#include <cstdio>

#include <unistd.h>

namespace demo {

progress::progress(long total) : m_total(std::max(total, 1L)), m_terminal(::isatty(STDOUT_FILENO) != 0) {}

void progress::show(long done, const std::string& note) {
    done = std::min(done, m_total);
    if (m_terminal) {
        constexpr long width = 24;  // the line has to fit into 80 columns
        const auto filled = static_cast<std::size_t>(done * width / m_total);
        std::printf("\r[%s%s] %3ld %%  %s\033[K", std::string(filled, '#').c_str(), std::string(width - filled, '.').c_str(),
                    done * 100 / m_total, note.c_str());
    } else if (done >= m_next_line) {
        m_next_line = done + std::max((m_total + 3) / 4, 1L);
        std::printf("%3ld %%  %s\n", done * 100 / m_total, note.c_str());
    }
    std::fflush(stdout);
}

void progress::end() {
    if (m_terminal) std::printf("\r\033[K");
    std::fflush(stdout);
}

std::string figure(long long number) {
    std::string text = std::to_string(number);
    for (auto at = static_cast<std::ptrdiff_t>(text.size()) - 3; at > 0; at -= 3) text.insert(static_cast<std::size_t>(at), 1, ',');
    return text;
}

std::string decimal(double number) {
    char text[32];
    std::snprintf(text, sizeof text, "%.1f", number);
    return text;
}

std::string size(long long bytes) {
    return bytes < 1'000'000'000 ? decimal(static_cast<double>(bytes) / 1e6) + " MB" : decimal(static_cast<double>(bytes) / 1e9) + " GB";
}

void line(const char* name, const std::string& text) {
    std::printf("  %-12s %s\n", name, text.c_str());
    std::fflush(stdout);
}

}  // namespace demo
