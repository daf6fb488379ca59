#include <chancy/trace.hpp>

#include <algorithm>
#include <cstdio>
#include <random>

namespace chancy {
namespace {

bool is_hex(const std::string& text, std::size_t from, std::size_t count) {
    return std::all_of(text.begin() + static_cast<std::ptrdiff_t>(from), text.begin() + static_cast<std::ptrdiff_t>(from + count),
                       [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool printable(const std::string& text) {
    return text.size() <= 512 && std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

// A later version may have more at the end.
bool well_formed(const std::string& t) {
    if (t.size() < 55 || !printable(t) || t[2] != '-' || t[35] != '-' || t[52] != '-') return false;
    if (!is_hex(t, 0, 2) || !is_hex(t, 3, 32) || !is_hex(t, 36, 16) || !is_hex(t, 53, 2) || t.starts_with("ff")) return false;
    if (t.size() > 55 && (t.starts_with("00") || t[55] != '-')) return false;
    return t.find_first_not_of('0', 3) < 35 && t.find_first_not_of('0', 36) < 52;
}

}  // namespace

std::optional<trace_context> trace_context::read(std::string traceparent, std::string tracestate) {
    if (!well_formed(traceparent)) return std::nullopt;
    if (!printable(tracestate)) tracestate.clear();
    return trace_context{std::move(traceparent), std::move(tracestate)};
}

std::optional<trace_context> trace_context::of(const nlohmann::json& meta) {
    const auto text = [&](const char* key) {
        const auto found = meta.find(key);
        return found != meta.end() && found->is_string() ? found->get<std::string>() : std::string();
    };
    return meta.is_object() ? read(text("traceparent"), text("tracestate")) : std::nullopt;
}

bool trace_context::sampled() const { return std::stoi(traceparent.substr(53, 2), nullptr, 16) % 2 == 1; }

trace_context trace_context::child() const {
    thread_local std::mt19937_64 dice{std::random_device{}()};
    char span[17];
    std::snprintf(span, sizeof span, "%016llx", static_cast<unsigned long long>(dice() | 1));  // never 0
    return {"00-" + trace_id() + '-' + span + '-' + (sampled() ? "01" : "00"), tracestate};
}

nlohmann::json trace_context::into(nlohmann::json meta) const {
    meta["traceparent"] = traceparent;
    if (!tracestate.empty()) meta["tracestate"] = tracestate;
    return meta;
}

}  // namespace chancy
