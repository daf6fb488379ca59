#include "plan.hpp"

#include <algorithm>
#include <random>

namespace demo {

std::vector<block> make_plan(std::vector<std::string> packages) {
    std::mt19937 random(std::random_device{}());
    std::ranges::shuffle(packages, random);
    std::vector<block> plan;
    for (std::size_t at = 0; at < packages.size(); at += block_size) {
        std::vector<std::string> names(packages.begin() + static_cast<std::ptrdiff_t>(at),
                                       packages.begin() + static_cast<std::ptrdiff_t>(std::min(at + block_size, packages.size())));
        block& b = plan.emplace_back();
        for (auto& batches : b.batches) {
            std::ranges::shuffle(names, random);
            for (std::size_t i = 0; i < names.size(); ++i) {
                if (i % batch_size == 0) batches.emplace_back();
                batches.back().push_back(names[i]);
            }
        }
    }
    return plan;
}

}  // namespace demo
