// A cron expression: which seconds of the local clock it means. Knows nothing of the server, of time zones or of the
// moment: cron_clock.hpp does.
//
//     minute hour day-of-month month day-of-week [second]
//
// The seconds come last, as in Chancy's rows; without them a tick is at second 0. docs/sql-cron.md has the syntax.
#pragma once

#include <cstdint>

namespace chancy {

struct cron_expression {
    uint64_t seconds, minutes;  // a bit for each value
    uint32_t hours, months;
    uint32_t days;             // of the month, bits 1 to 31
    uint32_t near_days;        // nW: bits 1 to 31
    uint32_t from_last;        // L and L-n: bit n, 0 to 30
    bool last_weekday;         // LW
    uint8_t weekdays;          // of the week, bits 0 (Sunday) to 6
    uint8_t nth[7];            // d#n: for each day of the week bits 1 to 5
    uint8_t last_of;           // dL: the last such day of the month, bits 0 to 6
    bool any_day, any_weekday;  // the field is *: only the other one counts; if neither is, either will do
    bool every_hour;
    bool has_seconds;
    bool portable;  // Chancy's Python code (croniter) reads it the same
};

// What is wrong with a text: field counts from 0, or is -1 for the whole; begin to end is the piece of the text.
struct cron_error {
    const char *problem;  // null: nothing
    const char *hint;
    int field, begin, end;
};

cron_error parse_cron(const char *text, int size, cron_expression *into);

// The names of the fields, as messages tell them.
const char *cron_field_name(int field);

// The local clock in seconds since 1970-01-01 00:00:00 on that clock. The first time after `after` that the expression
// means, or cron_never: none within 100 years.
constexpr int64_t cron_never = INT64_MAX;
int64_t next_local(const cron_expression &cron, int64_t after);

// Days since 1970-01-01, for what shows dates.
int64_t days_from_civil(int64_t year, int month, int day);

}  // namespace chancy
