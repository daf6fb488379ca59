#include "runner.hpp"

#include "watchdog.hpp"

#include <deque>

namespace chancy::detail {
namespace {

class thread_runner : public runner {
public:
    explicit thread_runner(std::shared_ptr<const shared> with) : m_shared(std::move(with)) {}

    std::vector<ended> run(attempts of) override {
        std::deque<watchdog::watch> watched;
        for (attempt* a : of)
            if (a->deadline) watched.emplace_back(*m_shared->dog, *a);
        return run_handler(m_shared->known, of, [](const std::function<void()>& call) { call(); });
    }

private:
    const std::shared_ptr<const shared> m_shared;
};

}  // namespace

std::unique_ptr<runner> make_runner(const placement& where, std::shared_ptr<const shared> with) {
    if (where.in_children) return make_child_runner(where.jobs_per_child, std::move(with));
    return std::make_unique<thread_runner>(std::move(with));
}

}  // namespace chancy::detail
