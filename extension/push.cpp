// push: bring jobs in.
//
// Input is checked whole before anything is written. A keyless job is inserted; a keyed one looks
// first (key.cpp), and what it does when its key is taken stands in unique.cpp. Ids are Chancy's: 60 bits
// of 100 ns ticks since 1970, then 7, the variant and 62 random bits, rising strictly in input order,
// because fetch runs jobs of one priority in id order.
#include "push.hpp"

#include "event.hpp"
#include "role.hpp"
#include "rows.hpp"
#include "version.hpp"

namespace chancy {

namespace {

constexpr const char *push_keys =
    "func, kwargs, queue, priority, max_attempts, scheduled_at, unique_key, limits, meta, on_conflict, concurrency_key, unique_for";

int64 last_tick = 0;  // of this backend

int64 next_tick() { return std::max((GetCurrentTimestamp() + epoch_shift) * 10, last_tick + 1); }

}  // namespace

void make_ids(std::span<change> pushes) {
    int64 tick = next_tick();
    uint64 *random = static_cast<uint64 *>(palloc(sizeof(uint64) * pushes.size()));
    if (!pg_strong_random(random, sizeof(uint64) * pushes.size()))
        ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random ids"),
                        errhint("The operating system's random source failed; try again.")));
    for (size_t i = 0; i < pushes.size(); i++, tick++) {
        uint64 high = pg_hton64(static_cast<uint64>(tick) << 4 | 7);
        uint64 low = pg_hton64(random[i] >> 2 | UINT64CONST(2) << 62);
        memcpy(pushes[i].id.data, &high, 8);
        memcpy(pushes[i].id.data + 8, &low, 8);
    }
    last_tick = tick - 1;
    pfree(random);
}

void check_job(const new_job &job, place where) {
    if (job.func.data == nullptr) refuse(where.at("func"), "is missing", "Every job needs a func.");
    check_text(where.at("func"), job.func, max_name);
    check_text(where.at("queue"), job.queue, max_queue);
    if (job.key.data != nullptr) check_text(where.at("unique_key"), job.key, max_name);
    if (job.concurrency_key.data != nullptr) check_text(where.at("concurrency_key"), job.concurrency_key, max_name);
    if (job.max_attempts < 1) refuse(where.at("max_attempts"), "must be at least 1", "1 means: run once, no retry.");
    check_finite(where.at("scheduled_at"), job.scheduled_at);
    if (job.key.data != nullptr) {
        if (job.scheduled_at >= END_TIMESTAMP - job.unique_for)
            refuse(where.at("unique_for"), "ends too late", "scheduled_at and unique_for together must be a time.");
        return;
    }
    const char *hint = "Give the job a unique_key: without one it meets nobody.";
    if (job.mode != on_conflict::keep) refuse(where.at("on_conflict"), "needs a unique_key", hint);
    if (job.unique_for != 0) refuse(where.at("unique_for"), "needs a unique_key", hint);
}

namespace {

Jsonb *parse(const char *json) { return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(json))); }

}  // namespace

job_defaults make_defaults() { return {parse("{}"), parse("[]"), GetCurrentTransactionStartTimestamp()}; }

new_job default_job(const job_defaults &d, const char *list) {
    return {.func = {nullptr, 0}, .queue = view("default"), .key = {nullptr, 0}, .concurrency_key = {nullptr, 0}, .kwargs = d.object, .limits = d.array,
            .meta = d.object, .priority = 0, .max_attempts = 1, .scheduled_at = d.now, .unique_for = 0, .mode = on_conflict::keep,
            .list = list, .may = nullptr};
}

