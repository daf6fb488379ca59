#include "history.hpp"

#include "board.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <unordered_map>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

namespace chaos {

std::int64_t monotonic() {
    timespec t;
    ::clock_gettime(CLOCK_MONOTONIC, &t);
    return std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

board& open_board(const std::string& path) {
    const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0 || ::ftruncate(file, sizeof(board)) != 0) throw std::runtime_error(path + ": " + std::strerror(errno));
    void* memory = ::mmap(nullptr, sizeof(board), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    ::close(file);
    if (memory == MAP_FAILED) throw std::runtime_error(path + ": " + std::strerror(errno));
    return *static_cast<board*>(memory);  // zeros are its first state
}

diary::diary(const std::string& path) : m_file(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)) {
    if (m_file < 0) throw std::runtime_error(path + ": " + std::strerror(errno));
}

namespace {

void write_line(int file, const std::ostringstream& line) {
    const std::string text = line.str();
    if (::write(file, text.data(), text.size()) != static_cast<ssize_t>(text.size())) std::abort();  // a law is void
}

}  // namespace

void diary::begins(const handled& run) const {
    std::ostringstream line;
    line << "S " << run.number << ' ' << monotonic() << ' ' << run.job.to_string() << ' ' << run.started_at << ' '
         << (run.key.empty() ? "-" : run.key) << '\n';
    write_line(m_file, line);
}

void diary::ends(const handled& run) const {
    std::ostringstream line;
    line << "E " << run.number << ' ' << monotonic() << ' ' << run.done << '\n';
    write_line(m_file, line);
}

void diary::expires() const {
    std::ostringstream line;
    line << "X 0 " << monotonic() << '\n';
    write_line(m_file, line);
}

std::vector<handled> read_diary(const std::string& path, const std::string& worker) {
    std::vector<handled> out;
    std::unordered_map<int, std::size_t> place;
    std::ifstream in(path);
    for (std::string line; std::getline(in, line);) {
        std::istringstream words(line);
        char kind;
        int number;
        std::int64_t when;
        words >> kind >> number >> when;
        if (kind == 'E') {
            handled& run = out.at(place.at(number));
            run.to = when;
            words >> run.done;
            continue;
        }
        if (kind == 'X') {
            for (handled& run : out)
                if (run.expired == 0) run.expired = when;
            continue;
        }
        handled run{.worker = worker, .number = number, .from = when};
        std::string id;
        words >> id >> run.started_at >> run.key;
        run.job = chancy::uuid::parse(id).value();
        if (run.key == "-") run.key.clear();
        place[number] = out.size();
        out.push_back(std::move(run));
    }
    return out;
}

void ledger::put(std::map<chancy::uuid, std::int64_t>& into, const chancy::uuid& id) {
    const std::lock_guard lock(m_mutex);
    into.emplace(id, monotonic());
}

void ledger::killed(const std::string& worker) {
    const std::lock_guard lock(m_mutex);
    m_killed.emplace(worker, monotonic());
}

void ledger::paused(const std::string& worker) {
    const std::lock_guard lock(m_mutex);
    m_slept.emplace(worker, std::pair{monotonic(), INT64_MAX});
}

void ledger::resumed(const std::string& worker) {
    const std::lock_guard lock(m_mutex);
    const auto [first, last] = m_slept.equal_range(worker);
    for (auto i = first; i != last; ++i)
        if (i->second.second == INT64_MAX) i->second.second = monotonic();
}

bool ledger::slept(const std::string& worker, std::int64_t from, std::int64_t to) const {
    const std::lock_guard lock(m_mutex);
    const auto [first, last] = m_slept.equal_range(worker);
    return std::any_of(first, last, [&](const auto& i) { return i.second.first < to && from < i.second.second; });
}

std::size_t ledger::pushes() const {
    const std::lock_guard lock(m_mutex);
    return m_acknowledged.size();
}

}  // namespace chaos
