// top: the queue as it is now, drawn again and again. A thread asks the server; this one reads keys and draws, however slow the
// server is.
#include "cli.hpp"
#include "screen.hpp"

#include <libpq-fe.h>

#include <algorithm>
#include <csignal>
#include <condition_variable>
#include <iostream>
#include <mutex>
#include <thread>

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

namespace chancy::cli {
namespace {

using namespace std::chrono_literals;
using clock = std::chrono::steady_clock;

struct options {
    std::string interval = "2s";
    bool once = false;
};

struct snapshot {
    timestamp at{};
    std::vector<queue_stats> queues;
    std::vector<worker_row> workers;
    std::vector<job> errors;      // jobs that failed, the newest first
    bool errors_known = false;    // looked for in time
    std::string trouble;          // why the rest is older than at
};

// ---- asking

// Failed jobs stand among all the others of the history, and nobody keeps count of them: the look for them may take this long,
// and is taken more and more seldom while that does not do.
class error_look {
public:
    void take(client& db, snapshot& into) {
        if (clock::now() < m_next) return;
        try {
            transaction tx(db);
            PQclear(PQexec(tx.connection(), "SET LOCAL statement_timeout = 200"));
            into.errors = tx.list_jobs({.state = job_state::failed, .up_to = 5});
            into.errors_known = true;
            m_pause = 5s;
        } catch (const error& e) {
            if (e.sqlstate() != "57014") throw;
            into.errors_known = false;
            m_pause = std::min<std::chrono::seconds>(2 * m_pause, 300s);
        }
        m_next = clock::now() + m_pause;
    }

private:
    clock::time_point m_next{};
    std::chrono::seconds m_pause{5};
};

void ask(client& db, error_look& errors, snapshot& into) {
    into.queues = db.queue_stats();
    into.workers = db.list_workers();
    errors.take(db, into);
    into.at = now();
    into.trouble.clear();
    const auto due = [](const queue_stats& q) { return q.pending + q.retrying - q.scheduled; };
    std::ranges::stable_sort(into.queues, [&](const queue_stats& a, const queue_stats& b) { return due(a) > due(b); });
}

// Asks every interval, and at most a fifth of the time.
class asker {
public:
    asker(const context& with, std::chrono::milliseconds interval) : told(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)), m_thread([this, &with, interval] { run(with, interval); }) {}
    ~asker() {
        std::unique_lock lock(m_mutex);
        m_stop = true;
        m_wake.notify_all();
        // Nobody waits for a server that does not answer: what is left, the kernel clears up.
        if (!m_wake.wait_for(lock, 300ms, [this] { return m_ended; })) ::_exit(ok);
        lock.unlock();
        m_thread.join();
        ::close(told);
    }
    [[nodiscard]] snapshot latest() {
        const std::lock_guard lock(m_mutex);
        return m_latest;
    }
    void refresh() { with_lock([this] { m_now = true; }); }
    void toggle(const queue_stats& q) { with_lock([&] { m_toggle = q; m_now = true; }); }

    const int told;  // an eventfd: there is another snapshot

private:
    template <class F>
    void with_lock(F change) {
        {
            const std::lock_guard lock(m_mutex);
            change();
        }
        m_wake.notify_all();
    }
    void run(const context& with, std::chrono::milliseconds interval) {
        std::optional<client> db;
        error_look errors;
        snapshot mine;
        std::unique_lock lock(m_mutex);
        while (!m_stop) {
            const auto toggle = std::exchange(m_toggle, {});
            m_now = false;
            lock.unlock();
            const auto begin = clock::now();
            try {
                if (!db) db.emplace(with.conninfo, client_options{.retry = {.total = 0ms}, .timeout = 30s});
                if (toggle) (void)(toggle->state == "paused" ? db->resume_queue(toggle->queue) : db->pause_queue(toggle->queue));
                ask(*db, errors, mine);
            } catch (const std::exception& e) {
                mine.trouble = e.what();
            }
            const auto took = clock::now() - begin;
            lock.lock();
            m_latest = mine;
            ::eventfd_write(told, 1);
            m_wake.wait_for(lock, std::max<clock::duration>(interval, 4 * took), [this] { return m_stop || m_now; });
        }
        m_ended = true;
        m_wake.notify_all();
    }

