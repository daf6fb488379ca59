// Events: one JSON object per NOTIFY, sent at commit on every channel in chancy.event_channels.
#pragma once

#include "change.hpp"

namespace chancy {

// {"t": type, field: value}, to be sent at commit (buffer.cpp keeps it until then).
void emit(const char *type, const char *field, bytes value);

// Sends the payloads on every channel.
void send(std::span<const char *> payloads);

// Tells what the changes did: queue.pushed for queues with new due jobs, job.cancelled, and
// job.finished for jobs that somebody watches.
void tell(std::span<change> changes);

}  // namespace chancy
