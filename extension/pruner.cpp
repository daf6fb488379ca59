// pruner: delete finished jobs.
//
// Rules are Chancy's (age, queue, func, state, combined), as jsonb, validated before anything is deleted, and
// never SQL. Age counts from completion. The walk goes from the newest job to the oldest, so that "keep"
// can count; what somebody holds is passed by.
#include "pruner.hpp"

#include "buffer.hpp"
#include "purge.hpp"
#include "task.hpp"
#include "workflow.hpp"

namespace chancy {

namespace {

enum class test : uint8 { age, queue, func, state, keep, all_of, any_of, none_of };

struct rule {
    test is;
    TimestampTz before;         // age
    int32 keep;                 // keep
    std::span<bytes> texts;     // queue, func, state
    std::span<rule> parts;      // all_of, any_of, none_of
};

constexpr const char *hint =
    "A rule is {\"age\": \"7 days\"}, {\"queue\": …}, {\"func\": …}, {\"state\": …}, {\"keep\": 1000}, {\"and\": [rules]}, "
    "{\"or\": [rules]} or {\"not\": rule}.";

rule read_rule(JsonbContainer *object, const char *path);

std::span<bytes> read_texts(JsonbValue *value, place where) {
    if (value->type == jbvString) {
        bytes *one = static_cast<bytes *>(palloc(sizeof(bytes)));
        *one = json_text(value, where);
        return {one, 1};
    }
    if (value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data)) refuse(where, "must be a string or an array of strings", hint);
    size_t count = JsonContainerSize(value->val.binary.data);
    bytes *texts = static_cast<bytes *>(palloc(sizeof(bytes) * (count + 1)));
    for (size_t i = 0; i < count; i++) texts[i] = json_text(getIthJsonbValueFromContainer(value->val.binary.data, i), where);
    return {texts, count};
}

std::span<rule> read_parts(JsonbValue *value, const char *path) {
    place where{nullptr, 0, path};
    if (value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data)) refuse(where, "must be an array of rules", hint);
    size_t count = JsonContainerSize(value->val.binary.data);
    if (count == 0) refuse(where, "must not be empty", hint);
    rule *parts = static_cast<rule *>(palloc(sizeof(rule) * count));
    for (size_t i = 0; i < count; i++) {
        JsonbValue *part = getIthJsonbValueFromContainer(value->val.binary.data, i);
        const char *at = psprintf("%s[%zu]", path, i);
        if (part->type != jbvBinary) refuse({nullptr, 0, at}, "must be an object", hint);
        parts[i] = read_rule(part->val.binary.data, at);
    }
    return {parts, count};
}

