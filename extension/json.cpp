#include "json.hpp"

#include "compat.hpp"

namespace chancy {

int batch_size(Jsonb *batch, const char *list) {
    place where{list, -1, nullptr};
    if (!JB_ROOT_IS_ARRAY(batch) || JB_ROOT_IS_SCALAR(batch))
        refuse(where, "must be an array", "Give a JSON array of objects.");
    int count = JB_ROOT_COUNT(batch);
    check_batch_size(list, count);
    return count;
}

void check_batch_size(const char *list, int count) {
    if (count > max_batch)
        refuse_size({list, -1, nullptr}, psprintf("has %d elements", count),
                    psprintf("At most %d elements are allowed in one call: split the batch.", max_batch));
}

void refuse_field(place element, bytes name, const char *known) {
    refuse(element.at(shown(name)), "is not a known key", psprintf("Known keys: %s.", known));
}

bytes json_text(JsonbValue *value, place where) {
    if (value->type != jbvString) refuse(where, "must be a string", "Give a JSON string.");
    return {value->val.string.val, value->val.string.len};
}

int32 json_int(JsonbValue *value, place where, int32 min, int32 max) {
    // numeric_int4 would round 1.5; the normalized text has digits only when the number is whole.
    if (value->type == jbvNumeric) {
        char *digits = numeric_normalize(value->val.numeric);
        bool failed = strpbrk(digits, ".eEN") != nullptr;
        int32 number = failed ? 0 : numeric_int4_opt_error(value->val.numeric, &failed);
        if (!failed && number >= min && number <= max) return number;
    }
    refuse(where, psprintf("must be a whole number from %d to %d", min, max), "Give a JSON number.");
}

TimestampTz json_time(JsonbValue *value, place where) {
    const char *hint = "Give a time with its zone, such as \"2030-01-31T12:00:00Z\".";
    bytes text = json_text(value, where);
    char work[MAXDATELEN + MAXDATEFIELDS];
    char *field[MAXDATEFIELDS];
    int type[MAXDATEFIELDS];
    int fields, kind, zone;
    fsec_t fraction;
    pg_tm tm;
    TimestampTz time;
    if (ParseDateTime(to_cstring(text), work, sizeof work, field, type, MAXDATEFIELDS, &fields) == 0 &&
        compat::decode_date_time(field, type, fields, &kind, &tm, &fraction, &zone) == 0) {
        if (kind == DTK_DATE && tm2timestamp(&tm, fraction, &zone, &time) == 0) return time;
        if (kind == DTK_LATE || kind == DTK_EARLY) check_finite(where, DT_NOEND);
        if (kind == DTK_EPOCH) return SetEpochTimestamp();
    }
    refuse(where, psprintf("is not a time: \"%s\"", shown(text)), hint);
}

namespace {
// Puts the path into an error of interval_in, which knows only the text.
void say_not_interval(void *argument) {
    const place *where = static_cast<const place *>(argument);
    errcode(ERRCODE_INVALID_PARAMETER_VALUE);
    errmsg("%s is not an interval", path(*where));
    errhint("Give an interval, such as \"15 min\".");
}
}  // namespace

Interval *json_interval(JsonbValue *value, place where) {
    char *text = to_cstring(json_text(value, where));
    ErrorContextCallback context{error_context_stack, say_not_interval, &where};
    error_context_stack = &context;
    Datum interval = DirectFunctionCall3(interval_in, CStringGetDatum(text), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
    error_context_stack = context.previous;
    return DatumGetIntervalP(interval);
}

pg_uuid_t json_uuid(JsonbValue *value, place where) {
    bytes text = json_text(value, where);
    pg_uuid_t id;
    int digits = 0;
    for (int i = 0; i < text.size; i++) {
        char c = text.data[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (c == '-' && (digits == 8 || digits == 12 || digits == 16 || digits == 20)) continue;
        if (digit < 0 || digits == 2 * UUID_LEN) {
            digits = -1;
            break;
        }
        id.data[digits / 2] = digits % 2 == 0 ? digit << 4 : id.data[digits / 2] | digit;
        digits++;
    }
    if (digits != 2 * UUID_LEN)
        refuse(where, psprintf("is not a uuid: \"%s\"", shown(text)), "Give a job's id as push returned it.");
    return id;
}

Jsonb *json_object(JsonbValue *value, place where) {
    if (value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
        refuse(where, "must be an object", "Give a JSON object, such as {}.");
    return JsonbValueToJsonb(value);
}

Jsonb *json_array(JsonbValue *value, place where) {
    if (value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
        refuse(where, "must be an array", "Give a JSON array, such as [].");
    return JsonbValueToJsonb(value);
}

Jsonb *json_any(JsonbValue *value) { return JsonbValueToJsonb(value); }

void check_object(Jsonb *value, place where) {
    if (!JB_ROOT_IS_OBJECT(value)) refuse(where, "must be an object", "Give a JSON object, such as {}.");
}

JsonbValue *json_field(JsonbContainer *object, const char *name) {
    JsonbValue key;
    key.type = jbvString;
    key.val.string.val = const_cast<char *>(name);
    key.val.string.len = strlen(name);
    return findJsonbValueFromContainer(object, JB_FOBJECT, &key);
}

double json_number(JsonbContainer *object, const char *name, double fallback) {
    JsonbValue *found = json_field(object, name);
    if (found == nullptr || found->type != jbvNumeric) return fallback;
    return DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(found->val.numeric)));
}

void check_limits(Jsonb *limits, place where) {
    const char *hint = "Limits are [{\"t\": \"time\", \"v\": seconds}, {\"t\": \"memory\", \"v\": bytes}].";
    if (!JB_ROOT_IS_ARRAY(limits) || JB_ROOT_IS_SCALAR(limits)) refuse(where, "must be an array", hint);
    JsonbIterator *iterator = JsonbIteratorInit(&limits->root);
    JsonbValue element;
    JsonbIteratorToken token;
    int index = 0;
    while ((token = JsonbIteratorNext(&iterator, &element, true)) != WJB_DONE) {
        if (token != WJB_ELEM) continue;
        place at = where.at(psprintf("%s[%d]", where.field, index++));
        if (element.type != jbvBinary || !JsonContainerIsObject(element.val.binary.data))
            refuse(at, "must be an object", hint);
        bool has_type = false, has_value = false;
        each_field(element.val.binary.data, [&](bytes name, JsonbValue *value) {
            if (name == view("t")) {
                if (value->type != jbvString || (!(json_text(value, at) == view("time")) &&
                                                 !(json_text(value, at) == view("memory"))))
                    refuse(at.at(psprintf("%s.t", at.field)), "must be \"time\" or \"memory\"", hint);
                has_type = true;
            } else if (name == view("v")) {
                // Bytes of memory exceed int4, so only "a whole number above 0" is asked.
                if (value->type != jbvNumeric || strpbrk(numeric_normalize(value->val.numeric), ".-N") != nullptr ||
                    strcmp(numeric_normalize(value->val.numeric), "0") == 0)
                    refuse(at.at(psprintf("%s.v", at.field)), "must be a whole number above 0", hint);
                has_value = true;
            } else {
                refuse(at.at(psprintf("%s.%s", at.field, shown(name))), "is not a known key", hint);
            }
        });
        if (!has_type || !has_value) refuse(at, "must have t and v", hint);
    }
}

}  // namespace chancy