    std::mutex m_mutex;
    std::condition_variable m_wake;
    snapshot m_latest;
    std::optional<queue_stats> m_toggle;
    bool m_now = false, m_stop = false, m_ended = false;
    std::thread m_thread;
};

// ---- showing

std::string last_error_line(const job& j) {
    return j.errors.empty() ? "" : std::string(error_line(j.errors.back().value("traceback", "")));
}

std::vector<screen::line> lines_of(const snapshot& s, const std::string& chosen) {
    std::vector<screen::line> out;
    const auto add = [&](const table& t, const auto& names) {
        std::size_t i = 0;
        for (const std::string& text : t.lines()) {
            out.push_back({text, i == 0, i > 0 && !chosen.empty() && names(i - 1) == chosen});
            ++i;
        }
    };
    const auto unnamed = [](std::size_t) { return std::string(); };
    const auto seconds = [](const std::optional<double>& time) { return time ? span(*time) : ""; };
    table queues({"queue", "state", "waiting", "retrying", "scheduled", "running", "oldest", "in/s", "out/s", "waited", "ran", "workers"});
    for (const queue_stats& q : s.queues)
        queues.add({harmless(q.queue), q.state.value_or("undeclared"), std::to_string(q.pending + q.retrying - q.scheduled), std::to_string(q.retrying),
                    std::to_string(q.scheduled), std::to_string(q.running), seconds(q.oldest_waiting), decimal(q.pushed_per_second),
                    decimal(q.finished_per_second), seconds(q.average_waiting), seconds(q.average_running), std::to_string(q.workers)});
    add(queues, [&](std::size_t i) { return s.queues[i].queue; });
    if (!s.workers.empty()) {
        out.push_back({});
        table workers({"worker", "queues", "last seen", "expires"});
        for (const worker_row& w : s.workers) workers.add({harmless(w.worker_id), harmless(join(w.queues)), relative(w.last_seen), relative(w.expires_at)});
        add(workers, unnamed);
    }
    out.push_back({});
    if (!s.errors_known) out.push_back({"failed jobs: not found in time among the others (chancy job list --state failed)"});
    if (!s.errors_known || s.errors.empty()) return out;
    table errors({"failed", "queue", "func", "job", "error"});
    for (const job& j : s.errors) errors.add({relative(j.completed_at), harmless(j.queue), harmless(j.func), j.id.to_string(), harmless(last_error_line(j))});
    add(errors, unnamed);
    return out;
}

json to_json(const snapshot& s) {
    json errors = json::array();
    for (const job& j : s.errors)
        errors.push_back({{"id", j.id.to_string()}, {"queue", j.queue}, {"func", j.func}, {"completed_at", j.completed_at ? json(to_string(*j.completed_at)) : json()},
                          {"error", last_error_line(j)}});
    return {{"at", to_string(s.at)}, {"queues", s.queues}, {"workers", s.workers}, {"errors", s.errors_known ? errors : json()}};
}

int once(const context& with, bool again, std::chrono::milliseconds interval) {
    client db = with.connect();
    error_look errors;
    for (snapshot s;;) {
        ask(db, errors, s);
        if (with.json) print_json(to_json(s));
        else for (const screen::line& l : lines_of(s, "")) std::cout << l.text << '\n';
        std::cout.flush();
        if (!again || !std::cout) return ok;
        std::this_thread::sleep_for(interval);
    }
}

// The state of what is on the screen.
class view {
public:
    explicit view(asker& of) : m_asker(of) {}

