// retry: when a failed attempt runs again, and finished jobs run anew.
//
// The delay is Chancy's (its RetryPlugin): backoff × backoff_factor ^ (attempts - 1), at most
// backoff_limit, plus a uniform jitter; all in seconds, from meta.retry_settings.
#include "retry.hpp"

#include <cmath>

#include "buffer.hpp"
#include "progress.hpp"

namespace chancy {

namespace {

constexpr double longest = 10.0 * 365 * SECS_PER_DAY;

double clamp(double seconds) { return seconds >= 0 ? std::min(seconds, longest) : 0; }

double uniform(double from, double to) {
    uint64 bits = 0;
    if (!pg_strong_random(&bits, sizeof bits)) return from;
    return from + (to - from) * static_cast<double>(bits >> 11) / static_cast<double>(UINT64CONST(1) << 53);
}

JsonbContainer *member(JsonbContainer *object, const char *name, uint32 kind) {
    JsonbValue key;
    key.type = jbvString;
    key.val.string.val = const_cast<char *>(name);
    key.val.string.len = strlen(name);
    JsonbValue *found = findJsonbValueFromContainer(object, JB_FOBJECT, &key);
    if (found == nullptr || found->type != jbvBinary || (found->val.binary.data->header & kind) == 0) return nullptr;
    return found->val.binary.data;
}

double element(JsonbContainer *array, uint32 i, double fallback) {
    JsonbValue *found = i < JsonContainerSize(array) ? getIthJsonbValueFromContainer(array, i) : nullptr;
    if (found == nullptr || found->type != jbvNumeric) return fallback;
    return DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(found->val.numeric)));
}

}  // namespace

// What is missing or malformed in the settings has its default: a result is never refused for them.
int64 retry_delay(Jsonb *meta, int32 attempts) {
    double backoff = 1, factor = 2, limit = 300, low = 1, high = 5;
    JsonbContainer *settings = JB_ROOT_IS_OBJECT(meta) ? member(&meta->root, "retry_settings", JB_FOBJECT) : nullptr;
    if (settings != nullptr) {
        backoff = json_number(settings, "backoff", backoff);
        factor = json_number(settings, "backoff_factor", factor);
        limit = json_number(settings, "backoff_limit", limit);
        if (JsonbContainer *jitter = member(settings, "backoff_jitter", JB_FARRAY)) {
            low = element(jitter, 0, low);
            high = element(jitter, 1, high);
        }
    }
    double delay = clamp(std::min(backoff * std::pow(factor, attempts - 1), limit));
    delay = clamp(delay + uniform(clamp(low), clamp(high)));
    return static_cast<int64>(delay * USECS_PER_SEC);
}

void write_retry(table &jobs, TupleTableSlot *slot, Jsonb *kwargs, TimestampTz now) {
    job_row row = read_job(slot);
    if (row.is == state::succeeded) forget_progress(row.id);
    set_state(jobs, state::pending);
    if (kwargs != nullptr) set(jobs, jobs_kwargs, JsonbPGetDatum(kwargs));
    set(jobs, jobs_attempts, Int32GetDatum(0));
    set(jobs, jobs_recoveries, Int32GetDatum(0));
    set(jobs, jobs_scheduled_at, TimestampTzGetDatum(now));
    set_null(jobs, jobs_taken_by);  // started_at stays: the next claim's must be later
    set_null(jobs, jobs_completed_at);
    set_null(jobs, jobs_result);
}

namespace {

verdict retry_job(moment m, const pg_uuid_t &id, Jsonb *kwargs) {
    if (kwargs != nullptr) check_object(kwargs, {nullptr, 0, "kwargs"});
    permit may = require(role_kind::admin);
    change *c = static_cast<change *>(palloc0(sizeof(change)));
    c->kind = change_kind::retry;
    c->id = id;
    c->kwargs = kwargs;
    std::span<change> retries{c, 1};
    if (m == moment::commit)
        buffer("retry_job", retries);
    else
        with_jobs([=](table &jobs) { apply(jobs, retries, {waiting::allowed, 0, may, nullptr}); });
    return c->is;
}

}  // namespace

}  // namespace chancy

extern "C" {

// NULL: decided at commit.
CHANCY_FUNCTION(chancy_retry_job) {
    using namespace chancy;
    PreventCommandIfReadOnly("chancy.retry_job()");
    check_given(fcinfo, 0, "id");
    moment m = when();
    verdict is = with_call_memory(m, "chancy retry_job", [=] {
        return retry_job(m, *PG_GETARG_UUID_P(0), fcinfo->args[1].isnull ? nullptr : PG_GETARG_JSONB_P_COPY(1));
    });
    if (is == verdict::open) PG_RETURN_NULL();
    PG_RETURN_BOOL(is == verdict::applied);
}
}
