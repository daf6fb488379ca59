// Arrays as binary parameters: one element for each job, or one for all when they are all the same.
#pragma once

#include <chancy/calls.hpp>

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace chancy::detail {

enum class element : unsigned { text = 25, jsonb = 3802, integer = 23, timestamptz = 1184, interval = 1186, uuid = 2950 };

[[nodiscard]] std::string binary(int number);
[[nodiscard]] std::string binary(const uuid& id);
[[nodiscard]] std::string binary(timestamp time);
[[nodiscard]] std::string binary(std::chrono::milliseconds span);
[[nodiscard]] std::string binary_json(const json& document);

// The array of at(0) to at(count - 1). Unless it has to be whole: NULL when all of them are, a single element when all are equal.
[[nodiscard]] parameter binary_array(element type, std::size_t count, const std::function<parameter(std::size_t)>& at, bool whole = false);
// Has it more than one element?
[[nodiscard]] bool is_whole(const parameter& array);

}  // namespace chancy::detail
