// A progress bar on a terminal, a few lines elsewhere; numbers for people.
#pragma once

#include <string>

namespace demo {

class progress {
public:
    explicit progress(long total);
    // note stands behind the bar.
    void show(long done, const std::string& note);
    void end();

private:
    long m_total;
    bool m_terminal;
    long m_next_line = 0;  // elsewhere: a line each fourth of the way
};

[[nodiscard]] std::string figure(long long number);      // 112,764
[[nodiscard]] std::string size(long long bytes);         // 1.4 GB
[[nodiscard]] std::string decimal(double number);        // 12.3
void line(const char* name, const std::string& text);    // a line of the summary

}  // namespace demo
