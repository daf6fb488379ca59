// push --file: a stream of jobs, one JSON object a line.
#include "cli.hpp"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cmath>
#include <cstring>
#include <iostream>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

namespace chancy::cli {
namespace {

constexpr std::size_t batch_size = 1000;

class line_reader {
public:
    explicit line_reader(const std::string& file) : m_name(file), m_fd(file == "-" ? STDIN_FILENO : ::open(file.c_str(), O_RDONLY | O_CLOEXEC)) {
        if (m_fd < 0) fail();
    }
    ~line_reader() {
        if (m_fd != STDIN_FILENO) ::close(m_fd);
    }
    line_reader(const line_reader&) = delete;
    line_reader& operator=(const line_reader&) = delete;

    bool next(std::string& line) {  // false: the end
        std::size_t end;
        while ((end = m_buffer.find('\n', m_at)) == std::string::npos && !m_end) fill();
        if (end == std::string::npos) end = m_buffer.size();
        if (m_end && m_at == m_buffer.size()) return false;
        line = m_buffer.substr(m_at, end - m_at);
        const std::size_t after = std::min(end + 1, m_buffer.size());
        m_consumed += after - m_at;
        m_at = after;
        return true;
    }
    // How much was read, and how much there is; 0: nobody knows.
    [[nodiscard]] std::size_t consumed() const { return m_consumed; }
    [[nodiscard]] std::size_t size() const {
        struct stat of {};
        return ::fstat(m_fd, &of) == 0 && S_ISREG(of.st_mode) ? static_cast<std::size_t>(of.st_size) : 0;
    }
    // The next line has yet to be written by somebody.
    [[nodiscard]] bool waiting() const {
        pollfd p{m_fd, POLLIN, 0};
        return !m_end && m_buffer.find('\n', m_at) == std::string::npos && ::poll(&p, 1, 0) == 0;
    }

private:
    void fill() {
        m_buffer.erase(0, m_at);
        m_at = 0;
        char bytes[65536];
        const ssize_t n = ::read(m_fd, bytes, sizeof bytes);
        if (n > 0) m_buffer.append(bytes, static_cast<std::size_t>(n));
        else if (n == 0) m_end = true;
        else if (errno != EINTR) fail();
    }
    [[noreturn]] void fail() const { throw std::runtime_error("cannot read " + m_name + ": " + std::strerror(errno)); }

