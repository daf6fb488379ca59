// exchange_arrays: exchange for clients that send typed arrays and take flat rows, in binary.
#include "arrays.hpp"
#include "buffer.hpp"
#include "rows.hpp"
#include "update.hpp"

namespace chancy {

namespace {

constexpr int first_array = 3, on_locked = 10;
constexpr const char *names[] = {"id", "started_at", "outcome", "error", "retry_at", "meta", "result"};
constexpr int arrays = lengthof(names);

// The columns of a job that its worker needs, in the order of the result's.
constexpr int columns[] = {jobs_id,         jobs_queue,      jobs_func,         jobs_kwargs,     jobs_limits, jobs_meta,       jobs_priority,       jobs_attempts,
                           jobs_max_attempts, jobs_created_at, jobs_started_at, jobs_scheduled_at, jobs_unique_key, jobs_errors, jobs_recoveries, jobs_concurrency_key};
constexpr int job_columns = lengthof(columns), head = 4;

void read_result(std::span<const elements> given, size_t i, change *c) {
    place where{"updates", static_cast<int>(i), nullptr};
    result *r = c->result;
    Datum id, started_at, outcome, value;
    bool has_id = given[0].get(i, &id), has_start = given[1].get(i, &started_at), has_outcome = given[2].get(i, &outcome);
    check_attempt(has_id, has_start, has_outcome, where);
    c->id = *DatumGetUUIDP(id);
    r->started_at = DatumGetTimestampTz(started_at);
    r->is = parse_outcome(view(outcome), where.at(names[2]));
    if (given[3].get(i, &value)) r->error = view(value);
    if (given[4].get(i, &value)) r->retry_at = DatumGetTimestampTz(value);
    if (given[5].get(i, &value)) check_object(r->meta = DatumGetJsonbP(value), where.at(names[5]));
    if (given[6].get(i, &value)) r->value = DatumGetJsonbP(value);
    check_result(*r, where);
}

std::span<change> read_results(FunctionCallInfo fcinfo, bytes worker) {
    elements given[arrays];
    for (int n = 0; n < arrays; n++) given[n] = read_elements(fcinfo, first_array + n, names[n], false);
    std::span<change> updates = begin_updates(count_elements(given, names), worker, parse_on_locked(argument_text(fcinfo, on_locked)));
    for (size_t i = 0; i < updates.size(); i++) {
        CHECK_FOR_INTERRUPTS();
        read_result(given, i, &updates[i]);
    }
    check_ids_differ(updates);
    return updates;
}

void exchange_arrays(FunctionCallInfo fcinfo, const rows &out) {
    check_given(fcinfo, 0, "worker_id");
    check_given(fcinfo, on_locked, "on_locked");
    check_exchange(fcinfo, 1, 2);
    bytes worker = argument_text(fcinfo, 0);
    std::span<change> updates = read_results(fcinfo, worker);
    exchange(updates, argument_text(fcinfo, 1), worker, PG_GETARG_INT32(2), [&](const exchanged &row, table &jobs) {
        Datum values[head + job_columns] = {text_datum(view(row.kind)), Int32GetDatum(row.ord), row.reason == nullptr ? 0 : text_datum(view(row.reason)),
                                            Int32GetDatum(row.number)};
        bool nulls[head + job_columns] = {false, row.ord == 0, row.reason == nullptr, row.ord != 0 || row.job != nullptr};
        if (row.job == nullptr) {
            memset(nulls + head, true, job_columns);
        } else {
            ExecStoreHeapTuple(row.job, jobs.copy, false);
            slot_getallattrs(jobs.copy);
            for (int n = 0; n < job_columns; n++) {
                values[head + n] = jobs.copy->tts_values[columns[n] - 1];
                nulls[head + n] = jobs.copy->tts_isnull[columns[n] - 1];
            }
        }
        out.put(values, nulls);
    });
}

}  // namespace

}  // namespace chancy

extern "C" {

CHANCY_FUNCTION(chancy_exchange_arrays) {
    PreventCommandIfReadOnly("chancy.exchange_arrays()");
    chancy::rows out = chancy::begin_rows(fcinfo);
    chancy::with_memory("chancy exchange_arrays", [=] { chancy::exchange_arrays(fcinfo, out); });
    return 0;
}
}
