#include <chancy/event.hpp>
#include <chancy/session.hpp>

#include "connection.hpp"
#include "event.hpp"
#include "statement.hpp"

#include <libpq-fe.h>

#include <poll.h>

namespace chancy {

using clock = std::chrono::steady_clock;

std::vector<event> detail::collect_events(PGconn* connection) {
    std::vector<event> out;
    while (PGnotify* raw = PQnotifies(connection)) {
        const std::unique_ptr<PGnotify, decltype(&PQfreemem)> note(raw, PQfreemem);
        json body = json::parse(note->extra, nullptr, false);
        if (body.is_object()) out.push_back({std::move(body)});  // anybody may NOTIFY anything
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

}  // namespace chancy
