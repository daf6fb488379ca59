// What a connection that listens has heard.
#pragma once

#include <chancy/event.hpp>

#include <vector>

namespace chancy::detail {

// Those that have come in; nothing is read.
[[nodiscard]] std::vector<event> collect_events(PGconn* connection);

}  // namespace chancy::detail
