// chancy::uuid: a job's id, as a small value. Ordered bytewise, as PostgreSQL orders them.
//
//     auto id = chancy::uuid::parse("03f1c2d4-…");     // std::optional
//     std::cout << id->to_string();
//
// Threads: a plain value.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace chancy {

class uuid {
public:
    uuid() = default;
    explicit uuid(const std::array<std::uint8_t, 16>& bytes) : m_bytes(bytes) {}

    // 32 hexadecimal digits in either case, hyphens where they usually stand or none at all.
    [[nodiscard]] static std::optional<uuid> parse(std::string_view text) noexcept;
    [[nodiscard]] std::string to_string() const;
    [[nodiscard]] const std::array<std::uint8_t, 16>& bytes() const noexcept { return m_bytes; }

    friend bool operator==(const uuid&, const uuid&) = default;
    friend auto operator<=>(const uuid&, const uuid&) = default;

private:
    std::array<std::uint8_t, 16> m_bytes{};
};

}  // namespace chancy

template <>
struct std::hash<chancy::uuid> {
    std::size_t operator()(const chancy::uuid& id) const noexcept {
        std::uint64_t half[2];
        std::memcpy(half, id.bytes().data(), sizeof half);
        return static_cast<std::size_t>(half[0] * 0x9e3779b97f4a7c15u ^ half[1]);
    }
};