void read_job_object(JsonbContainer *object, place where, const job_defaults &d, new_job *job, const more_fields *more) {
    *job = default_job(d, where.list);
    each_field(object, [&](bytes name, JsonbValue *value) {
        bool given = value->type != jbvNull;
        if (name == view("func")) {
            if (given) job->func = json_text(value, where.at("func"));
        } else if (name == view("kwargs")) {
            if (given) job->kwargs = json_object(value, where.at("kwargs"));
        } else if (name == view("queue")) {
            if (given) job->queue = json_text(value, where.at("queue"));
        } else if (name == view("priority")) {
            if (given) job->priority = json_int(value, where.at("priority"), PG_INT32_MIN, PG_INT32_MAX);
        } else if (name == view("max_attempts")) {
            if (given) job->max_attempts = json_int(value, where.at("max_attempts"), 1, PG_INT32_MAX);
        } else if (name == view("scheduled_at")) {
            if (given) job->scheduled_at = json_time(value, where.at("scheduled_at"));
        } else if (name == view("unique_key")) {
            if (given) job->key = json_text(value, where.at("unique_key"));
        } else if (name == view("concurrency_key")) {
            if (given) job->concurrency_key = json_text(value, where.at("concurrency_key"));
        } else if (name == view("limits")) {
            if (given) check_limits(job->limits = json_array(value, where.at("limits")), where.at("limits"));
        } else if (name == view("meta")) {
            if (given) job->meta = json_object(value, where.at("meta"));
        } else if (name == view("on_conflict")) {
            if (given) job->mode = parse_on_conflict(json_text(value, where.at("on_conflict")), where.at("on_conflict"));
        } else if (name == view("unique_for")) {
            if (given) job->unique_for = parse_period(json_interval(value, where.at("unique_for")), where.at("unique_for"));
        } else if (more == nullptr || !more->take(more->context, name, given ? value : nullptr)) {
            refuse_field(where, name, more == nullptr ? push_keys : psprintf("%s, %s", more->known, push_keys));
        }
    });
    check_job(*job, where);
}

namespace {

// '[]', built once per backend.
Jsonb *no_errors() {
    static Jsonb *empty = nullptr;
    if (empty == nullptr) {
        MemoryContext outer = MemoryContextSwitchTo(TopMemoryContext);
        Jsonb *built = parse("[]");
        MemoryContextSwitchTo(outer);
        empty = built;
    }
    return empty;
}

}  // namespace

void fill_job(table &jobs, const pg_uuid_t &id, const new_job &job, TimestampTz not_before) {
    TimestampTz due = std::max(job.scheduled_at, not_before);
    new_row(jobs);
    set(jobs, jobs_id, UUIDPGetDatum(&id));
    set(jobs, jobs_queue, text_datum(job.queue));
    set(jobs, jobs_func, text_datum(job.func));
    set(jobs, jobs_kwargs, JsonbPGetDatum(job.kwargs));
    set(jobs, jobs_limits, JsonbPGetDatum(job.limits));
    set(jobs, jobs_meta, JsonbPGetDatum(job.meta));
    set_state(jobs, state::pending);
    set(jobs, jobs_priority, Int32GetDatum(job.priority));
    set(jobs, jobs_attempts, Int32GetDatum(0));
    set(jobs, jobs_max_attempts, Int32GetDatum(job.max_attempts));
    set(jobs, jobs_created_at, TimestampTzGetDatum(GetCurrentTransactionStartTimestamp()));
    set(jobs, jobs_scheduled_at, TimestampTzGetDatum(due));
    if (job.key.data != nullptr) set(jobs, jobs_unique_key, text_datum(job.key));
    if (job.concurrency_key.data != nullptr) set(jobs, jobs_concurrency_key, text_datum(job.concurrency_key));
    set(jobs, jobs_errors, JsonbPGetDatum(no_errors()));
    set(jobs, jobs_recoveries, Int32GetDatum(0));
    if (job.mode == on_conflict::rerun) set(jobs, jobs_rerun, BoolGetDatum(true));
    if (job.unique_for != 0)
        set(jobs, jobs_unique_until, TimestampTzGetDatum(std::max(due, GetCurrentTransactionStartTimestamp()) + job.unique_for));
}

