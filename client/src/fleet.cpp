#include "fleet.hpp"

#include <algorithm>
#include <regex>

namespace chancy::detail {
namespace {

// Chancy's four executors, and where a handler in C++ runs instead.
struct known_executor {
    const char* name;
    bool in_children;
};
constexpr known_executor executors[] = {{"chancy.executors.process.ProcessExecutor", true},
                                        {"chancy.executors.thread.ThreadedExecutor", false},
                                        {"chancy.executors.asyncex.AsyncExecutor", false},
                                        {"chancy.executors.sub.SubInterpreterExecutor", false}};

}  // namespace

bool tags_match(const std::vector<std::string>& regexes, const std::vector<std::string>& tags,
                const std::function<void(const std::string&)>& complain) {
    for (const std::string& text : regexes) {
        if (text == ".*" && !tags.empty()) return true;
        try {
            const std::regex regex(text);
            for (const std::string& tag : tags)
                if (std::regex_search(tag, regex, std::regex_constants::match_continuous)) return true;
        } catch (const std::regex_error& e) {
            complain("the tag \"" + text + "\" is no regular expression: " + e.what());
        }
    }
    return false;
}

std::optional<placement> fleet::place(const queue& row) {
    const auto once = [&](log_level level, const std::string& what) {
        if (m_told.insert(what).second) m_shared->log(level, what);
    };
    const worker_options& o = m_shared->options;
    if (o.queues.empty()) {
        if (!tags_match(row.tags, m_shared->tags, [&](const std::string& what) { once(log_level::error, row.name + ": " + what); })) return std::nullopt;
    } else if (std::ranges::find(o.queues, row.name) == o.queues.end()) {
        return std::nullopt;
    }
    const auto own = o.by_queue.find(row.name);
    const executor wanted = own != o.by_queue.end() && own->second.run_on ? *own->second.run_on : o.run_on;
    placement where;
    if (wanted == executor::as_declared) {
        const auto known = std::ranges::find_if(executors, [&](const known_executor& e) { return row.executor == e.name; });
        if (known == std::end(executors)) {
            // Whoever declared it counts on something that we do not have: its jobs wait for a worker that does.
            std::string names;
            for (const known_executor& e : executors) names += std::string(names.empty() ? "" : ", ") + e.name;
            once(log_level::error, row.name + ": this worker does not serve the queue, since it does not know the executor \"" + row.executor +
                                       "\"; it knows " + names + ", and another one if its own options choose the executor");
            return std::nullopt;
        }
        where.in_children = known->in_children;
    } else {
        where.in_children = wanted == executor::processes;
    }
    for (const auto& [key, value] : row.executor_options.items()) {
        if (key == "maximum_jobs_per_worker" && value.is_number_integer() && value >= 0 && value <= 1'000'000'000)
            where.jobs_per_child = value.get<int>();
        else
            once(log_level::warning, row.name + ": the executor option \"" + key + "\": " + value.dump(-1, ' ', false, json::error_handler_t::replace) +
                                         " is not one of ours; passed over");
    }
    return where;
}

bool fleet::serve(const std::vector<queue>& rows) {
    const std::lock_guard lock(m_mutex);
    reap();
    if (m_stops > 0) return false;
    bool changed = false;
    std::set<std::string> served;
    for (const queue& row : rows) {
        const auto where = place(row);
        if (!where) continue;
        served.insert(row.name);
        const auto is = [&](const auto& f) { return f->queue_name() == row.name; };
        if (const auto found = std::ranges::find_if(m_flows, is); found != m_flows.end()) {
            (*found)->configure(row, *where);
            continue;
        }
        // The old one has to end first: a new one would take its jobs for those of a lost reply.
        if (std::ranges::any_of(m_leaving, is)) continue;
        const auto f = std::make_shared<flow>(row.name, m_shared);
        f->set_alive(m_alive);
        f->start(row, *where);
        m_flows.push_back(f);
        changed = true;
        m_shared->log(log_level::debug, row.name + ": serving the queue, " + (where->in_children ? "in child processes" : "on threads"));
    }
    for (const auto& f : m_flows)
        if (!served.contains(f->queue_name())) {
            m_shared->log(log_level::info, f->queue_name() + ": not served any more");
            f->stop();
            m_leaving.push_back(f);
            changed = true;
        }
    std::erase_if(m_flows, [&](const auto& f) { return !served.contains(f->queue_name()); });
    return changed;
}

void fleet::reap() {
    std::erase_if(m_leaving, [](const auto& f) {
        if (!f->has_ended()) return false;
        f->join();
        return true;
    });
}

bool fleet::leaving() const {
    const std::lock_guard lock(m_mutex);
    return !m_leaving.empty();
}

std::vector<std::string> fleet::queues() const {
    const std::lock_guard lock(m_mutex);
    std::vector<std::string> out;
    for (const auto& f : m_flows) out.push_back(f->queue_name());
    std::ranges::sort(out);
    return out;
}

fleet::flows fleet::all() const {
    const std::lock_guard lock(m_mutex);
    flows out = m_flows;
    out.insert(out.end(), m_leaving.begin(), m_leaving.end());
    return out;
}

void fleet::wake(const std::string& queue) {
    for (const auto& f : all())
        if (f->queue_name() == queue) f->wake();
}

void fleet::set_alive(bool alive) {
    {
        const std::lock_guard lock(m_mutex);
        m_alive = alive;
    }
    for (const auto& f : all()) f->set_alive(alive);
}

void fleet::drop(const attempt_name& which) {
    for (const auto& f : all()) f->drop(which);
}

std::vector<attempt_name> fleet::in_hand() const {
    std::vector<attempt_name> out;
    for (const auto& f : all()) {
        const auto more = f->in_hand();
        out.insert(out.end(), more.begin(), more.end());
    }
    return out;
}

void fleet::stop() {
    {
        const std::lock_guard lock(m_mutex);
        ++m_stops;
    }
    m_stopped.notify_all();
    for (const auto& f : all()) f->stop();
}

void fleet::join() {
    {
        std::unique_lock lock(m_mutex);
        m_stopped.wait(lock, [&] { return m_stops > 0; });
    }
    for (const auto& f : all()) f->join();  // no other one is started any more
}

}  // namespace chancy::detail
