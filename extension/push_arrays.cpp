// push_arrays: push_many for clients that send typed arrays, in binary: nothing is parsed but kwargs.
#include "arrays.hpp"
#include "buffer.hpp"
#include "push.hpp"
#include "rows.hpp"
#include "version.hpp"

namespace chancy {

namespace {

constexpr const char *names[] = {"func",       "kwargs", "queue", "priority",    "max_attempts",    "scheduled_at",
                                 "unique_key", "limits", "meta",  "on_conflict", "concurrency_key", "unique_for"};
constexpr int parameters = lengthof(names);

// The documents of all jobs are one, since that is parsed much faster than many: an array with an object for each, or an object
// for all.
elements read_documents(FunctionCallInfo fcinfo, int n, bool copy) {
    elements e{};
    if (fcinfo->args[n].isnull) return e;
    Jsonb *all = copy ? PG_GETARG_JSONB_P_COPY(n) : PG_GETARG_JSONB_P(n);
    bool each = JB_ROOT_IS_ARRAY(all) && !JB_ROOT_IS_SCALAR(all);
    e.count = each ? JB_ROOT_COUNT(all) : 1;
    e.values = make_span<Datum>(e.count).data();
    e.nulls = make_span<bool>(e.count).data();
    e.values[0] = JsonbPGetDatum(all);
    e.nulls[0] = false;
    JsonbIterator *at = JsonbIteratorInit(&all->root);
    JsonbValue value;
    if (each) JsonbIteratorNext(&at, &value, true);
    for (int i = 0; each && JsonbIteratorNext(&at, &value, true) == WJB_ELEM; i++) {
        CHECK_FOR_INTERRUPTS();
        e.nulls[i] = value.type == jbvNull;
        if (!e.nulls[i]) e.values[i] = JsonbPGetDatum(json_object(&value, place{"jobs", i, names[n]}));
    }
    return e;
}

void read_job(std::span<const elements> given, int i, const job_defaults &d, new_job *job) {
    place where{"jobs", i, nullptr};
    *job = default_job(d, where.list);
    Datum value;
    auto text = [&](int n, bytes *into) {
        if (given[n].get(i, &value)) *into = view(value);
    };
    auto document = [&](int n, Jsonb **into) {
        if (given[n].get(i, &value)) *into = DatumGetJsonbP(value);
        return *into;
    };
    text(0, &job->func);
    check_object(document(1, &job->kwargs), where.at(names[1]));
    text(2, &job->queue);
    if (given[3].get(i, &value)) job->priority = DatumGetInt32(value);
    if (given[4].get(i, &value)) job->max_attempts = DatumGetInt32(value);
    if (given[5].get(i, &value)) job->scheduled_at = DatumGetTimestampTz(value);
    text(6, &job->key);
    if (given[7].get(i, &value)) check_limits(job->limits = DatumGetJsonbP(value), where.at(names[7]));
    check_object(document(8, &job->meta), where.at(names[8]));
    if (given[9].get(i, &value)) job->mode = parse_on_conflict(view(value), where.at(names[9]));
    text(10, &job->concurrency_key);
    if (given[11].get(i, &value)) job->unique_for = parse_period(DatumGetIntervalP(value), where.at(names[11]));
    check_job(*job, where);
}

std::span<change> push_arrays(moment m, FunctionCallInfo fcinfo) {
    elements given[parameters];
    // What is buffered points into the arrays, so they have to live as long.
    for (int n = 0; n < parameters; n++)
        given[n] = n == 1 ? read_documents(fcinfo, n, m != moment::now) : read_elements(fcinfo, n, names[n], m != moment::now);
    size_t count = count_elements(given, names);
    std::span<new_job> jobs = make_span<new_job>(count);
    job_defaults d = make_defaults();
    for (size_t i = 0; i < count; i++) {
        CHECK_FOR_INTERRUPTS();
        read_job(given, static_cast<int>(i), d, &jobs[i]);
    }
    return push_all(m, "push_arrays", jobs);
}

Datum array_of(Oid type, int length, bool by_value, char align, Datum *values, bool *nulls, int count) {
    int lower = 1;
    return PointerGetDatum(count == 0 ? construct_empty_array(type)
                                      : construct_md_array(values, nulls, 1, &count, &lower, type, length, by_value, align));
}

}  // namespace

}  // namespace chancy

extern "C" {

CHANCY_FUNCTION(chancy_push_arrays) {
    using namespace chancy;
    PreventCommandIfReadOnly("chancy.push_arrays()");
    check_given(fcinfo, 0, "func");
    rows out = begin_rows(fcinfo);
    moment m = when();
    with_call_memory(m, "chancy push_arrays", [=] {
        std::span<change> pushes = push_arrays(m, fcinfo);
        int count = static_cast<int>(pushes.size());
        Datum *ids = make_span<Datum>(count).data(), *created = make_span<Datum>(count).data();
        bool *open = make_span<bool>(count).data();
        for (int i = 0; i < count; i++) {
            ids[i] = UUIDPGetDatum(&pushes[i].id);
            created[i] = BoolGetDatum(pushes[i].is == verdict::created);
            open[i] = pushes[i].is == verdict::reserved;
        }
        Datum values[] = {array_of(UUIDOID, UUID_LEN, false, TYPALIGN_CHAR, ids, nullptr, count), array_of(BOOLOID, 1, true, TYPALIGN_CHAR, created, open, count)};
        bool nulls[] = {false, false};
        out.put(values, nulls);
    });
    return 0;
}
}
