#include "event.hpp"

#include "buffer.hpp"
#include "fetch.hpp"

extern "C" {
#include "utils/json.h"
}

namespace chancy {

namespace {

void put_field(StringInfo json, const char *field, bytes value) {
    appendStringInfo(json, ", \"%s\": ", field);
    escape_json(json, to_cstring(value));
}

char *id_text(const pg_uuid_t &id) {
    return DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&id)));
}

// Is somebody waiting for this job now?
bool is_watched(const pg_uuid_t &id) {
    bool watched = false;
    with_row("watches", F_UUID_EQ, UUIDPGetDatum(&id), [&](HeapTuple row, TupleDesc desc) {
        bool null;
        watched = DatumGetTimestampTz(heap_getattr(row, 2, desc, &null)) > GetCurrentTimestamp();
    });
    return watched;
}

}  // namespace

void send(std::span<const outgoing> events) {
    Relation channels = table_open(table_oid("event_channels"), AccessShareLock);
    TableScanDesc scan = table_beginscan(channels, SnapshotSelf, 0, nullptr);
    TupleTableSlot *slot = table_slot_create(channels, nullptr);
    while (table_scan_getnextslot(scan, ForwardScanDirection, slot)) {
        bool null;
        char *channel = to_cstring(view(slot_getattr(slot, 1, &null)));
        bool ours = strcmp(channel, "chancy_events") == 0;
        for (const outgoing &e : events)
            if (e.needed || !ours) Async_Notify(channel, e.payload);
    }
    ExecDropSingleTupleTableSlot(slot);
    table_endscan(scan);
    table_close(channels, AccessShareLock);
}

namespace {

const char *payload(const char *type, const char *field, bytes value, const char *second, bytes second_value) {
    StringInfoData json;
    initStringInfo(&json);
    appendStringInfo(&json, "{\"t\": \"%s\"", type);
    put_field(&json, field, value);
    if (second != nullptr) put_field(&json, second, second_value);
    appendStringInfoChar(&json, '}');
    return json.data;
}

}  // namespace

void emit(const char *type, const char *field, bytes value) {
    bool wakes = strcmp(type, "queue.pushed") == 0;
    buffer_event(payload(type, field, value, nullptr, {}), wakes ? value : bytes{nullptr, 0});
}

void emit(const char *type, const char *field, bytes value, const char *second, bytes second_value) {
    buffer_event(payload(type, field, value, second, second_value), {nullptr, 0});
}

void take_back_pushed(bytes queue) { take_back_event(payload("queue.pushed", "q", queue, nullptr, {})); }

bool anybody_watches() {
    Relation watches = table_open(table_oid("watches"), AccessShareLock);
    bool pages = RelationGetNumberOfBlocks(watches) > 0;
    table_close(watches, AccessShareLock);
    return pages;
}

void tell_finished(const pg_uuid_t &id, state after) {
    if (!is_watched(id)) return;
    StringInfoData json;
    initStringInfo(&json);
    appendStringInfoString(&json, "{\"t\": \"job.finished\"");
    put_field(&json, "j", view(id_text(id)));
    put_field(&json, "s", view(name(after)));
    appendStringInfoChar(&json, '}');
    buffer_event(json.data, {nullptr, 0});
}

void tell_progress(const pg_uuid_t &id) {
    if (is_watched(id)) emit("job.progress", "j", view(id_text(id)));
}

void tell(std::span<change> changes) {
    TimestampTz now = GetCurrentTimestamp();
    bytes told{nullptr, 0};  // the queue that the last event was for
    auto pushed = [&](bytes queue) {
        if (told.data != nullptr && told == queue) return;
        emit("queue.pushed", "q", queue);
        told = queue;
    };
    // A slot of a queue with a limit is free: whoever found it taken looks again.
    bytes asked{nullptr, 0};
    bool limited = false;
    auto freed = [&](bytes queue) {
        if (asked.data == nullptr || !(asked == queue)) limited = read_queue(queue, now).limits.concurrency();
        asked = queue;
        if (limited) pushed(queue);
    };
    bool looked = false, watching = false;
    for (change &c : changes) {
        if (c.kind == change_kind::push) {
            bool ready = !c.delayed && (c.is == verdict::created || c.is == verdict::replaced);
            if (ready && c.job->scheduled_at <= now) pushed(c.job->queue);
            continue;
        }
        if (c.is != verdict::applied) continue;
        if (is_waiting(c.after) && !c.delayed)
            pushed(c.queue);
        else if (c.kind != change_kind::retry)
            freed(c.queue);
        if (c.kind == change_kind::cancel) emit("job.cancelled", "j", view(id_text(c.id)));
        if (is_live(c.after)) continue;
        if (!looked) watching = anybody_watches();
        looked = true;
        if (watching) tell_finished(c.id, c.after);
    }
}

}  // namespace chancy
