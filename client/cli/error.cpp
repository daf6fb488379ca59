// Errors of jobs, for people: a line of the last one, or all of them.
#include "job.hpp"

#include <iostream>

namespace chancy::cli {

std::string short_error(const std::string& text) {
    constexpr std::size_t most = 60;
    const std::string line(error_line(text));
    std::size_t characters = 0, kept = 0;
    for (std::size_t at = 0; at < line.size(); ++at) {
        if ((static_cast<unsigned char>(line[at]) & 0xc0) == 0x80) continue;
        if (++characters == most) kept = at;
        if (characters > most) return line.substr(0, kept) + "…";
    }
    return line;
}

std::string last_error(const job& of) {
    if (!of.errors.is_array() || of.errors.empty()) return "";
    return short_error(of.errors.back().value("traceback", ""));
}

void print_errors(const job& of) {
    std::size_t n = 0;
    for (const json& e : of.errors) {
        std::cout << "error " << ++n << " of " << of.errors.size() << ", attempt " << e.value("attempt", 0) + 1;
        if (const std::string at = e.value("at", ""); !at.empty()) std::cout << ", " << relative(read_time(at));
        std::cout << ":\n" << e.value("traceback", "") << '\n';
    }
}

}  // namespace chancy::cli
