// Reading jsonb input: arrays of objects, typed fields, errors that name the path.
#pragma once

#include "error.hpp"

namespace chancy {

// Calls on_element(index, container) for each object of the array; returns how many there were.
// Refuses what is not an array of objects, and more than max_batch elements.
template <typename OnElement>
int each_object(Jsonb *batch, const char *list, OnElement on_element);

// How many elements the batch has; refuses what is not an array or is too long.
int batch_size(Jsonb *batch, const char *list);
void check_batch_size(const char *list, int count);

// Calls on_field(name, value) for each field. A value that is JSON null is passed too: null means
// absent, but an unknown name is an error all the same.
template <typename OnField>
void each_field(JsonbContainer *object, OnField on_field) {
    JsonbIterator *iterator = JsonbIteratorInit(object);
    JsonbValue name, value;
    JsonbIteratorToken token;
    while ((token = JsonbIteratorNext(&iterator, &name, true)) != WJB_DONE) {
        if (token != WJB_KEY) continue;
        JsonbIteratorNext(&iterator, &value, true);
        on_field(bytes{name.val.string.val, name.val.string.len}, &value);
    }
}

template <typename OnElement>
int each_object(Jsonb *batch, const char *list, OnElement on_element) {
    int count = batch_size(batch, list);
    JsonbIterator *iterator = JsonbIteratorInit(&batch->root);
    JsonbValue element;
    JsonbIteratorToken token;
    int index = 0;
    while ((token = JsonbIteratorNext(&iterator, &element, true)) != WJB_DONE) {
        if (token != WJB_ELEM) continue;
        if (element.type != jbvBinary || !JsonContainerIsObject(element.val.binary.data))
            refuse({list, index, nullptr}, "must be an object", "Each element is a JSON object, such as {\"…\": …}.");
        on_element(index, element.val.binary.data);
        index++;
    }
    return count;
}

[[noreturn]] void refuse_field(place element, bytes name, const char *known);

bytes json_text(JsonbValue *value, place where);
int32 json_int(JsonbValue *value, place where, int32 min, int32 max);
TimestampTz json_time(JsonbValue *value, place where);
Interval *json_interval(JsonbValue *value, place where);
pg_uuid_t json_uuid(JsonbValue *value, place where);
Jsonb *json_object(JsonbValue *value, place where);
Jsonb *json_array(JsonbValue *value, place where);
Jsonb *json_any(JsonbValue *value);

// The field of an object; null when it is absent.
JsonbValue *json_field(JsonbContainer *object, const char *name);

// The field of an object as a double; fallback when it is absent or not a number.
double json_number(JsonbContainer *object, const char *name, double fallback);

// Refuses limits that are not [{"t": "time"|"memory", "v": whole number > 0}, …].
void check_limits(Jsonb *limits, place where);

void check_object(Jsonb *value, place where);

}  // namespace chancy
