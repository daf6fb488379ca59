// A terminal that is drawn over and over: in one write a frame, on a screen of its own, as the terminal was when it is left.
#pragma once

#include <string>
#include <vector>

#include <termios.h>

namespace chancy::cli {

class screen {
public:
    screen();   // standard input and output are terminals
    ~screen();  // gives the terminal back
    screen(const screen&) = delete;
    screen& operator=(const screen&) = delete;

    struct line {
        std::string text;
        bool strong = false, chosen = false;
    };
    // What does not fit is cut off; the last line stays at the bottom.
    void draw(const std::vector<line>& lines);
    void suspend();  // Ctrl-Z: gives the terminal back, stops, and takes it again

    enum class key { none, quit, up, down, pause, yes, refresh, other };
    [[nodiscard]] key read_key();  // none: nothing has been typed

private:
    void enter();
    void leave();

    termios m_before{};
};

// As it may be written to a terminal: whoever names a queue must not move the cursor.
[[nodiscard]] std::string harmless(const std::string& text);
// The first so many characters.
[[nodiscard]] std::string cut(const std::string& text, std::size_t columns);

}  // namespace chancy::cli
