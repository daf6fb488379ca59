#include <chancy/event.hpp>
#include <chancy/session.hpp>

#include "connection.hpp"
#include "event.hpp"
#include "statement.hpp"

#include <libpq-fe.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include <poll.h>

namespace chancy {

using clock = std::chrono::steady_clock;

std::vector<event> detail::collect_events(PGconn* connection) {
    std::vector<event> out;
    while (PGnotify* raw = PQnotifies(connection)) {
        const std::unique_ptr<PGnotify, decltype(&PQfreemem)> note(raw, PQfreemem);
        json body = json::parse(note->extra, nullptr, false);
        // Anybody may NOTIFY anything.
        const auto readable = [&](const char* key) { return !body.contains(key) || body[key].is_string(); };
        if (body.is_object() && std::ranges::all_of(std::array{"t", "q", "j", "s"}, readable)) out.push_back({std::move(body)});
    }
    return out;
}

struct listener::state {
    detail::connection connection;
};

listener::listener(const std::string& conninfo, client_options options)
    : m_state(new state{detail::connection(conninfo, options.connect_timeout)}) {
    PGconn* c = connection();
    const auto channels = detail::run(c, {"listen", "SELECT chancy.event_channel()"}, options.timeout);
    for (int row = 0; row < channels.rows(); ++row) {
        const std::string channel = channels.text(row, 0);
        const std::unique_ptr<char, decltype(&PQfreemem)> name(PQescapeIdentifier(c, channel.data(), channel.size()), PQfreemem);
        detail::run(c, {"listen", ("LISTEN " + std::string(name.get())).c_str()}, options.timeout);
    }
}
listener::listener(listener&&) noexcept = default;
listener& listener::operator=(listener&&) noexcept = default;
listener::~listener() = default;

PGconn* listener::connection() const noexcept { return m_state->connection.get(); }

std::vector<event> listener::wait(std::chrono::milliseconds timeout, int extra_fd) {
    PGconn* c = connection();
    const auto deadline = clock::now() + timeout;
    std::vector<event> out;
    for (;;) {
        if (!m_state->connection.alive())
            throw error("the connection that listens was lost", {.sqlstate = "08006", .function = "listen", .connection_lost = true});
        out = detail::collect_events(c);
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - clock::now());
        if (!out.empty() || left.count() <= 0) return out;
        pollfd p[] = {{PQsocket(c), POLLIN, 0}, {extra_fd, POLLIN, 0}};  // a negative fd is passed over
        if (::poll(p, 2, static_cast<int>(left.count())) > 0 && p[1].revents != 0) return out;
    }
}

std::optional<job> wait_for_job(client& db, listener& ear, const uuid& id, std::chrono::milliseconds timeout,
                                const std::function<void(const reported_progress&)>& on_progress) {
    using namespace std::chrono_literals;
    const auto deadline = clock::now() + timeout;
    auto watched_until = clock::now();
    timestamp reported{};
    for (;;) {
        // First ask for the event, then look: a job that ends in between is seen by one or the other.
        if (clock::now() + 5s > watched_until) {
            db.watch_jobs({&id, 1}, 60s);
            watched_until = clock::now() + 60s;
        }
        std::optional<job> found = db.get_job(id);
        if (on_progress && found) {
            const auto told = db.get_progress(id);
            if (told && told->reported_at != reported) {
                reported = told->reported_at;
                on_progress(*told);
            }
        }
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - clock::now());
        if (!found || found->finished() || left.count() <= 0) return found;
        const auto look_again = clock::now() + std::min<std::chrono::milliseconds>(left, 1s);
        for (bool told = false; !told && clock::now() < look_again;)
            for (const event& e : ear.wait(std::chrono::ceil<std::chrono::milliseconds>(look_again - clock::now())))
                told = told || ((e.type() == "job.finished" || (on_progress && e.type() == "job.progress")) &&
                                e.body.value("j", "") == id.to_string());
    }
}

std::vector<job> wait_for_jobs(client& db, listener& ear, std::span<const uuid> ids, std::chrono::milliseconds timeout) {
    using namespace std::chrono_literals;
    const auto deadline = clock::now() + timeout;
    const auto list = [](const std::set<uuid>& of) { return std::vector<uuid>(of.begin(), of.end()); };
    std::map<uuid, job> found;
    std::set<uuid> left(ids.begin(), ids.end()), look;
    auto watched_until = clock::now(), look_at_all = clock::now();
    std::chrono::milliseconds pause = 1s;
    for (bool last = false;; last = clock::now() >= deadline) {
        if (!last && clock::now() + 20s > watched_until) {
            db.watch_jobs(list(left), 60s);
            watched_until = clock::now() + 60s;
            look_at_all = clock::now();
        }
        if (last || clock::now() >= look_at_all) {
            look = left;
            look_at_all = clock::now() + pause;
            pause = std::min<std::chrono::milliseconds>(2 * pause, 10s);
        }
        if (!look.empty()) {
            std::set<uuid> missing = look;
            for (job& j : db.get_jobs(list(look))) {
                missing.erase(j.id);
                if (j.finished()) left.erase(j.id);
                found.insert_or_assign(j.id, std::move(j));
            }
            for (const uuid& id : missing) left.erase(id), found.erase(id);
            look.clear();
        }
        if (left.empty() || last) break;
        const auto until = std::min(deadline, look_at_all);
        for (const event& e : ear.wait(std::max(0ms, std::chrono::ceil<std::chrono::milliseconds>(until - clock::now()))))
            if (const auto id = e.type() == "job.finished" ? uuid::parse(e.body.value("j", "")) : std::nullopt; id && left.contains(*id)) look.insert(*id);
    }
    std::vector<job> out;
    for (const uuid& id : ids)
        if (const auto j = found.find(id); j != found.end()) out.push_back(j->second);
    return out;
}

}  // namespace chancy
