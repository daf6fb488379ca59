// Events: one JSON object per NOTIFY, sent at commit on every channel in chancy.event_channels.
#pragma once

#include "change.hpp"

namespace chancy {

// {"t": type, field: value}, to be sent at commit (buffer.cpp keeps it until then); queue.pushed only while somebody
// sleeps (wakeup.cpp).
void emit(const char *type, const char *field, bytes value);
void emit(const char *type, const char *field, bytes value, const char *second, bytes second_value);

// Takes back this subtransaction's last word that the queue has jobs: it has fetched them itself.
void take_back_pushed(bytes queue);

// False when nobody waits for any job, as mostly: the table has no pages then.
bool anybody_watches();

// job.finished, when somebody watches the job; job.progress, when it has reported some.
void tell_finished(const pg_uuid_t &id, state after);
void tell_progress(const pg_uuid_t &id);

struct outgoing {
    const char *payload;
    bool needed;  // false: a wake-up while nobody of ours sleeps; Python's workers, on channels of theirs, leave no marks
};
// Sends each on every channel; what is not needed not on our own one.
void send(std::span<const outgoing> events);

// Tells what the changes did: queue.pushed for queues with new due jobs, job.cancelled, and
// job.finished for jobs that somebody watches.
void tell(std::span<change> changes);

}  // namespace chancy
