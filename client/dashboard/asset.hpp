// The pages, as they are in assets/: client/cmake/assets.cmake makes the source.
#pragma once

#include <string_view>
#include <vector>

namespace chancy::dashboard {

struct asset {
    const char* path;  // /app.js
    const char* type;
    std::string_view text;
};

[[nodiscard]] const std::vector<asset>& assets();

}  // namespace chancy::dashboard
