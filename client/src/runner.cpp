#include "runner.hpp"

#include "watchdog.hpp"

namespace chancy::detail {
namespace {

class thread_runner : public runner {
public:
    explicit thread_runner(std::shared_ptr<const shared> with) : m_shared(std::move(with)) {}

    ended run(attempt& of, reports* to) override {
        if (!of.deadline) return run_handler(m_shared->known, of, to);
        const watchdog::watch watched(*m_shared->dog, of);
        return run_handler(m_shared->known, of, to);
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
