// How bad input is refused: SQLSTATE, the path of the element, a hint; always before a write.
#pragma once

#include "value.hpp"

namespace chancy {

// Where in the input a value stands: jobs[17].priority, or priority. Printed only when refused.
struct place {
    const char *list;   // null outside a batch
    int index;          // from 0, as in a JSON path
    const char *field;  // null for the element itself

    place at(const char *name) const { return {list, index, name}; }
};

// The path as text, in palloc'd memory.
char *path(place where);

// A value for a message, clipped after 100 bytes.
char *shown(bytes value);

// 22023: "<path> <problem>", with a hint.
[[noreturn]] void refuse(place where, const char *problem, const char *hint);

// 54000: too long or too many.
[[noreturn]] void refuse_size(place where, const char *problem, const char *hint);

// Refuses an empty text and one of more than max bytes.
void check_text(place where, bytes value, int max);

// Refuses NULL.
void check_given(FunctionCallInfo fcinfo, int n, const char *name);

// Refuses infinity.
void check_finite(place where, TimestampTz time);

constexpr int max_queue = 255;   // bytes
constexpr int max_name = 1024;   // bytes: func, unique_key, worker_id
constexpr int max_batch = 100000;

}  // namespace chancy
