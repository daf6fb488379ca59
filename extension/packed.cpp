#include "packed.hpp"

namespace chancy {

namespace {

Jsonb *parse(const char *json) { return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(json))); }

struct packer {
    JsonbParseState *state;

    void key(const char *name) {
        JsonbValue k;
        k.type = jbvString;
        k.val.string.val = const_cast<char *>(name);
        k.val.string.len = strlen(name);
        pushJsonbValue(&state, WJB_KEY, &k);
    }
    void text(const char *name, bytes value) {
        key(name);
        JsonbValue v;
        v.type = value.data == nullptr ? jbvNull : jbvString;
        v.val.string.val = const_cast<char *>(value.data);
        v.val.string.len = value.size;
        pushJsonbValue(&state, WJB_VALUE, &v);
    }
    void number(const char *name, Numeric value) {
        key(name);
        JsonbValue v;
        v.type = jbvNumeric;
        v.val.numeric = value;
        pushJsonbValue(&state, WJB_VALUE, &v);
    }
    void document(const char *name, Jsonb *value) {
        key(name);
        JsonbValue v;
        v.type = jbvBinary;
        v.val.binary.data = &value->root;
        v.val.binary.len = VARSIZE(value) - VARHDRSZ;
        pushJsonbValue(&state, WJB_VALUE, &v);
    }
};

Numeric whole(int32 value) { return DatumGetNumeric(DirectFunctionCall1(int4_numeric, Int32GetDatum(value))); }

Numeric seconds(TimestampTz time) {
    Datum micros = DirectFunctionCall1(int8_numeric, Int64GetDatum(time + epoch_shift));
    return DatumGetNumeric(DirectFunctionCall2(numeric_div, micros, DirectFunctionCall1(int8_numeric, Int64GetDatum(USECS_PER_SEC))));
}

JsonbValue *member(Jsonb *object, const char *name) {
    JsonbValue key;
    key.type = jbvString;
    key.val.string.val = const_cast<char *>(name);
    key.val.string.len = strlen(name);
    return JB_ROOT_IS_OBJECT(object) ? findJsonbValueFromContainer(&object->root, JB_FOBJECT, &key) : nullptr;
}

bytes text_of(Jsonb *packed, const char *name, bytes fallback) {
    JsonbValue *found = member(packed, name);
    return found != nullptr && found->type == jbvString ? bytes{found->val.string.val, found->val.string.len} : fallback;
}

Jsonb *document_of(Jsonb *packed, const char *name, uint32 kind, const char *fallback) {
    JsonbValue *found = member(packed, name);
    bool good = found != nullptr && found->type == jbvBinary && (found->val.binary.data->header & kind) != 0;
    return good ? JsonbValueToJsonb(found) : parse(fallback);
}

double number_of(Jsonb *packed, const char *name, double fallback) {
    return JB_ROOT_IS_OBJECT(packed) ? json_number(&packed->root, name, fallback) : fallback;
}

}  // namespace

Jsonb *pack_job(const new_job &job) {
    packer p{};
    pushJsonbValue(&p.state, WJB_BEGIN_OBJECT, nullptr);
    p.text("f", job.func);
    p.document("k", job.kwargs);
    p.number("p", whole(job.priority));
    p.number("a", whole(job.max_attempts));
    p.number("s", seconds(job.scheduled_at));
    p.document("l", job.limits);
    p.text("u", job.key);
    p.text("q", job.queue);
    p.document("m", job.meta);
    if (job.concurrency_key.data != nullptr) p.text("c", job.concurrency_key);
    return JsonbValueToJsonb(pushJsonbValue(&p.state, WJB_END_OBJECT, nullptr));
}

new_job unpack_job(Jsonb *packed) {
    new_job job{};
    job.func = text_of(packed, "f", {nullptr, 0});
    job.queue = text_of(packed, "q", view("default"));
    job.key = text_of(packed, "u", {nullptr, 0});
    job.concurrency_key = text_of(packed, "c", {nullptr, 0});
    job.kwargs = document_of(packed, "k", JB_FOBJECT, "{}");
    job.limits = document_of(packed, "l", JB_FARRAY, "[]");
    job.meta = document_of(packed, "m", JB_FOBJECT, "{}");
    job.priority = static_cast<int32>(std::clamp(number_of(packed, "p", 0), -2147483648.0, 2147483647.0));
    job.max_attempts = static_cast<int32>(std::clamp(number_of(packed, "a", 1), 1.0, 2147483647.0));
    double since_1970 = std::clamp(number_of(packed, "s", 0), 0.0, 2.5e11);
    job.scheduled_at = static_cast<TimestampTz>(since_1970 * USECS_PER_SEC) - epoch_shift;
    return job;
}

}  // namespace chancy
