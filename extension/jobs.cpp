#include "jobs.hpp"

extern "C" {
#include "mb/pg_wchar.h"
}

namespace chancy {

namespace {
constexpr const char *state_names[] = {"pending", "running", "retrying", "succeeded", "failed"};
constexpr int max_error = 64 * 1024;  // bytes of one error entry
}  // namespace

const char *name(state s) { return state_names[static_cast<int>(s)]; }

namespace {

bool find_state(bytes text, state *s) {
    for (int i = 0; i < 5; i++)
        if (text == view(state_names[i])) {
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

lookup begin_id_lookup(table &jobs, Snapshot snapshot) {
    return begin_lookup(jobs, "jobs_pkey", F_UUID_EQ, InvalidOid, snapshot);
}

bool find_job(table &jobs, lookup &by_id, const pg_uuid_t &id, TupleTableSlot *slot) {
    return find(jobs, by_id, UUIDPGetDatum(&id), slot);
}

Datum append_error(Datum errors, int32 attempt, bytes text) {
    if (text.size > max_error) {
        int kept = pg_mbcliplen(text.data, text.size, max_error);
        text = view(psprintf("%.*s … (clipped)", kept, text.data));
    }
    JsonbParseState *parse = nullptr;
    JsonbValue value;
    pushJsonbValue(&parse, WJB_BEGIN_ARRAY, nullptr);
    pushJsonbValue(&parse, WJB_BEGIN_OBJECT, nullptr);
    value.type = jbvString;
    value.val.string.val = const_cast<char *>("attempt");
    value.val.string.len = 7;
    pushJsonbValue(&parse, WJB_KEY, &value);
    value.type = jbvNumeric;
    value.val.numeric = DatumGetNumeric(DirectFunctionCall1(int4_numeric, Int32GetDatum(attempt)));
    pushJsonbValue(&parse, WJB_VALUE, &value);
    value.type = jbvString;
    value.val.string.val = const_cast<char *>("traceback");
    value.val.string.len = 9;
    pushJsonbValue(&parse, WJB_KEY, &value);
    value.val.string.val = const_cast<char *>(text.data);
    value.val.string.len = text.size;
    pushJsonbValue(&parse, WJB_VALUE, &value);
    pushJsonbValue(&parse, WJB_END_OBJECT, nullptr);
    JsonbValue *entry = pushJsonbValue(&parse, WJB_END_ARRAY, nullptr);
    return DirectFunctionCall2(jsonb_concat, errors, JsonbPGetDatum(JsonbValueToJsonb(entry)));
}

void set_state(table &jobs, state s) {
    set(jobs, jobs_state, PointerGetDatum(cstring_to_text(name(s))));
}

}  // namespace chancy
