// Writing for people: aligned tables, relative times.
#include "cli.hpp"

#include <algorithm>
#include <cstdio>
#include <iostream>

#include <unistd.h>

namespace chancy::cli {
namespace {

// Characters, not bytes: UTF-8's continuation bytes take no column.
std::size_t width(const std::string& text) {
    return static_cast<std::size_t>(std::ranges::count_if(text, [](unsigned char c) { return (c & 0xc0) != 0x80; }));
}

bool numeric(const std::string& text) { return !text.empty() && text.find_first_not_of("0123456789-/.") == std::string::npos; }

}  // namespace

void print_json(const json& document) {
    std::cout << document.dump(-1, ' ', false, json::error_handler_t::replace) << '\n';
}

std::vector<std::string> table::lines() const {
    std::vector<std::size_t> widths(m_rows[0].size());
    for (const auto& row : m_rows)
        for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width(row[i]));
    std::vector<std::string> out;
    for (const auto& row : m_rows) {
        std::string line;
        for (std::size_t i = 0; i < row.size(); ++i) {
            const std::string space(widths[i] - width(row[i]), ' ');
            line += numeric(row[i]) ? space + row[i] : row[i] + space;
            line += "  ";
        }
        line.erase(line.find_last_not_of(' ') + 1);
        out.push_back(std::move(line));
    }
    return out;
}

void table::print() const {
    for (const std::string& line : lines()) std::cout << line << '\n';
}

std::string decimal(double number) {
    char text[32];
    std::snprintf(text, sizeof text, "%.6g", number);
    return text;
}

std::string span(double seconds) {
    char text[32];
    if (seconds < 1) std::snprintf(text, sizeof text, "%.3g ms", seconds * 1000);
    else if (seconds < 120) std::snprintf(text, sizeof text, "%.3g s", seconds);
    else if (seconds < 7200) std::snprintf(text, sizeof text, "%.0f min", seconds / 60);
    else if (seconds < 172'800) std::snprintf(text, sizeof text, "%.0f h", seconds / 3600);
    else std::snprintf(text, sizeof text, "%.0f d", seconds / 86'400);
    return text;
}

std::string relative(timestamp when) {
    static const bool terminal = ::isatty(STDOUT_FILENO) != 0;
    if (!terminal || when == timestamp::max() || when == timestamp::min()) return to_string(when);
    const auto gap = std::chrono::duration_cast<std::chrono::seconds>(now() - when).count();
    const auto size = gap < 0 ? -gap : gap;
    std::string span = size < 120    ? std::to_string(size) + " s"
                       : size < 7200 ? std::to_string(size / 60) + " min"
                       : size < 172'800 ? std::to_string(size / 3600) + " h"
                                        : std::to_string(size / 86'400) + " d";
    return gap < 0 ? "in " + span : span + " ago";
}

std::string relative(const std::optional<timestamp>& when) { return when ? relative(*when) : ""; }

std::string join(const std::vector<std::string>& texts) {
    std::string out;
    for (const std::string& t : texts) out += (out.empty() ? "" : ", ") + t;
    return out;
}

}  // namespace chancy::cli
