#include "world.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>

namespace adversary {

namespace {
constexpr size_t remembered = 300;  // ids of each kind

std::string clock_text() {
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    tm parts{};
    localtime_r(&now.tv_sec, &parts);
    char text[32];
    size_t length = strftime(text, sizeof text, "%H:%M:%S", &parts);
    snprintf(text + length, sizeof text - length, ".%06ld ", now.tv_nsec / 1000);
    return text;
}

}  // namespace

void raise_to(std::atomic<double>& figure, double value) {
    double seen = figure;
    while (seen < value && !figure.compare_exchange_weak(seen, value)) {
    }
}

void world::set_families(std::vector<std::vector<std::string>> families) {
    std::lock_guard lock(m_mutex);
    m_families = std::move(families);
}

std::vector<std::string> world::some_family(dice& d) {
    std::lock_guard lock(m_mutex);
    if (m_families.empty()) return {};
    // Mostly all choose the same, for a while.
    auto moment = std::chrono::steady_clock::now().time_since_epoch() / std::chrono::milliseconds(50);
    std::vector<std::string> ids = d.percent(70) ? m_families[static_cast<size_t>(moment) % m_families.size()] : d.one_of(m_families);
    d.shuffle(ids);
    return ids;
}

void world::fail(const std::string& report) {
    std::lock_guard lock(m_mutex);
    if (m_failures.size() < 5) m_failures.push_back(report);
    m_failed = true;
    m_stop = true;
}

std::vector<std::string> world::failures() const {
    std::lock_guard lock(m_mutex);
    return m_failures;
}

void world::saw_attempt(const std::string& worker, const attempt& a) {
    std::lock_guard lock(m_mutex);
    auto& attempts = m_attempts[worker];
    attempts.push_back(a);
    if (attempts.size() > remembered) attempts.pop_front();
}

std::vector<attempt> world::take_attempts(const std::string& worker, int up_to, dice& d) {
    std::lock_guard lock(m_mutex);
    auto& attempts = m_attempts[worker];
    std::vector<attempt> taken;
    for (int i = 0; i < up_to && !attempts.empty(); i++) {
        auto at = attempts.begin() + d.roll(0, static_cast<int>(attempts.size()) - 1);
        bool known = false;
        for (const attempt& t : taken) known = known || t.id == at->id;
        if (!known) taken.push_back(*at);
        if (known || d.percent(90)) attempts.erase(at);
    }
    return taken;
}

void world::remember(std::deque<std::string>& ids, const std::string& id) {
    if (id.empty()) return;
    std::lock_guard lock(m_mutex);
    ids.push_back(id);
    if (ids.size() > remembered) ids.pop_front();
}

std::optional<std::string> world::some(std::deque<std::string>& ids, dice& d) {
    std::lock_guard lock(m_mutex);
    if (ids.empty()) return std::nullopt;
    // Mostly young ones: the old ones have moved on.
    int last = static_cast<int>(ids.size()) - 1;
    return ids[static_cast<size_t>(d.percent(80) ? d.roll(std::max(0, last - 20), last) : d.roll(0, last))];
}

void world::set_backend(int index, int pid) {
    std::lock_guard lock(m_mutex);
    m_backends[index] = pid;
}

int world::some_backend(dice& d) {
    std::lock_guard lock(m_mutex);
    auto at = m_backends.find(d.roll(0, m_options.connections - 1));
    return at == m_backends.end() ? 0 : at->second;
}

void world::log(int index, const std::string& line, bool first) {
    std::lock_guard lock(m_log_mutex);
    auto& transactions = m_logs[index];
    if (first || transactions.empty()) transactions.emplace_back();
    if (transactions.size() > 3) transactions.pop_front();
    transactions.back().push_back(clock_text() + line);
}

std::string world::logs(int index) const {
    std::lock_guard lock(m_log_mutex);
    std::string text = "connection " + std::to_string(index) + ":\n";
    auto at = m_logs.find(index);
    if (at == m_logs.end()) return text;
    for (const auto& transaction : at->second) {
        text += "  --\n";
        for (const std::string& line : transaction) text += "  " + line + "\n";
    }
    return text;
}

std::string world::all_logs() const {
    std::string text;
    for (int i = 0; i < m_options.connections; i++) text += logs(i);
    return text;
}

}  // namespace adversary
