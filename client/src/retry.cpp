#include <chancy/retry.hpp>

#include <algorithm>
#include <random>

namespace chancy {

std::chrono::milliseconds backoff::next() {
    thread_local std::minstd_rand random{std::random_device{}()};
    const auto whole = std::max<long long>(m_pause.count(), 1);
    m_pause = std::min(m_pause * 2, m_policy.limit);
    return std::chrono::milliseconds(std::uniform_int_distribution<long long>((whole + 1) / 2, whole)(random));
}

}  // namespace chancy
