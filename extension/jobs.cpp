#include "jobs.hpp"

extern "C" {
#include "mb/pg_wchar.h"
}

namespace chancy {

namespace {
constexpr bytes state_names[] = {{"pending", 7}, {"running", 7}, {"retrying", 8}, {"succeeded", 9}, {"failed", 6}};
constexpr int max_error = 64 * 1024;  // bytes of one error entry
}  // namespace

const char *name(state s) { return state_names[static_cast<int>(s)].data; }

namespace {

bool find_state(bytes text, state *s) {
    for (int i = 0; i < 5; i++)
        if (text == state_names[i]) {
            *s = static_cast<state>(i);
            return true;
        }
    return false;
}

state state_of(bytes text) {
    state s;
    if (find_state(text, &s)) return s;
    ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("a job has the unknown state \"%s\"", to_cstring(text)),
                    errhint("States are pending, running, retrying, succeeded and failed: correct the row by hand.")));
    pg_unreachable();
}

bytes text_of(TupleTableSlot *slot, int attribute) {
    return slot->tts_isnull[attribute - 1] ? bytes{nullptr, 0} : view(slot->tts_values[attribute - 1]);
}

}  // namespace

state parse_state(bytes text, place where) {
    state s;
    if (find_state(text, &s)) return s;
    refuse(where, psprintf("is not a known state: \"%s\"", shown(text)),
           "Known: pending, running, retrying, succeeded, failed.");
}

job_row read_job(TupleTableSlot *slot) {
    slot_getallattrs(slot);
    Datum *values = slot->tts_values;
    job_row row;
    row.id = *DatumGetUUIDP(values[jobs_id - 1]);
    row.queue = text_of(slot, jobs_queue);
    row.is = state_of(text_of(slot, jobs_state));
    row.key = text_of(slot, jobs_unique_key);
    row.concurrency_key = text_of(slot, jobs_concurrency_key);
    row.priority = DatumGetInt32(values[jobs_priority - 1]);
    row.attempts = DatumGetInt32(values[jobs_attempts - 1]);
    row.max_attempts = DatumGetInt32(values[jobs_max_attempts - 1]);
    row.taken_by = text_of(slot, jobs_taken_by);
    row.started_at = slot->tts_isnull[jobs_started_at - 1] ? 0 : DatumGetTimestampTz(values[jobs_started_at - 1]);
    row.scheduled_at = DatumGetTimestampTz(values[jobs_scheduled_at - 1]);
    row.rerun = !slot->tts_isnull[jobs_rerun - 1] && DatumGetBool(values[jobs_rerun - 1]);
    row.has_next = !slot->tts_isnull[jobs_next_run - 1];
    return row;
}

namespace {

// Where this backend has written jobs lately. Their results mostly come back to it, and need no look into the index.
struct place_of_job {
    pg_uuid_t id;
    ItemPointerData tid;
};
place_of_job places[4096];

// The random bits of an id come last.
place_of_job &place_of(const pg_uuid_t &id) {
    uint16 n;
    memcpy(&n, id.data + UUID_LEN - 2, 2);
    return places[n % lengthof(places)];
}

// Anything may have become of it since: only a row of this id counts.
bool find_in_place(table &jobs, const pg_uuid_t &id, TupleTableSlot *slot) {
    place_of_job &p = place_of(id);
    if (compare(p.id, id) != 0) return false;
    // The table cannot become shorter while we have it open.
    if (jobs.blocks == 0) jobs.blocks = RelationGetNumberOfBlocks(jobs.rel);
    if (ItemPointerGetBlockNumber(&p.tid) >= jobs.blocks) return false;
    if (!table_tuple_fetch_row_version(jobs.rel, &p.tid, SnapshotSelf, slot)) return false;
    bool null;
    return compare(*DatumGetUUIDP(slot_getattr(slot, jobs_id, &null)), id) == 0;
}

}  // namespace

void remember_place(const pg_uuid_t &id, ItemPointer tid) { place_of(id) = {id, *tid}; }

lookup begin_id_lookup(table &jobs, Snapshot snapshot) {
    return begin_lookup(jobs, "jobs_pkey", F_UUID_EQ, InvalidOid, snapshot);
}

bool find_job(table &jobs, lookup &by_id, const pg_uuid_t &id, TupleTableSlot *slot) {
    return find_in_place(jobs, id, slot) || find(jobs, by_id, UUIDPGetDatum(&id), slot);
}

Datum append_error(Datum errors, int32 attempt, bytes text) {
    if (text.size > max_error) {
        // A message says it at its beginning, a traceback at its end.
        int head = pg_mbcliplen(text.data, text.size, max_error / 4), tail = pg_mbcliplen(text.data, text.size, text.size - (max_error - max_error / 4));
        text = view(psprintf("%.*s\n… (%d bytes clipped)\n%.*s", head, text.data, tail - head, text.size - tail, text.data + tail));
    }
    JsonbParseState *parse = nullptr;
    JsonbValue value;
    auto add_text = [&](JsonbIteratorToken as, bytes t) {
        value.type = jbvString;
        value.val.string.val = const_cast<char *>(t.data);
        value.val.string.len = t.size;
        pushJsonbValue(&parse, as, &value);
    };
    pushJsonbValue(&parse, WJB_BEGIN_ARRAY, nullptr);
    pushJsonbValue(&parse, WJB_BEGIN_OBJECT, nullptr);
    add_text(WJB_KEY, view("at"));
    char now[MAXDATELEN + 1];
    add_text(WJB_VALUE, view(JsonEncodeDateTime(now, TimestampTzGetDatum(GetCurrentTimestamp()), TIMESTAMPTZOID, nullptr)));
    add_text(WJB_KEY, view("attempt"));
    value.type = jbvNumeric;
    value.val.numeric = DatumGetNumeric(DirectFunctionCall1(int4_numeric, Int32GetDatum(attempt)));
    pushJsonbValue(&parse, WJB_VALUE, &value);
    add_text(WJB_KEY, view("traceback"));
    add_text(WJB_VALUE, text);
    pushJsonbValue(&parse, WJB_END_OBJECT, nullptr);
    JsonbValue *entry = pushJsonbValue(&parse, WJB_END_ARRAY, nullptr);
    return DirectFunctionCall2(jsonb_concat, errors, JsonbPGetDatum(JsonbValueToJsonb(entry)));
}

void set_state(table &jobs, state s) {
    set(jobs, jobs_state, text_datum(state_names[static_cast<int>(s)]));
}

}  // namespace chancy