int64 take_tick() { return last_tick = next_tick(); }

int64 id_tick(const pg_uuid_t &id) {
    uint64 high;
    memcpy(&high, id.data, 8);
    return static_cast<int64>(pg_ntoh64(high) >> 4);
}

TimestampTz id_time(const pg_uuid_t &id) {
    uint64 high;
    memcpy(&high, id.data, 8);
    high = pg_ntoh64(high);
    // Chancy's ticks fit 56 bits until 2198; an RFC 9562 id has its version elsewhere.
    if ((high & 15) != 7 || (high >> 60) != 0 || (id.data[8] >> 6) != 2) return 0;
    return static_cast<TimestampTz>((high >> 4) / 10) - epoch_shift;
}

pg_uuid_t first_id(TimestampTz time) {
    constexpr int64 latest = (INT64CONST(1) << 60) / 10 - 1;  // what the ticks' 60 bits can say
    uint64 high = pg_hton64(static_cast<uint64>(std::clamp(time, -epoch_shift, latest - epoch_shift) + epoch_shift) * 10 << 4);
    pg_uuid_t id{};
    memcpy(id.data, &high, 8);
    return id;
}

// A column that the user added gets NULL, so one that needs a value cannot be honoured.
void check_added_columns(table &jobs) {
    TupleDesc desc = RelationGetDescr(jobs.rel);
    for (int i = jobs_columns; i < desc->natts; i++) {
        Form_pg_attribute column = TupleDescAttr(desc, i);
        if (!column->attisdropped && (column->atthasdef || column->attnotnull))
            ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                            errmsg("chancy.jobs has the added column \"%s\", which push leaves NULL", NameStr(column->attname)),
                            errhint("Drop its default and NOT NULL, or keep such data in a table of your own.")));
    }
}

// A keyless job meets nobody, so it is never buffered.
std::span<change> push_all(moment m, const char *name, std::span<new_job> given) {
    permit may = require(role_kind::producer);
    std::span<change> pushes = make_span<change>(given.size());
    permit *own = nullptr;
    size_t keyed = 0;
    for (size_t i = 0; i < given.size(); i++) {
        check_queue(may, given[i].queue);
        pushes[i] = {};
        pushes[i].kind = change_kind::push;
        pushes[i].element = pushes[i].order = i;
        pushes[i].job = &given[i];
        if (given[i].mode == on_conflict::replace && !may.all) {
            if (own == nullptr) *(own = static_cast<permit *>(palloc(sizeof(permit)))) = may;
            given[i].may = own;
        }
        if (given[i].key.data != nullptr) {
            pushes[i].key = given[i].key;
            keyed++;
        }
    }
    make_ids(pushes);
    std::span<change> later = make_span<change>(m == moment::commit ? keyed : 0);
    if (!later.empty()) {
        change *end = later.data();
        for (change &c : pushes) {
            if (c.key.data == nullptr) continue;
            *end++ = c;
            c.is = verdict::reserved;
        }
    }
    if (later.size() < pushes.size())
        with_jobs([=](table &jobs) {
            permit all{true, nullptr, 0};
            apply(jobs, pushes, {waiting::allowed, 0, all, nullptr});
        });
    buffer(name, later);
    return pushes;
}

