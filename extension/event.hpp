// Events: one JSON object per NOTIFY, sent at commit on every channel in chancy.event_channels.
#pragma once

#include "change.hpp"

namespace chancy {

// {"t": type, field: value}. PostgreSQL drops what the same transaction has sent already.
void emit(const char *type, const char *field, bytes value);

// Tells what the changes did: queue.pushed for queues with new due jobs, job.cancelled, and
// job.finished for jobs that somebody watches.
void tell(std::span<change> changes);

}  // namespace chancy
