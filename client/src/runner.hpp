// Where a handler's thread runs its jobs: on itself, or in a child process that it has for itself.
#pragma once

#include "shared.hpp"

#include <memory>

namespace chancy::detail {

// What a queue's row, and the worker's options, say about it.
struct placement {
    bool in_children = false;
    int jobs_per_child = 100;  // then it is replaced; 0: never
    friend bool operator==(const placement&, const placement&) = default;
};

class runner {
public:
    virtual ~runner() = default;
    // How each of them ends, in their order.
    [[nodiscard]] virtual std::vector<ended> run(attempts of) = 0;
};

[[nodiscard]] std::unique_ptr<runner> make_runner(const placement& where, std::shared_ptr<const shared> with);
// child_runner.cpp
[[nodiscard]] std::unique_ptr<runner> make_child_runner(int jobs_per_child, std::shared_ptr<const shared> with);

}  // namespace chancy::detail