namespace {

pg_uuid_t push_one(moment m, FunctionCallInfo fcinfo) {
    static const char *const names[] = {"func",         "kwargs",     "queue",  "priority", "max_attempts",
                                        "scheduled_at", "unique_key", "limits", "meta",     "on_conflict"};
    for (int i = 0; i < 10; i++)
        if (i != 6) check_given(fcinfo, i, names[i]);
    place here{nullptr, 0, nullptr};
    std::span<new_job> given = make_span<new_job>(1);
    given[0] = {.func = copy_argument_text(fcinfo, 0), .queue = copy_argument_text(fcinfo, 2), .key = copy_argument_text(fcinfo, 6),
                .concurrency_key = copy_argument_text(fcinfo, 10),
                .kwargs = PG_GETARG_JSONB_P_COPY(1), .limits = PG_GETARG_JSONB_P_COPY(7), .meta = PG_GETARG_JSONB_P_COPY(8),
                .priority = PG_GETARG_INT32(3), .max_attempts = PG_GETARG_INT32(4), .scheduled_at = PG_GETARG_TIMESTAMPTZ(5),
                .unique_for = fcinfo->args[11].isnull ? 0 : parse_period(PG_GETARG_INTERVAL_P(11), here.at("unique_for")),
                .mode = parse_on_conflict(argument_text(fcinfo, 9), here.at("on_conflict")), .list = nullptr, .may = nullptr};
    check_object(given[0].kwargs, here.at("kwargs"));
    check_object(given[0].meta, here.at("meta"));
    check_limits(given[0].limits, here.at("limits"));
    check_job(given[0], here);
    return push_all(m, "push", given)[0].id;
}

std::span<change> push_many(moment m, const char *name, FunctionCallInfo fcinfo) {
    // What is buffered points into the batch, so that has to live as long.
    Jsonb *batch = m == moment::now ? PG_GETARG_JSONB_P(0) : PG_GETARG_JSONB_P_COPY(0);
    std::span<new_job> given = make_span<new_job>(batch_size(batch, "jobs"));
    job_defaults d = make_defaults();
    each_object(batch, "jobs", [&](int i, JsonbContainer *object) {
        read_job_object(object, {"jobs", i, nullptr}, d, &given[i], nullptr);
    });
    return push_all(m, name, given);
}

}  // namespace

}  // namespace chancy

extern "C" {

CHANCY_FUNCTION(chancy_push) {
    using namespace chancy;
    PreventCommandIfReadOnly("chancy.push()");
    check_version();  // before the arguments: an older extension has fewer
    pg_uuid_t *id = static_cast<pg_uuid_t *>(palloc(sizeof(pg_uuid_t)));
    // Without a key there is nothing to wait for, so nothing to buffer.
    moment m = fcinfo->args[6].isnull ? moment::now : when();
    *id = with_call_memory(m, "chancy push", [=] { return push_one(m, fcinfo); });
    PG_RETURN_UUID_P(id);
}

CHANCY_FUNCTION(chancy_push_many) {
    using namespace chancy;
    PreventCommandIfReadOnly("chancy.push_many()");
    check_given(fcinfo, 0, "jobs");
    rows out = begin_rows(fcinfo);
    moment m = when();
    with_call_memory(m, "chancy push_many", [=] {
        for (const change &c : push_many(m, "push_many", fcinfo)) {
            Datum values[] = {Int32GetDatum(c.element + 1), UUIDPGetDatum(&c.id), BoolGetDatum(c.is == verdict::created)};
            bool nulls[] = {false, false, c.is == verdict::reserved};
            out.put(values, nulls);
        }
    });
    return 0;
}

CHANCY_FUNCTION(chancy_push_at_commit) {
    using namespace chancy;
    PreventCommandIfReadOnly("chancy.push_at_commit()");
    check_given(fcinfo, 0, "jobs");
    rows out = begin_rows(fcinfo);
    with_call_memory(moment::commit, "chancy push_at_commit", [=] {
        for (const change &c : push_many(moment::commit, "push_at_commit", fcinfo)) {
            Datum values[] = {Int32GetDatum(c.element + 1), UUIDPGetDatum(&c.id)};
            bool nulls[] = {false, false};
            out.put(values, nulls);
        }
    });
    return 0;
}

CHANCY_FUNCTION(chancy_id_time) {
    TimestampTz time = chancy::id_time(*PG_GETARG_UUID_P(0));
    if (time == 0) PG_RETURN_NULL();
    PG_RETURN_TIMESTAMPTZ(time);
}
}
