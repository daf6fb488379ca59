// Results of attempts, and what the server made of them.
//
//     db.apply_updates(me, {{{.id = j.id, .started_at = *j.started_at, .how = chancy::outcome::succeeded}}});
//
// A result names an attempt by the job's id and started_at, and applies only while that attempt is the
// running one: a late one changes nothing and is told as "stale". Threads: plain values.
#pragma once

#include <chancy/job.hpp>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace chancy {

enum class outcome {
    succeeded,
    failed,     // retrying while attempts remain
    discarded,  // failed for good
    snoozed,    // pending again at retry_at, no attempt used
    released,   // pending again now, no attempt used
};

[[nodiscard]] std::string_view to_string(outcome how) noexcept;

struct update {
    uuid id;
    timestamp started_at;
    outcome how = outcome::succeeded;
    std::optional<std::string> error{};
    std::optional<timestamp> retry_at{};
    std::optional<json> meta{};  // replaces the job's meta
    std::optional<json> result{};
};

struct applied {
    uuid id;
    std::optional<std::string> state;  // the job's state now
    std::optional<bool> ok;            // absent while the transaction has yet to commit it
    std::string reason;                // when not: stale | locked | conflict | missing
};

// on_locked: what to do about a job that another transaction holds.
enum class on_locked {
    wait,
    skip,  // tell it as "locked"
};

struct exchanged {
    struct refusal {
        std::size_t index;   // into the updates
        std::string reason;  // stale | locked | conflict | missing
    };
    std::vector<refusal> refused;
    int passed = 0;  // due jobs passed by because somebody holds them, or has yet to commit them: look again soon
    bool again = false;  // before sleeping look once more: only from now on does a push tell that it came
    std::optional<std::chrono::milliseconds> wait{};  // the rate limit is used up: look again after that
    std::vector<job> jobs;
};

}  // namespace chancy
