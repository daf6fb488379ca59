// The small values: ids, times, states, and rows as JSON.
#include <chancy/job.hpp>
#include <chancy/queue.hpp>
#include <chancy/update.hpp>

#include <cstdio>

namespace chancy {
namespace {

int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

template <class T>
json nullable(const std::optional<T>& value) {
    if (!value) return nullptr;
    if constexpr (std::is_same_v<T, timestamp>) return to_string(*value);
    else return *value;
}

}  // namespace

std::optional<uuid> uuid::parse(std::string_view text) noexcept {
    std::array<std::uint8_t, 16> bytes{};
    const bool hyphens = text.size() == 36;
    if (!hyphens && text.size() != 32) return std::nullopt;
    std::size_t digit = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (hyphens && (i == 8 || i == 13 || i == 18 || i == 23)) {
            if (text[i] != '-') return std::nullopt;
            continue;
        }
        const int value = hex_digit(text[i]);
        if (value < 0) return std::nullopt;
        bytes[digit / 2] = static_cast<std::uint8_t>(bytes[digit / 2] << 4 | value);
        ++digit;
    }
    return uuid(bytes);
}

std::string uuid::to_string() const {
    static const char digits[] = "0123456789abcdef";
    std::string out;
    out.reserve(36);
    for (std::size_t i = 0; i < m_bytes.size(); ++i) {
        if (i == 4 || i == 6 || i == 8 || i == 10) out += '-';
        out += digits[m_bytes[i] >> 4];
        out += digits[m_bytes[i] & 15];
    }
    return out;
}

std::string to_string(timestamp when) {
    if (when == timestamp::max()) return "infinity";
    if (when == timestamp::min()) return "-infinity";
    const auto day = std::chrono::floor<std::chrono::days>(when);
    const std::chrono::year_month_day date(day);
    const std::chrono::hh_mm_ss time(when - day);
    char text[64];
    std::snprintf(text, sizeof text, "%04d-%02u-%02uT%02d:%02d:%02d.%06dZ", static_cast<int>(date.year()),
                  static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), static_cast<int>(time.hours().count()),
                  static_cast<int>(time.minutes().count()), static_cast<int>(time.seconds().count()),
                  static_cast<int>(time.subseconds().count()));
    return text;
}

std::string_view to_string(job_state state) noexcept {
    switch (state) {
        case job_state::pending: return "pending";
        case job_state::running: return "running";
        case job_state::retrying: return "retrying";
        case job_state::succeeded: return "succeeded";
        case job_state::failed: return "failed";
    }
    return "";
}

std::string_view to_string(outcome how) noexcept {
    switch (how) {
        case outcome::succeeded: return "succeeded";
        case outcome::failed: return "failed";
        case outcome::discarded: return "discarded";
        case outcome::snoozed: return "snoozed";
        case outcome::released: return "released";
    }
    return "";
}

void to_json(json& out, const job& in) {
    out = {{"id", in.id.to_string()},
           {"queue", in.queue},
           {"func", in.func},
           {"kwargs", in.kwargs},
           {"limits", in.limits},
           {"meta", in.meta},
           {"state", to_string(in.state)},
           {"priority", in.priority},
           {"attempts", in.attempts},
           {"max_attempts", in.max_attempts},
           {"taken_by", nullable(in.taken_by)},
           {"created_at", to_string(in.created_at)},
           {"started_at", nullable(in.started_at)},
           {"completed_at", nullable(in.completed_at)},
           {"scheduled_at", to_string(in.scheduled_at)},
           {"unique_key", nullable(in.unique_key)},
           {"errors", in.errors},
           {"recoveries", in.recoveries},
           {"result", nullable(in.result)},
           {"concurrency_key", nullable(in.concurrency_key)},
           {"next_run", nullable(in.next_run)},
           {"unique_until", nullable(in.unique_until)}};
}

void to_json(json& out, const queue& in) {
    out = {{"name", in.name},
           {"state", in.state},
           {"concurrency", nullable(in.concurrency)},
           {"tags", in.tags},
           {"executor", in.executor},
           {"executor_options", in.executor_options},
           {"polling_interval", in.polling_interval},
           {"created_at", nullable(in.created_at)},
           {"rate_limit", nullable(in.rate_limit)},
           {"rate_limit_window", nullable(in.rate_limit_window)},
           {"resume_at", nullable(in.resume_at)},
           {"eager_polling", in.eager_polling},
           {"max_running", nullable(in.max_running)},
           {"max_running_per_key", nullable(in.max_running_per_key)},
           {"rate_limit_burst", nullable(in.rate_limit_burst)}};
}

void to_json(json& out, const worker_row& in) {
    out = {{"worker_id", in.worker_id},
           {"tags", in.tags},
           {"queues", in.queues},
           {"last_seen", to_string(in.last_seen)},
           {"expires_at", to_string(in.expires_at)}};
}

}  // namespace chancy
