// leadership: who leads, for Python's plugins. chancy's own maintenance needs no leader.
//
// There is one row, with id 1, as Python has it. Whoever holds it leads until expires_at, by the server's clock; a
// leader that has expired is replaced, and is no leader any more when it comes back. Calls wait for each other's commit.
#include "buffer.hpp"
#include "event.hpp"
#include "role.hpp"
#include "statement.hpp"
#include "worker.hpp"

namespace chancy {

namespace {

enum leader_column : int { leader_id = 1, leader_worker, leader_first_seen, leader_expires_at };

bytes check_worker(FunctionCallInfo fcinfo) {
    check_given(fcinfo, 0, "worker_id");
    bytes worker = argument_text(fcinfo, 0);
    check_text({nullptr, 0, "worker_id"}, worker, max_name);
    check_speaks_for(require(role_kind::worker), worker);
    return worker;
}

bool acquire_leadership(FunctionCallInfo fcinfo) {
    int64 ttl = check_duration(fcinfo, 1, "ttl");
    bytes worker = check_worker(fcinfo);
    bool renewed = false;
    // Nobody but a hand makes another row, which would be in the way of the worker's name.
    run_as_owner("DELETE FROM chancy.leader l WHERE l.id OPERATOR(pg_catalog.<>) 1", {});
    bool leads = with_table("leader", true, [&](table &leader) {
        return upsert(leader, "leader_pkey", F_INT8EQ, Int64GetDatum(1), [&](bool existing) {
            // Asked for after the wait for the row.
            TimestampTz now = GetCurrentTimestamp();
            renewed = existing && view(leader.next->tts_values[leader_worker - 1]) == worker;
            if (existing && !renewed && DatumGetTimestampTz(leader.next->tts_values[leader_expires_at - 1]) > now) return false;
            set(leader, leader_id, Int64GetDatum(1));
            set(leader, leader_worker, text_datum(worker));
            if (!renewed) set(leader, leader_first_seen, TimestampTzGetDatum(now));
            set(leader, leader_expires_at, TimestampTzGetDatum(now + ttl));
            return true;
        });
    });
    note_locks();
    if (leads) emit(renewed ? "leadership.renewed" : "leadership.gained", "worker_id", worker);
    return leads;
}

bool release_leadership(FunctionCallInfo fcinfo) {
    bytes worker = check_worker(fcinfo);
    parameter parameters[] = {given(fcinfo, 0, TEXTOID)};
    bool led = run_as_owner("DELETE FROM chancy.leader l WHERE l.worker_id OPERATOR(pg_catalog.=) $1", parameters) > 0;
    note_locks();
    if (led) emit("leadership.lost", "worker_id", worker);
    return led;
}

}  // namespace

}  // namespace chancy

extern "C" {

CHANCY_FUNCTION(chancy_acquire_leadership) {
    PreventCommandIfReadOnly("chancy.acquire_leadership()");
    PG_RETURN_BOOL(chancy::acquire_leadership(fcinfo));
}

CHANCY_FUNCTION(chancy_release_leadership) {
    PreventCommandIfReadOnly("chancy.release_leadership()");
    PG_RETURN_BOOL(chancy::release_leadership(fcinfo));
}
}
