#include "live.hpp"

#include <httplib.h>
#include <libpq-fe.h>

#include <poll.h>

namespace chancy::dashboard {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t remembered = 1000;
constexpr auto silence = 10s;  // after it a comment: so a browser that is gone is noticed

}  // namespace

live::~live() {
    stop();
    m_thread.join();
}

void live::stop() {
    const std::lock_guard lock(m_mutex);
    m_stopped = true;
    m_changed.notify_all();
}

void live::tell(std::string event) {
    const std::lock_guard lock(m_mutex);
    m_events.push_back(std::move(event));
    ++m_next;
    if (m_events.size() > remembered) m_events.pop_front();
    m_changed.notify_all();
}

void live::run() {
    PGconn* on = nullptr;
    const auto ended = [this] {
        const std::lock_guard lock(m_mutex);
        return m_stopped;
    };
    while (!ended()) {
        if (!on) {
            on = PQconnectdb(m_conninfo.c_str());
            PGresult* listening = PQexec(on, "LISTEN chancy_events");
            const bool yes = PQresultStatus(listening) == PGRES_COMMAND_OK;
            PQclear(listening);
            // What was missed meanwhile nobody knows: look at everything.
            if (yes) tell(R"({"t":"connected"})");
            else {
                PQfinish(on);
                on = nullptr;
                std::unique_lock lock(m_mutex);
                m_changed.wait_for(lock, 1s, [this] { return m_stopped; });
                continue;
            }
        }
        pollfd socket{PQsocket(on), POLLIN, 0};
        ::poll(&socket, 1, 200);
        const bool alive = PQconsumeInput(on) == 1;
        while (PGnotify* note = PQnotifies(on)) {
            std::string body = note->extra;
            PQfreemem(note);
            if (!body.empty() && body.find_first_of("\r\n") == std::string::npos) tell(std::move(body));  // anybody may NOTIFY anything
        }
        if (!alive) {
            PQfinish(on);
            on = nullptr;
        }
    }
    if (on) PQfinish(on);
}

bool live::stream(httplib::Response& response) {
    if (++m_listeners > m_most) {
        --m_listeners;
        return false;
    }
    std::uint64_t next;
    {
        const std::lock_guard lock(m_mutex);
        next = m_next;
    }
    response.set_chunked_content_provider(
        "text/event-stream",
        [this, next](std::size_t, httplib::DataSink& to) mutable {
            std::string text;
            {
                std::unique_lock lock(m_mutex);
                m_changed.wait_for(lock, silence, [&] { return m_stopped || m_next > next; });
                if (m_stopped) return false;
                next = std::max(next, m_next - m_events.size());
                for (; next < m_next; ++next) text += "data: " + m_events[m_events.size() - (m_next - next)] + "\n\n";
            }
            if (text.empty()) text = ": still there\n\n";
            return to.write(text.data(), text.size());
        },
        [this](bool) { --m_listeners; });
    return true;
}

}  // namespace chancy::dashboard
