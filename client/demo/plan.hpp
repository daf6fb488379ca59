// Who pushes what, in which order: the same plan for chancy and for the plain statements.
#pragma once

#include <string>
#include <vector>

namespace demo {

inline constexpr int producers = 4;
inline constexpr std::size_t block_size = 64;  // packages that all producers push at about the same time
inline constexpr std::size_t batch_size = 16;  // packages in one push

using batch = std::vector<std::string>;

struct block {
    std::vector<batch> batches[producers];  // each producer's own shuffle of the block's packages
};

[[nodiscard]] std::vector<block> make_plan(std::vector<std::string> packages);

}  // namespace demo
