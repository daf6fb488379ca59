#include "screen.hpp"

#include <cerrno>
#include <csignal>

#include <sys/ioctl.h>
#include <unistd.h>

namespace chancy::cli {
namespace {

void write_all(const std::string& bytes) {
    for (std::size_t at = 0; at < bytes.size();) {
        const ssize_t n = ::write(STDOUT_FILENO, bytes.data() + at, bytes.size() - at);
        if (n < 0 && errno != EINTR) return;  // the terminal is gone, and SIGHUP on its way
        if (n > 0) at += static_cast<std::size_t>(n);
    }
}

bool continues(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

}  // namespace

screen::screen() {
    ::tcgetattr(STDIN_FILENO, &m_before);
    enter();
}

screen::~screen() { leave(); }

void screen::enter() {
    termios raw = m_before;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    ::tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    write_all("\033[?1049h\033[?25l\033[?7l");  // another screen, no cursor, no wrapping
}

void screen::leave() {
    write_all("\033[?7h\033[?25h\033[?1049l");
    ::tcsetattr(STDIN_FILENO, TCSANOW, &m_before);
}

void screen::suspend() {
    leave();
    ::raise(SIGSTOP);
    enter();
}

void screen::draw(const std::vector<line>& lines) {
    winsize size{};
    ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
    const std::size_t rows = size.ws_row > 1 ? size.ws_row : 24, columns = size.ws_col > 0 ? size.ws_col : 80;
    std::string out = "\033[?2026h\033[H";  // terminals that can show the frame as one
    for (std::size_t row = 0; row < rows; ++row) {
        const bool last = row + 1 == rows;
        const line blank{};
        const line& l = last ? lines.back() : row + 1 < lines.size() ? lines[row] : blank;
        if (l.chosen) out += "\033[7m";
        if (l.strong) out += "\033[1m";
        out += cut(l.text, columns);
        out += "\033[0m\033[K";
        if (!last) out += "\r\n";
    }
    write_all(out + "\033[?2026l");
}

screen::key screen::read_key() {
    char c = 0;
    if (::read(STDIN_FILENO, &c, 1) != 1) return key::none;
    switch (c) {
        case 'q': case 'Q': return key::quit;
        case 'k': return key::up;
        case 'j': return key::down;
        case 'p': return key::pause;
        case 'y': return key::yes;
        case ' ': return key::refresh;
        case '\033': break;
        default: return key::other;
    }
    char sequence[2]{};  // an arrow comes in one piece
    if (::read(STDIN_FILENO, sequence, 2) != 2) return key::other;
    return sequence[1] == 'A' ? key::up : sequence[1] == 'B' ? key::down : key::other;
}

std::string harmless(const std::string& text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const auto c = static_cast<unsigned char>(text[i]);
        const bool second_set = c == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xa0;  // U+0080 to U+009F
        if (second_set) ++i;
        out += second_set || c < 0x20 || c == 0x7f ? ' ' : text[i];
    }
    return out;
}

std::string cut(const std::string& text, std::size_t columns) {
    std::size_t at = 0;
    for (; at < text.size() && columns > 0; --columns)
        do ++at;
        while (at < text.size() && continues(text[at]));
    return text.substr(0, at);
}

}  // namespace chancy::cli
