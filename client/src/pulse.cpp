#include "pulse.hpp"

#include <chancy/error.hpp>
#include <chancy/session.hpp>

#include <algorithm>

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace chancy::detail {

using namespace std::chrono_literals;

// Everything must fit, with room to spare, between a heartbeat and two thirds of the time it is good for: there the
// handlers are stopped, to have the last third for it.
pulse::pulse(std::shared_ptr<const shared> with, fleet& queues)
    : m_shared(std::move(with)), m_fleet(queues),
      m_interval(std::min(m_shared->options.heartbeat_interval, m_shared->options.heartbeat_timeout / 3)),
      m_patience(std::clamp<std::chrono::milliseconds>(m_shared->options.heartbeat_timeout / 9, 100ms, 10s)),
      m_wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      m_expiry(*m_shared->term, [this](bool alive) {
          if (!alive) expired();
          m_fleet.set_alive(alive);
      }) {
    // The first one anywhere within the interval: workers that were started together spread.
    const auto every = m_shared->options.maintain_interval;
    m_next_maintenance = every == 0ms ? clock::time_point::max() : clock::now() + every * (std::rand() % 101) / 100;
}

pulse::~pulse() { ::close(m_wake); }

void pulse::start() { m_thread = std::thread([this] { thread(); }); }

void pulse::stop() {
    m_stop = true;
    ::eventfd_write(m_wake, 1);
    m_thread.join();
}

void pulse::thread() {
    backoff again({.first = 50ms, .limit = std::clamp<std::chrono::milliseconds>(m_interval / 4, 50ms, 5s)});
    while (!m_stop) {
        try {
            if (!m_ear && !m_client) open();
            if (clock::now() >= m_next_queues) read_queues();
            if (clock::now() >= m_next_beat) beat();
            again.reset();
            if (clock::now() >= m_next_cancelled) drop_cancelled_jobs();
            if (clock::now() >= m_next_maintenance) maintain();
            wait(std::min({m_next_beat, m_next_maintenance, m_next_queues, m_next_cancelled}));
        } catch (const std::exception& e) {
            m_shared->log(log_level::warning, std::string("heartbeat: ") + e.what() + "; trying again");
            *m_shared->announced = false;
            m_ear.reset();
            m_client.reset();
            pollfd p{m_wake, POLLIN, 0};
            ::poll(&p, 1, static_cast<int>(again.next().count()));
        }
        if (!m_beat_now.exchange(false)) continue;
        eventfd_t woken;
        ::eventfd_read(m_wake, &woken);
        if (m_stop) ::eventfd_write(m_wake, 1);
        m_next_beat = clock::now();
    }
    retire();
}

void pulse::open() {
    const worker_options& o = m_shared->options;
    const client_options patience{.retry = {.total = 0ms}, .timeout = m_patience, .connect_timeout = m_patience};
    if (o.listen) m_ear.emplace(o.listen_conninfo.empty() ? o.conninfo : o.listen_conninfo, patience);
    else m_client.emplace(o.conninfo, patience);
    m_next_beat = clock::now();  // a server that crashed has forgotten its workers
    m_next_queues = m_next_beat;    // what was announced meanwhile, nobody heard: look at all queues
}

PGconn* pulse::connection() { return m_ear ? m_ear->connection() : m_client->connection(); }

// Read when an event tells of a change, and every 10 s, since others may write the rows without telling.
void pulse::read_queues() {
    const worker_options& o = m_shared->options;
    session db(connection(), m_patience);
    std::vector<queue> rows = db.list_queues();
    for (const std::string& name : o.queues) {
        if (!m_declared.insert(name).second || !o.declare_queues) continue;
        if (std::ranges::any_of(rows, [&](const queue& q) { return q.name == name; })) continue;
        try {
            rows.push_back(db.declare_queue({.name = name}));
        } catch (const error& e) {
            if (e.sqlstate() != "42501") {
                m_declared.erase(name);
                throw;
            }
            m_shared->log(log_level::warning, name + ": may not declare the queue: " + e.what());
        }
    }
    if (m_fleet.serve(rows)) m_next_beat = clock::now();  // it tells which queues are served
    const auto every = m_fleet.leaving() ? 500ms : 10s;
    m_next_queues = clock::now() + every * 9 / 10 + every * (std::rand() % 21) / 100;
}

void pulse::beat() {
    const worker_options& o = m_shared->options;
    const auto sent = clock::now();
    const auto good_from = boot_clock::now();  // the server counts from later: we are on the safe side
    session(connection(), m_patience).heartbeat(o.worker_id, m_shared->tags, m_fleet.queues(), o.heartbeat_timeout);
    m_next_beat = sent + m_interval * 9 / 10 + m_interval * (std::rand() % 11) / 100;
    m_expiry.renew(good_from + o.heartbeat_timeout * 2 / 3);
    *m_shared->announced = true;
    drop_lost_jobs();
}

// An attempt that we had before asking, and that the server does not count as ours, was cancelled or taken from us: its handler works in
// vain. Events tell of a cancel at once, and may be missed, or nobody listens. They name the job only, which may have been retried and be
// here again since: so the server is asked, and attempts are compared.
void pulse::drop_lost_jobs() {
    const std::vector<attempt_name> before = m_fleet.in_hand();
    if (before.empty()) return;
    std::set<attempt_name> ours;
    for (const job& j : session(connection(), m_patience).running_jobs(m_shared->options.worker_id)) ours.emplace(j.id, j.started_at.value());
    for (const attempt_name& one : before)
        if (!ours.contains(one)) m_fleet.drop(one);
}

// A transaction of its own. It may take until the next heartbeat is due; then the connection is given up, and the
// server finishes it alone.
void pulse::maintain() {
    const auto every = m_shared->options.maintain_interval;
    m_next_maintenance = clock::now() + every * 9 / 10 + every * (std::rand() % 21) / 100;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(m_next_beat - clock::now());
    try {
        for (const task_run& run : session(connection(), std::max(m_patience, left)).maintain())
            m_shared->log(log_level::debug, "maintenance: " + run.task + ' ' + run.did.dump());
        // Sooner, if a task is due sooner: the pruner has not done, say.
        if (const auto due = session(m_ear ? m_ear->connection() : m_client->connection(), m_patience).next_maintenance())
            m_next_maintenance = std::min(m_next_maintenance, clock::now() + std::max<std::chrono::milliseconds>(*due, 10ms));
        m_maintenance_trouble.clear();
    } catch (const error& e) {
        if (e.connection_lost()) throw;
        // A role that may not is told so once, not every time.
        if (m_maintenance_trouble != e.what()) m_shared->log(log_level::warning, std::string("maintenance: ") + e.what());
        m_maintenance_trouble = e.what();
    }
}

void pulse::wait(clock::time_point until) {
    const auto span = std::max(0ms, std::chrono::ceil<std::chrono::milliseconds>(until - clock::now()));
    if (m_ear) {
        for (const event& e : m_ear->wait(span, m_wake)) hear(e);
    } else {
        pollfd p{m_wake, POLLIN, 0};
        ::poll(&p, 1, static_cast<int>(span.count()));
    }
}

// A job that is not here may be on its way: the event of its cancel can come before the reply to its fetch.
void pulse::drop_cancelled_jobs() {
    const auto now = clock::now();
    bool here = false;
    for (const attempt_name& one : m_fleet.in_hand()) here = m_cancelled.erase(one.first) > 0 || here;
    std::erase_if(m_cancelled, [&](const auto& one) { return one.second < now - 5s; });
    m_next_cancelled = m_cancelled.empty() ? clock::time_point::max() : now + 1s;
    if (here) drop_lost_jobs();
}

void pulse::hear(const event& e) {
    const std::string type = e.type();
    if (type == "job.cancelled") {
        if (const auto id = uuid::parse(e.body.value("j", ""))) m_cancelled.insert_or_assign(*id, m_next_cancelled = clock::now());
    } else if (type == "queue.pushed") {
        m_fleet.wake(e.body.value("q", ""));
    } else if (type.starts_with("queue.")) {
        m_next_queues = clock::now();
    }
}

// On the thread of m_expiry.
void pulse::expired() {
    *m_shared->announced = false;
    m_shared->log(log_level::error, "the heartbeat could not be renewed: handlers are stopped before others run their jobs");
    if (m_stop) return;
    m_beat_now = true;  // the machine may have slept, and the next beat be far away
    ::eventfd_write(m_wake, 1);
}

void pulse::retire() {
    *m_shared->announced = false;
    try {
        if (!m_ear && !m_client) open();
        session(connection(), m_patience).retire_worker(m_shared->options.worker_id);
    } catch (const std::exception& e) {
        m_shared->log(log_level::warning, std::string("retire: ") + e.what());
    }
    m_ear.reset();
    m_client.reset();
}

}  // namespace chancy::detail