TimestampTz read_age(JsonbValue *value, place where) {
    char *text = to_cstring(json_text(value, where));
    Interval *age = DatumGetIntervalP(
        DirectFunctionCall3(interval_in, CStringGetDatum(text), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
    return DatumGetTimestampTz(DirectFunctionCall2(timestamptz_mi_interval, TimestampTzGetDatum(GetCurrentTimestamp()),
                                                   IntervalPGetDatum(age)));
}

rule read_rule(JsonbContainer *object, const char *path) {
    place where{nullptr, 0, path};
    check_stack_depth();
    if (!JsonContainerIsObject(object) || JsonContainerSize(object) != 1) refuse(where, "must be an object with one key", hint);
    rule r{};
    each_field(object, [&](bytes name, JsonbValue *value) {
        const char *at = psprintf("%s.%s", path, shown(name));
        place here{nullptr, 0, at};
        if (name == view("age")) {
            r.is = test::age;
            r.before = read_age(value, here);
        } else if (name == view("queue") || name == view("func")) {
            r.is = name == view("queue") ? test::queue : test::func;
            r.texts = read_texts(value, here);
        } else if (name == view("state")) {
            r.is = test::state;
            r.texts = read_texts(value, here);
            for (bytes s : r.texts)
                if (is_live(parse_state(s, here))) refuse(here, "must be succeeded or failed", "Live jobs are never pruned.");
        } else if (name == view("keep")) {
            r.is = test::keep;
            r.keep = json_int(value, here, 0, PG_INT32_MAX);
        } else if (name == view("and") || name == view("or")) {
            r.is = name == view("and") ? test::all_of : test::any_of;
            r.parts = read_parts(value, at);
        } else if (name == view("not")) {
            if (value->type != jbvBinary) refuse(here, "must be a rule", hint);
            rule *part = static_cast<rule *>(palloc(sizeof(rule)));
            *part = read_rule(value->val.binary.data, at);
            r.is = test::none_of;
            r.parts = {part, 1};
        } else {
            refuse(here, "is not a known key", hint);
        }
    });
    return r;
}

// How many finished jobs of each queue the walk has seen; queues are few.
struct seen_queue {
    bytes name;
    int32 count;
};
struct seen_queues {
    seen_queue *items;
    int count, capacity;
};

int32 count_seen(seen_queues &seen, bytes queue) {
    for (int i = 0; i < seen.count; i++)
        if (seen.items[i].name == queue) return ++seen.items[i].count;
    if (seen.count == seen.capacity) {
        seen.capacity = std::max(16, seen.capacity * 2);
        size_t size = sizeof(seen_queue) * seen.capacity;
        seen.items = static_cast<seen_queue *>(seen.items == nullptr ? palloc(size) : repalloc(seen.items, size));
    }
    seen.items[seen.count++] = {view(pnstrdup(queue.data, queue.size)), 1};
    return 1;
}

bool contains(std::span<bytes> texts, bytes wanted) {
    return std::any_of(texts.begin(), texts.end(), [=](bytes t) { return t == wanted; });
}

// newer: how many finished jobs of the queue are newer, this one included.
bool matches(const rule &r, const job_row &row, bytes func, TimestampTz completed, int32 newer) {
    auto part = [&](const rule &p) { return matches(p, row, func, completed, newer); };
    switch (r.is) {
        case test::age:
            return completed != 0 && completed < r.before;
        case test::queue:
            return contains(r.texts, row.queue);
        case test::func:
            return contains(r.texts, func);
        case test::state:
            return contains(r.texts, view(name(row.is)));
        case test::keep:
            return newer > r.keep;
        case test::all_of:
            return std::all_of(r.parts.begin(), r.parts.end(), part);
        case test::any_of:
            return std::any_of(r.parts.begin(), r.parts.end(), part);
        case test::none_of:
            return std::none_of(r.parts.begin(), r.parts.end(), part);
    }
    return false;
}

// Until unique_until a finished job keeps its key taken.
bool holds_key(TupleTableSlot *slot, TimestampTz now) {
    return !slot->tts_isnull[jobs_unique_until - 1] && DatumGetTimestampTz(slot->tts_values[jobs_unique_until - 1]) > now;
}

}  // namespace

int prune(Jsonb *given, int32 up_to) {
    if (!JB_ROOT_IS_OBJECT(given)) refuse({nullptr, 0, "rule"}, "must be an object", hint);
    rule r = read_rule(&given->root, "rule");
    int deleted = 0;
    TimestampTz now = GetCurrentTimestamp();
    with_jobs([&, up_to, now](table &jobs) {
        check_deletable(jobs.rel);
        seen_queues seen{};
        lookup newest_first = begin_lookup(jobs, "jobs_pkey", InvalidOid, InvalidOid, SnapshotSelf);
        index_rescan(newest_first.scan, nullptr, 0, nullptr, 0);
        while (deleted < up_to && index_getnext_slot(newest_first.scan, BackwardScanDirection, jobs.found)) {
            CHECK_FOR_INTERRUPTS();
            job_row row = read_job(jobs.found);
            if (is_live(row.is) || row.has_next || holds_key(jobs.found, now)) continue;
            Datum *values = jobs.found->tts_values;
            TimestampTz completed =
                jobs.found->tts_isnull[jobs_completed_at - 1] ? 0 : DatumGetTimestampTz(values[jobs_completed_at - 1]);
            if (!matches(r, row, view(values[jobs_func - 1]), completed, count_seen(seen, row.queue))) continue;
            // Later steps read its result.
            if (marks_step(DatumGetJsonbP(values[jobs_meta - 1])) && is_step_under_way(row.id)) continue;
            ItemPointerData tid = jobs.found->tts_tid;
            deleted += delete_row(jobs.rel, &tid, false) == TM_Ok;
        }
        end_lookup(newest_first);
    });
    if (deleted > 0) note_locks();
    CommandCounterIncrement();
    return deleted;
}

namespace {

task_result run_pruner(const task_settings &s) {
    JsonbValue *given = s.find("rule");
    if (given == nullptr) return {"{\"deleted\": 0}", 0, {nullptr, 0}};
    int32 up_to = s.whole("up_to", 10000);
    int deleted = prune(JsonbValueToJsonb(given), up_to);
    return {psprintf("{\"deleted\": %d}", deleted), deleted == up_to ? 1 : 0, {nullptr, 0}};
}

void check_rule(JsonbValue *value, place where) {
    if (value->type != jbvBinary) refuse(where, "must be an object", hint);
    read_rule(value->val.binary.data, where.field);
}

constexpr task_setting known[] = {
    {"rule", task_setting::custom, 0, 0, check_rule},
    {"up_to", task_setting::whole, 1, 1e6, nullptr},
};

}  // namespace

extern const task pruner_task;
constinit const task pruner_task{"pruner", 60 * USECS_PER_SEC, known, run_pruner, nullptr};

}  // namespace chancy

extern "C" {

CHANCY_FUNCTION(chancy_prune_jobs) {
    using namespace chancy;
    PreventCommandIfReadOnly("chancy.prune_jobs()");
    check_given(fcinfo, 0, "rule");
    check_given(fcinfo, 1, "up_to");
    if (PG_GETARG_INT32(1) < 1) refuse({nullptr, 0, "up_to"}, "must be at least 1", "Call again for more.");
    require(role_kind::admin);
    PG_RETURN_INT32(with_memory("chancy prune_jobs", [=] { return prune(PG_GETARG_JSONB_P(0), PG_GETARG_INT32(1)); }));
}
}
