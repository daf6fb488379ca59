// Random choices; each connection has its own dice, made from the run's seed, the round and its index.
#pragma once

#include <cstdint>
#include <random>
#include <utility>
#include <vector>

namespace adversary {

class dice {
public:
    dice(uint64_t seed, int round, int index) {
        std::seed_seq words{static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32), static_cast<uint32_t>(round),
                            static_cast<uint32_t>(index)};
        m_engine.seed(words);
    }
    // From low to high, both included.
    int roll(int low, int high) { return std::uniform_int_distribution<int>(low, high)(m_engine); }
    bool percent(int chance) { return roll(1, 100) <= chance; }
    // The number of a weight, chosen in proportion.
    size_t weighted(const std::vector<int>& weights) {
        return std::discrete_distribution<size_t>(weights.begin(), weights.end())(m_engine);
    }
    template <typename T>
    const T& one_of(const std::vector<T>& values) {
        return values[static_cast<size_t>(roll(0, static_cast<int>(values.size()) - 1))];
    }
    template <typename T>
    void shuffle(std::vector<T>& values) {
        for (size_t i = values.size(); i > 1; i--) std::swap(values[i - 1], values[static_cast<size_t>(roll(0, static_cast<int>(i) - 1))]);
    }

private:
    std::mt19937_64 m_engine;
};

}  // namespace adversary
