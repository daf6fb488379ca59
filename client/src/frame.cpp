#include "frame.hpp"

#include <cstring>
#include <stdexcept>
#include <vector>

namespace chancy::detail {
namespace {

json pack_time(timestamp when) { return when.time_since_epoch().count(); }
timestamp unpack_time(const json& packed) { return timestamp(std::chrono::microseconds(packed.get<std::int64_t>())); }

template <class T, class F>
json maybe(const std::optional<T>& value, F pack_value) {
    return value ? pack_value(*value) : json();
}

}  // namespace

std::string frame(const json& content) {
    std::string body;
    json::to_msgpack(content, nlohmann::detail::output_adapter<char>(body));
    const auto size = static_cast<std::uint32_t>(body.size());
    if (size != body.size()) throw std::length_error("more than 4 GiB for a child process");
    std::string out(reinterpret_cast<const char*>(&size), sizeof size);
    return out += body;
}

std::optional<json> frames::next() {
    std::uint32_t size;
    if (m_bytes.size() - m_at < sizeof size) return std::nullopt;
    std::memcpy(&size, m_bytes.data() + m_at, sizeof size);
    if (m_bytes.size() - m_at - sizeof size < size) return std::nullopt;
    const char* const begin = m_bytes.data() + m_at + sizeof size;
    json out = json::from_msgpack(begin, begin + size);
    m_at += sizeof size + size;
    if (m_at == m_bytes.size()) {
        m_bytes.clear();
        m_at = 0;
    }
    return std::optional<json>(std::in_place, std::move(out));
}

json pack(const job& of) {
    const auto text = [](const std::string& t) { return json(t); };
    return json::array({of.id.to_string(), of.queue, of.func, of.kwargs, of.limits, of.meta, of.priority, of.attempts, of.max_attempts,
                        maybe(of.taken_by, text), pack_time(of.created_at), maybe(of.started_at, pack_time), pack_time(of.scheduled_at),
                        maybe(of.unique_key, text), of.errors, of.recoveries});
}

job unpack_job(const json& packed) {
    const auto text = [](const json& t) { return t.is_null() ? std::nullopt : std::optional(t.get<std::string>()); };
    job out;
    out.id = uuid::parse(packed.at(0).get<std::string>()).value();
    out.queue = packed.at(1);
    out.func = packed.at(2);
    out.kwargs = packed.at(3);
    out.limits = packed.at(4);
    out.meta = packed.at(5);
    out.state = job_state::running;
    out.priority = packed.at(6);
    out.attempts = packed.at(7);
    out.max_attempts = packed.at(8);
    out.taken_by = text(packed.at(9));
    out.created_at = unpack_time(packed.at(10));
    out.started_at = packed.at(11).is_null() ? std::nullopt : std::optional(unpack_time(packed.at(11)));
    out.scheduled_at = unpack_time(packed.at(12));
    out.unique_key = text(packed.at(13));
    out.errors = packed.at(14);
    out.recoveries = packed.at(15);
    return out;
}

json pack(const update& of) {
    json out{{"how", static_cast<int>(of.how)}};
    if (of.error) out["error"] = *of.error;
    if (of.retry_at) out["retry_at"] = pack_time(*of.retry_at);
    if (of.result) out["result"] = *of.result;
    return out;
}

update unpack_update(const json& packed, const job& of) {
    update out{.id = of.id, .started_at = *of.started_at};
    const int how = packed.at("how");
    if (how < static_cast<int>(outcome::succeeded) || how > static_cast<int>(outcome::released)) throw std::runtime_error("no such outcome");
    out.how = static_cast<outcome>(how);
    if (packed.contains("error")) out.error = packed["error"].get<std::string>();
    if (packed.contains("retry_at")) out.retry_at = unpack_time(packed["retry_at"]);
    if (packed.contains("result")) out.result = packed["result"];
    return out;
}

}  // namespace chancy::detail
