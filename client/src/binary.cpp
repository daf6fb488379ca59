#include "binary.hpp"

#include <chancy/error.hpp>

#include "statement.hpp"

#include <algorithm>
#include <cstdint>

namespace chancy::detail {
namespace {

constexpr std::chrono::microseconds epoch_2000 = std::chrono::sys_days{std::chrono::January / 1 / 2000}.time_since_epoch();

void put(std::string& data, std::uint64_t number, int bytes) {
    for (int shift = (bytes - 1) * 8; shift >= 0; shift -= 8) data += static_cast<char>(number >> shift);
}

void put(std::string& data, const parameter& element) {
    put(data, element ? element->size() : 0xffffffff, 4);
    if (element) data += *element;
}

}  // namespace

std::string binary(int number) {
    std::string data;
    put(data, static_cast<std::uint32_t>(number), 4);
    return data;
}

std::string binary(const uuid& id) { return {reinterpret_cast<const char*>(id.bytes().data()), id.bytes().size()}; }

std::string binary(timestamp time) {
    std::string data;
    const auto since = time == timestamp::max() ? INT64_MAX : time == timestamp::min() ? INT64_MIN : (time.time_since_epoch() - epoch_2000).count();
    put(data, static_cast<std::uint64_t>(since), 8);
    return data;
}

std::string binary(std::chrono::milliseconds span) {
    std::string data;
    put(data, static_cast<std::uint64_t>(std::chrono::microseconds(span).count()), 8);
    return data + std::string(8, '\0');  // no days, no months
}

std::string binary_json(const json& document) { return '\1' + dump(document); }

parameter binary_array(element type, std::size_t count, const std::function<parameter(std::size_t)>& at, bool whole) {
    if (count == 0) return std::string("\0\0\0\0\0\0\0\0", 8) + [&] { std::string oid; put(oid, static_cast<unsigned>(type), 4); return oid; }();
    std::string elements;
    const parameter first = at(0);
    bool same = !whole, nulls = !first;
    put(elements, first);
    for (std::size_t i = 1; i < count; ++i) {
        const parameter one = at(i);
        same = same && one == first;
        nulls = nulls || !one;
        put(elements, one);
    }
    if (same && !first) return std::nullopt;
    std::string data;
    put(data, 1, 4);  // dimensions
    put(data, nulls, 4);
    put(data, static_cast<unsigned>(type), 4);
    put(data, same ? 1 : count, 4);
    put(data, 1, 4);  // lower bound
    return data + (same ? elements.substr(0, 4 + first->size()) : elements);
}

bool is_whole(const parameter& array) {
    const auto header = std::string("\0\0\0\1\0\0\0\1", 8);  // the length and the lower bound of a single element
    return array && array->size() > 20 && array->compare(12, 8, header) != 0;
}

}  // namespace chancy::detail
