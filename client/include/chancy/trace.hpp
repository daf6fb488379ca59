// chancy::trace_context: W3C trace context, carried from push to handler in the job's meta (traceparent, tracestate).
//
//     db.push({.func = "mail.send", .meta = here.into()});                  // the pusher's span
//     if (auto from = chancy::trace_context::of(job.job().meta)) {          // in a handler, or a middleware
//         const auto mine = from->child();                                  // a span of its own in the same trace
//         db.push({.func = "mail.log", .meta = mine.into()});
//     }
//
// A traceparent that is not well-formed refuses no job: it stays in meta as it is, and otherwise counts as none.
// Threads: a plain value.
#pragma once

#include <nlohmann/json.hpp>

#include <optional>
#include <string>

namespace chancy {

struct trace_context {
    std::string traceparent;   // version-traceid-spanid-flags, as https://www.w3.org/TR/trace-context/ has it
    std::string tracestate{};  // of the tracers' own; empty: none

    // Nothing unless traceparent is well-formed. A tracestate that is not printable, or longer than 512 bytes, is left out.
    [[nodiscard]] static std::optional<trace_context> read(std::string traceparent, std::string tracestate = {});
    [[nodiscard]] static std::optional<trace_context> of(const nlohmann::json& meta);

    [[nodiscard]] std::string trace_id() const { return traceparent.substr(3, 32); }  // 32 hex digits
    [[nodiscard]] std::string span_id() const { return traceparent.substr(36, 16); }  // 16
    [[nodiscard]] bool sampled() const;
    // The same trace, a new random span.
    [[nodiscard]] trace_context child() const;
    // meta with this in it.
    [[nodiscard]] nlohmann::json into(nlohmann::json meta = nlohmann::json::object()) const;
};

}  // namespace chancy
