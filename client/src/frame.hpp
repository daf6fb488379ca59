// What a worker and its children say to each other over a socket: frames of a length and MessagePack.
#pragma once

#include <chancy/update.hpp>

#include <optional>
#include <string>
#include <string_view>

namespace chancy::detail {

// Its length and content, to be sent.
[[nodiscard]] std::string frame(const json& content);

// The bytes of a stream, taken apart.
class frames {
public:
    void add(std::string_view bytes) { m_bytes.append(bytes); }
    // The next whole frame; std::runtime_error if it is not one of ours.
    [[nodiscard]] std::optional<json> next();

private:
    std::string m_bytes;
    std::size_t m_at = 0;
};

[[nodiscard]] json pack(const job& of);
[[nodiscard]] job unpack_job(const json& packed);
[[nodiscard]] json pack(const update& of);
[[nodiscard]] update unpack_update(const json& packed, const job& of);

}  // namespace chancy::detail