    std::string m_name;
    int m_fd;
    std::string m_buffer;
    std::size_t m_at = 0, m_consumed = 0;
    bool m_end = false;
};

// On a terminal: how far the stream is, on one line that is written over. "[#####.....]  48 %  12000 jobs  8100/s  2 s left"
class progress_bar {
public:
    explicit progress_bar(bool shown) : m_shown(shown) {}
    void show(std::size_t jobs, std::size_t consumed, std::size_t size) {
        const auto now = std::chrono::steady_clock::now();
        if (!m_shown || (m_drawn && now < m_last + std::chrono::milliseconds(100) && consumed < size)) return;
        m_drawn = true;
        m_last = now;
        const double seconds = std::chrono::duration<double>(now - m_begin).count();
        std::string line = "\r\033[K";
        if (size > 0) {
            const std::size_t part = std::min(consumed, size);
            const std::size_t full = part * width / size;
            line += '[' + std::string(full, '#') + std::string(width - full, '.') + "] " + std::to_string(part * 100 / size) + " %  ";
        }
        line += std::to_string(jobs) + " jobs";
        if (seconds > 0.5) line += "  " + std::to_string(std::lround(static_cast<double>(jobs) / seconds)) + "/s";
        if (size > 0 && consumed > 0 && seconds > 0.5)
            line += "  " + std::to_string(std::lround(seconds * static_cast<double>(size - std::min(consumed, size)) / static_cast<double>(consumed))) + " s left";
        std::cerr << line << std::flush;
    }
    void clear() {
        if (std::exchange(m_drawn, false)) std::cerr << "\r\033[K" << std::flush;
    }

private:
    static constexpr std::size_t width = 30;
    const bool m_shown;
    bool m_drawn = false;
    const std::chrono::steady_clock::time_point m_begin = std::chrono::steady_clock::now();
    std::chrono::steady_clock::time_point m_last{};
};

}  // namespace

new_job read_job(const std::string& line, new_job job) {
    const json object = json::parse(line, nullptr, false);
    if (!object.is_object()) throw std::runtime_error("not a JSON object");
    const auto from = trace_context::of(job.meta);
    for (const auto& [key, value] : object.items()) {
        const auto want = [&, &name = key](bool right, const char* what) {
            if (!right) throw std::runtime_error(name + " must be " + what);
        };
        const auto text = [&, &given = value] {
            want(given.is_string(), "a string");
            return given.get<std::string>();
        };
        const auto number = [&, &given = value] {
            want(given.is_number_integer() && given >= INT_MIN && given <= INT_MAX, "an integer");
            return given.get<int>();
        };
        if (value.is_null()) continue;
        if (key == "func") job.func = text();
        else if (key == "kwargs") job.kwargs = value;
        else if (key == "queue") job.queue = text();
        else if (key == "priority") job.priority = number();
        else if (key == "max_attempts") job.max_attempts = number();
        else if (key == "scheduled_at") job.scheduled_at = read_time(text());
        else if (key == "unique_key") job.unique_key = text();
        else if (key == "concurrency_key") job.concurrency_key = text();
        else if (key == "limits") job.limits = value;
        else if (key == "meta") job.meta = value;
        else if (key == "on_conflict") job.on_conflict = text();
        else if (key == "unique_for") job.unique_for = read_duration(text());
        else throw std::runtime_error("there is no \"" + key + "\" in a job");
    }
    if (from && job.meta.is_object() && !job.meta.contains("traceparent")) job.meta = from->into(std::move(job.meta));
    if (job.func.empty()) throw std::runtime_error("func is missing");
    return job;
}

int push_stream(const context& with, const std::string& file, const new_job& defaults) {
    line_reader in(file);
    client db = with.connect();
    progress_bar bar(::isatty(STDERR_FILENO) != 0 && !(with.json && ::isatty(STDOUT_FILENO) != 0));
    std::size_t line_number = 0, first_line = 1, total = 0, duplicates = 0;
    std::vector<new_job> batch;
    const auto where = [&](const std::string& place) {  // of an error
        bar.clear();
        return file + ", " + place + ": ";
    };
    const auto before = [&] { return "; pushed before it: " + std::to_string(total); };
    const auto send = [&] {
        try {
            for (const pushed& p : db.push_many(batch)) {
                duplicates += !p.created.value_or(true);
                if (with.json) print_json({{"id", p.id.to_string()}, {"created", p.created.value_or(true)}});
            }
        } catch (const error& e) {
            throw error(where("lines " + std::to_string(first_line) + " to " + std::to_string(line_number)) + e.what() + before(),
                        {.sqlstate = e.sqlstate(), .function = e.function(), .hint = e.hint(), .in_doubt = e.in_doubt()});
        }
        if (with.json) std::cout.flush();
        total += batch.size();
        batch.clear();
        first_line = line_number + 1;
        bar.show(total, in.consumed(), in.size());
    };
    for (std::string line; in.next(line);) {
        ++line_number;
        if (line.find_first_not_of(" \t\r") != std::string::npos) {
            try {
                batch.push_back(read_job(line, defaults));
            } catch (const std::exception& e) {
                // What came before it is good, and is pushed as if this line were the end.
                const std::string what = e.what();
                --line_number;
                if (!batch.empty()) send();
                throw std::runtime_error(where("line " + std::to_string(line_number + 1)) + what + before());
            }
        }
        if (!batch.empty() && (batch.size() == batch_size || in.waiting())) send();
    }
    if (!batch.empty()) send();
    bar.clear();
    if (!with.json) std::cout << total << (total == 1 ? " job" : " jobs") << " pushed" << (duplicates > 0 ? ", " + std::to_string(duplicates) + " of them had a key that was taken" : "") << '\n';
    return ok;
}

}  // namespace chancy::cli
