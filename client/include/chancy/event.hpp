// chancy::listener: what happens in the queue, as it happens. A hint to look, never the truth: events are lost
// while nobody listens, so look once after connecting, and slowly beside it.
//
//     chancy::listener ear;
//     for (auto& e : ear.wait(5s))
//         if (e.type() == "queue.pushed") std::cout << e.body.at("q");
//
//     std::optional<chancy::job> done = chancy::wait_for_job(db, ear, id, 1min);   // nullopt: no such job
//
// LISTEN needs a direct connection: through PgBouncer in transaction mode nothing arrives.
// Threads: one at a time.
#pragma once

#include <chancy/client.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace chancy {

struct event {
    json body;  // an object with "t"; "q" is a queue, "j" a job's id, "s" its state
    [[nodiscard]] std::string type() const { return body.value("t", ""); }
};

class listener {
public:
    // Connects and listens on the channel that chancy.event_channel() names.
    explicit listener(const std::string& conninfo = "", client_options options = {});
    listener(listener&&) noexcept;
    listener& operator=(listener&&) noexcept;
    ~listener();

    // Waits for events until the timeout, or until extra_fd (a pipe or eventfd of yours) can be read.
    // error (connection_lost) when the connection is gone: make a new listener, and look.
    [[nodiscard]] std::vector<event> wait(std::chrono::milliseconds timeout, int extra_fd = -1);

    // The connection underneath: a session may make calls on it between waits.
    [[nodiscard]] PGconn* connection() const noexcept;

private:
    struct state;
    std::unique_ptr<state> m_state;
};

// Waits until the job has finished, or the timeout: the job as it is then; nullopt if there is no such job.
// on_progress is called with what its handler reports meanwhile: the last word each time, and what was told before at first.
[[nodiscard]] std::optional<job> wait_for_job(client& db, listener& ear, const uuid& id, std::chrono::milliseconds timeout,
                                              const std::function<void(const reported_progress&)>& on_progress = {});
// The same of up to 100,000 jobs, until all of them have finished: in the order of ids, missing ones left out. It asks for those that events
// name, and for all that are left now and then.
[[nodiscard]] std::vector<job> wait_for_jobs(client& db, listener& ear, std::span<const uuid> ids, std::chrono::milliseconds timeout);

}  // namespace chancy
