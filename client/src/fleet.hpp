// The queues that a worker serves, and a flow for each: those that its options name, or all declared ones whose tags match.
#pragma once

#include "flow.hpp"

#include <set>

namespace chancy::detail {

class fleet {
public:
    explicit fleet(std::shared_ptr<const shared> with) : m_shared(std::move(with)) {}

    // The queues as the database has them now: flows are started, changed and retired. True if others are served than before.
    bool serve(const std::vector<queue>& rows);
    [[nodiscard]] bool leaving() const;  // a flow is being retired: call serve again soon
    [[nodiscard]] std::vector<std::string> queues() const;

    void wake(const std::string& queue);
    void set_alive(bool alive);
    void drop(const attempt_name& which);
    [[nodiscard]] std::vector<attempt_name> in_hand() const;

    void stop();  // drain; again: now
    void join();  // waits for stop(), and then for all flows

private:
    using flows = std::vector<std::shared_ptr<flow>>;
    [[nodiscard]] std::optional<placement> place(const queue& row);  // nothing: not to be served
    void reap();
    [[nodiscard]] flows all() const;

    const std::shared_ptr<const shared> m_shared;
    mutable std::mutex m_mutex;
    std::condition_variable m_stopped;
    flows m_flows, m_leaving;
    bool m_alive = false;
    int m_stops = 0;
    std::set<std::string> m_told;  // complaints, each once
};

// Does one of these regexes match one of these tags, at its start? As Chancy's workers see it.
[[nodiscard]] bool tags_match(const std::vector<std::string>& regexes, const std::vector<std::string>& tags,
                              const std::function<void(const std::string&)>& complain);

}  // namespace chancy::detail
