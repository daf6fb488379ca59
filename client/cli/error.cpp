// Errors of jobs, for people: a line of the last one, or all of them.
#include "job.hpp"

#include <iostream>

namespace chancy::cli {

std::string first_line(const std::string& text, std::size_t most) {
    const std::string line = text.substr(0, text.find('\n'));
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
    std::string text = of.errors.back().value("traceback", "");
    // A Python traceback says it at its end.
    if (text.starts_with("Traceback")) {
        text.erase(text.find_last_not_of(" \t\r\n") + 1);
        text.erase(0, text.rfind('\n') + 1);
    }
    return first_line(text, 60);
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
