// What a worker tells Prometheus: what it has done, and whether it is well. /metrics, /healthz and /readyz, by HTTP, for whoever
// reaches the address: no payload is in them.
#pragma once

#include <chancy/middleware.hpp>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace chancy::cli {

class scrape {
public:
    // Listens at [ADDRESS:]PORT (127.0.0.1 without one; port 0: any free one), and answers from threads of its own: make it after
    // fork_children and stop_on_signals. funcs: those that have a command; no other one becomes a label, since anybody may push any.
    // CLI::ValidationError, or std::runtime_error if it cannot listen.
    scrape(const std::string& address, const std::string& worker_id, const std::vector<std::string>& funcs, std::function<bool()> ready);
    ~scrape();
    scrape(const scrape&) = delete;
    scrape& operator=(const scrape&) = delete;

    [[nodiscard]] const std::string& url() const;
    [[nodiscard]] std::shared_ptr<middleware> counting();  // what counts: for worker.use

private:
    struct state;
    std::unique_ptr<state> m_state;
};

}  // namespace chancy::cli