    void draw(screen& on) {
        m_now = m_asker.latest();
        if (!m_now.queues.empty() && std::ranges::find(m_now.queues, m_chosen, &queue_stats::queue) == m_now.queues.end()) m_chosen = m_now.queues[0].queue;
        std::vector<screen::line> lines = lines_of(m_now, m_chosen);
        const std::string asked = m_now.at == timestamp{} ? "asking …" : to_string(m_now.at).substr(11, 8) + " UTC";
        lines.insert(lines.begin(), {{"chancy top  " + asked + "  " + std::to_string(m_now.queues.size()) + " queues, " + std::to_string(m_now.workers.size()) + " workers", true, false}, {}});
        std::string foot = "q quit   j k choose   p pause or resume   space now";
        if (!m_now.trouble.empty()) foot = "trying again: " + harmless(m_now.trouble);
        if (m_asking) foot = (chosen()->state == "paused" ? "resume " : "pause ") + harmless(m_chosen) + "?  y: yes, any other key: no";
        lines.push_back({foot, true, false});
        on.draw(lines);
    }
    bool handle(screen::key k) {  // false: the end
        if (m_asking) {
            m_asking = false;
            if (k == screen::key::yes && chosen()) m_asker.toggle(*chosen());
            return k != screen::key::quit;
        }
        switch (k) {
            case screen::key::quit: return false;
            case screen::key::up: choose(-1); break;
            case screen::key::down: choose(1); break;
            case screen::key::pause: m_asking = chosen() && chosen()->state; break;  // one that is not declared cannot be
            case screen::key::refresh: m_asker.refresh(); break;
            default: break;
        }
        return true;
    }

private:
    const queue_stats* chosen() const {
        const auto found = std::ranges::find(m_now.queues, m_chosen, &queue_stats::queue);
        return found == m_now.queues.end() ? nullptr : &*found;
    }
    void choose(std::ptrdiff_t step) {
        if (!chosen()) return;
        const std::ptrdiff_t at = chosen() - m_now.queues.data() + step;
        if (at >= 0 && at < std::ssize(m_now.queues)) m_chosen = m_now.queues[static_cast<std::size_t>(at)].queue;
    }

    asker& m_asker;
    snapshot m_now;
    std::string m_chosen;
    bool m_asking = false;
};

int live(const context& with, std::chrono::milliseconds interval) {
    sigset_t signals;
    ::sigemptyset(&signals);
    for (const int s : {SIGINT, SIGTERM, SIGHUP, SIGWINCH, SIGTSTP}) ::sigaddset(&signals, s);
    ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    const int signal_fd = ::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    (void)with.connect();  // a wrong connection string is told before the screen is taken
    asker of(with, interval);
    view shown(of);
    screen on;
    for (;;) {
        shown.draw(on);
        pollfd p[] = {{STDIN_FILENO, POLLIN, 0}, {signal_fd, POLLIN, 0}, {of.told, POLLIN, 0}};
        ::poll(p, 3, 1000);  // ages go on
        eventfd_t count;
        if (p[2].revents) ::eventfd_read(of.told, &count);
        for (signalfd_siginfo s; ::read(signal_fd, &s, sizeof s) == sizeof s;) {
            if (s.ssi_signo == SIGTSTP) on.suspend();
            else if (s.ssi_signo != SIGWINCH) return ok;
        }
        if (p[0].revents & (POLLHUP | POLLERR)) return ok;
        for (screen::key k; (k = on.read_key()) != screen::key::none;)
            if (!shown.handle(k)) return ok;
    }
}

}  // namespace

void add_top(CLI::App& app, context& with) {
    auto o = std::make_shared<options>();
    CLI::App* c = app.add_subcommand("top", "Queues, workers and failed jobs as they are now, again and again");
    c->fallthrough();
    c->add_option("--interval", o->interval, "How often to ask, at least 100ms; a slow server is asked less often")->capture_default_str();
    c->add_flag("--once", o->once, "Print it once, and end; so it is without a terminal too");
    c->footer(R"(Keys: q quits, j and k (or the arrows) choose a queue, p pauses or resumes it, after a question, space asks at once.
Rates and times are those of the last one to two minutes. The last jobs that failed are looked for 200 ms at most.
--json prints an object a line, again and again unless --once is given.

Examples:
  chancy top
  chancy top --once --json | jq '.queues[] | {queue, oldest_waiting}')");
    c->callback([o, &with] {
        with.command = [o, &with] {
            const auto interval = read_duration(o->interval);
            if (interval < 100ms) throw CLI::ValidationError("--interval wants at least 100ms");
            if (with.json) return once(with, !o->once, interval);
            if (o->once || !::isatty(STDIN_FILENO) || !::isatty(STDOUT_FILENO)) return once(with, false, interval);
            return live(with, interval);
        };
    });
}

}  // namespace chancy::cli
