#include "rule.hpp"

#include "jobs.hpp"
#include "task.hpp"

namespace chancy {

const char *const rule_hint =
    "A rule is {\"age\": \"7 days\"}, {\"queue\": …}, {\"func\": …}, {\"state\": …}, {\"keep\": 1000}, {\"and\": [rules]}, "
    "{\"or\": [rules]} or {\"not\": rule}.";

namespace {

rule read_object(JsonbContainer *object, const char *path, rule_use use);

std::span<bytes> read_texts(JsonbValue *value, place where) {
    if (value->type == jbvString) {
        bytes *one = static_cast<bytes *>(palloc(sizeof(bytes)));
        *one = json_text(value, where);
        return {one, 1};
    }
    if (value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
        refuse(where, "must be a string or an array of strings", rule_hint);
    size_t count = JsonContainerSize(value->val.binary.data);
    bytes *texts = static_cast<bytes *>(palloc(sizeof(bytes) * (count + 1)));
    for (size_t i = 0; i < count; i++) texts[i] = json_text(getIthJsonbValueFromContainer(value->val.binary.data, i), where);
    return {texts, count};
}

std::span<rule> read_parts(JsonbValue *value, const char *path, rule_use use) {
    place where{nullptr, 0, path};
    if (value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data)) refuse(where, "must be an array of rules", rule_hint);
    size_t count = JsonContainerSize(value->val.binary.data);
    if (count == 0) refuse(where, "must not be empty", rule_hint);
    rule *parts = static_cast<rule *>(palloc(sizeof(rule) * count));
    for (size_t i = 0; i < count; i++) {
        JsonbValue *part = getIthJsonbValueFromContainer(value->val.binary.data, i);
        const char *at = psprintf("%s[%zu]", path, i);
        if (part->type != jbvBinary) refuse({nullptr, 0, at}, "must be an object", rule_hint);
        parts[i] = read_object(part->val.binary.data, at, use);
    }
    return {parts, count};
}

// n, or {"count": n, "per": "queue" | "func"}.
void read_keep(rule &r, JsonbValue *value, place where) {
    r.is = rule::keep;
    if (value->type != jbvBinary) {
        r.count = json_int(value, where, 0, PG_INT32_MAX);
        return;
    }
    if (!JsonContainerIsObject(value->val.binary.data)) refuse(where, "must be a number or an object", rule_hint);
    bool counted = false;
    each_field(value->val.binary.data, [&](bytes name, JsonbValue *field) {
        place here{nullptr, 0, psprintf("%s.%s", where.field, shown(name))};
        if (name == view("count")) {
            r.count = json_int(field, here, 0, PG_INT32_MAX);
            counted = true;
        } else if (name == view("per")) {
            bytes per = json_text(field, here);
            r.per_func = per == view("func");
            if (!r.per_func && !(per == view("queue"))) refuse(here, "must be \"queue\" or \"func\"", rule_hint);
        } else {
            refuse(here, "is not a known key", "Known: count, per.");
        }
    });
    if (!counted) refuse(where, "must have a count", "Such as {\"keep\": {\"count\": 1000, \"per\": \"func\"}}.");
}

void check_states(const rule &r, place where) {
    for (bytes s : r.texts)
        if (is_live(parse_state(s, where))) refuse(where, "must be succeeded or failed", "Live jobs are never pruned.");
}

rule read_object(JsonbContainer *object, const char *path, rule_use use) {
    place where{nullptr, 0, path};
    check_stack_depth();
    if (!JsonContainerIsObject(object) || JsonContainerSize(object) != 1)
        refuse(where, "must be an object with one key", rule_hint);
    rule r{};
    each_field(object, [&](bytes name, JsonbValue *value) {
        const char *at = psprintf("%s.%s", path, shown(name));
        place here{nullptr, 0, at};
        bool finished = use == rule_use::finished;
        if (name == view("age")) {
            r.is = rule::age;
            r.span = json_span(value, here, 0, 1e9);
        } else if (name == view("queue") || name == view("func")) {
            r.is = name == view("queue") ? rule::queue : rule::func;
            r.texts = read_texts(value, here);
        } else if (name == view("state") && finished) {
            r.is = rule::state;
            r.texts = read_texts(value, here);
            check_states(r, here);
        } else if (name == view("keep") && finished) {
            read_keep(r, value, here);
        } else if (name == view("and") || name == view("or")) {
            r.is = name == view("and") ? rule::all_of : rule::any_of;
            r.parts = read_parts(value, at, use);
        } else if (name == view("not")) {
            if (value->type != jbvBinary) refuse(here, "must be a rule", rule_hint);
            rule *part = static_cast<rule *>(palloc(sizeof(rule)));
            *part = read_object(value->val.binary.data, at, use);
            r.is = rule::none_of;
            r.parts = {part, 1};
        } else {
            refuse(here, "is not a known key",
                   finished ? rule_hint : "Of jobs that wait, a rule asks {\"age\"}, {\"queue\"}, {\"func\"}, {\"and\"}, {\"or\"} or {\"not\"}.");
        }
    });
    return r;
}

bool contains(std::span<bytes> texts, bytes wanted) {
    return std::any_of(texts.begin(), texts.end(), [=](bytes t) { return t == wanted; });
}

}  // namespace

rule read_rule(Jsonb *given, const char *path, rule_use use) {
    if (!JB_ROOT_IS_OBJECT(given)) refuse({nullptr, 0, path}, "must be an object", rule_hint);
    return read_object(&given->root, path, use);
}

bool matches(const rule &r, const job_facts &job, TimestampTz now) {
    auto part = [&](const rule &p) { return matches(p, job, now); };
    switch (r.is) {
        case rule::age:
            return job.since <= now - r.span;
        case rule::queue:
            return contains(r.texts, job.queue);
        case rule::func:
            return contains(r.texts, job.func);
        case rule::state:
            return contains(r.texts, job.state);
        case rule::keep:
            return (r.per_func ? job.newer_in_func : job.newer_in_queue) > r.count;
        case rule::all_of:
            return std::all_of(r.parts.begin(), r.parts.end(), part);
        case rule::any_of:
            return std::any_of(r.parts.begin(), r.parts.end(), part);
        case rule::none_of:
            return std::none_of(r.parts.begin(), r.parts.end(), part);
    }
    return false;
}

TimestampTz earliest_match(const rule &r, const job_facts &job, TimestampTz now) {
    if (matches(r, job, now)) return now;
    TimestampTz at = DT_NOEND;
    switch (r.is) {
        case rule::age:
            return TIMESTAMP_NOT_FINITE(job.since) ? DT_NOEND : job.since + r.span;
        case rule::all_of:
            at = now;
            for (const rule &p : r.parts) at = std::max(at, earliest_match(p, job, now));
            return at;
        case rule::any_of:
            for (const rule &p : r.parts) at = std::min(at, earliest_match(p, job, now));
            return at;
        case rule::none_of:
            // Time makes a rule match, so it takes this one's match away, unless the part says "not" itself.
            return r.parts[0].parts.empty() ? DT_NOEND : now;
        default:
            return DT_NOEND;
    }
}

int64 least_age(const rule &r) {
    int64 age = 0;
    switch (r.is) {
        case rule::age:
            return r.span;
        case rule::all_of:
            for (const rule &p : r.parts) age = std::max(age, least_age(p));
            return age;
        case rule::any_of:
            age = least_age(r.parts[0]);
            for (const rule &p : r.parts) age = std::min(age, least_age(p));
            return age;
        default:
            return 0;
    }
}

bool excludes_queue(const rule &r, bytes queue) {
    auto part = [=](const rule &p) { return excludes_queue(p, queue); };
    if (r.is == rule::queue) return !contains(r.texts, queue);
    if (r.is == rule::all_of) return std::any_of(r.parts.begin(), r.parts.end(), part);
    return r.is == rule::any_of && std::all_of(r.parts.begin(), r.parts.end(), part);
}

bool counts(const rule &r, bool per_func) {
    if (r.is == rule::keep) return r.per_func == per_func;
    return std::any_of(r.parts.begin(), r.parts.end(), [=](const rule &p) { return counts(p, per_func); });
}

}  // namespace chancy
