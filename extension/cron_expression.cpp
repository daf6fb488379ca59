#include "cron_expression.hpp"

#include <cstring>

namespace chancy {

namespace {

enum field : int { minute, hour, day, month, weekday, second, fields };

struct range {
    const char *name;
    int low, high;
    const char *hint;
};

constexpr range ranges[fields] = {
    {"minute", 0, 59, "Minutes are 0 to 59: 5, 0-30, */15, 1,2,3."},
    {"hour", 0, 23, "Hours are 0 to 23: 5, 8-18, */2."},
    {"day of month", 1, 31, "Days are 1 to 31, L (the last), L-3, 15W (the weekday next to it), LW."},
    {"month", 1, 12, "Months are 1 to 12 or JAN to DEC."},
    {"day of week", 0, 7, "Days are 0 to 7 or SUN to SAT, 0 and 7 are Sunday; 5#2 is the second Friday, 5L the last one."},
    {"second", 0, 59, "Seconds are 0 to 59, and stand last."},
};

constexpr const char *month_names = "janfebmaraprmayjunjulaugsepoctnovdec";
constexpr const char *weekday_names = "sunmontuewedthufrisat";

struct alias {
    const char *name, *text;
};
constexpr alias aliases[] = {
    {"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}, {"@monthly", "0 0 1 * *"}, {"@weekly", "0 0 * * 0"},
    {"@daily", "0 0 * * *"},  {"@midnight", "0 0 * * *"}, {"@hourly", "0 * * * *"},
};

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return lower(c) >= 'a' && lower(c) <= 'z'; }
bool is_space(char c) { return c == ' ' || c == '\t'; }

bool equals(const char *text, int size, const char *name) {
    if (size != static_cast<int>(strlen(name))) return false;
    for (int i = 0; i < size; i++)
        if (lower(text[i]) != name[i]) return false;
    return true;
}

// Reads one field; stops at the first thing that is wrong.
struct reader {
    const char *text;
    int begin, at, end;
    int which;
    cron_expression *cron;
    cron_error error;

    // Nothing to show: the field as a whole. Never half a character.
    bool fail(const char *problem, int from, int to) {
        if (from == to) {
            from = begin;
            to = end;
        }
        while (to < end && (text[to] & 0xc0) == 0x80) to++;
        if (error.problem == nullptr) error = {problem, ranges[which].hint, which, from, to};
        return false;
    }
    char peek() const { return at < end ? lower(text[at]) : 0; }
    char ahead(int n) const { return at + n < end ? lower(text[at + n]) : 0; }

    // A number of at most four digits.
    bool number(int *value) {
        int from = at;
        for (*value = 0; at < end && is_digit(text[at]); at++) *value = at - from < 4 ? *value * 10 + (text[at] - '0') : *value;
        if (at == from) return fail("is not a number", from, at < end ? at + 1 : at);
        if (at - from > 4) return fail("is out of range", from, at);
        return true;
    }

    // A number or a name of this field.
    bool value(int *v) {
        int from = at;
        const char *names = which == month ? month_names : which == weekday ? weekday_names : nullptr;
        if (names != nullptr && is_letter(peek())) {
            while (is_letter(peek())) at++;
            if (which == weekday && at - from == 4 && lower(text[at - 1]) == 'l') at--;  // FRIL
            for (int i = 0; names[i * 3] != 0; i++)
                if (at - from == 3 && lower(text[from]) == names[i * 3] && lower(text[from + 1]) == names[i * 3 + 1] &&
                    lower(text[from + 2]) == names[i * 3 + 2]) {
                    *v = which == month ? i + 1 : i;
                    return true;
                }
            return fail("is not a name of this field", from, at);
        }
        if (!number(v)) return false;
        if (*v < ranges[which].low || *v > ranges[which].high) return fail("is out of range", from, at);
        return true;
    }

    void add(int v) {
        switch (which) {
            case minute: cron->minutes |= UINT64_C(1) << v; break;
            case hour: cron->hours |= UINT32_C(1) << v; break;
            case day: cron->days |= UINT32_C(1) << v; break;
            case month: cron->months |= UINT32_C(1) << v; break;
            case weekday: cron->weekdays |= static_cast<uint8_t>(1 << v % 7); break;
            default: cron->seconds |= UINT64_C(1) << v; break;
        }
    }

    // One value as it stands. In six fields croniter never finds a 7.
    void put(int v) {
        if (which == weekday && v == 7 && cron->has_seconds) cron->portable = false;
        add(v);
    }

    // After what the step applies to; from and to are values of the field, and from > to goes over its end.
    bool steps(int from, int to) {
        int step = 1;
        if (peek() == '/') {
            at++;
            int digits = at;
            if (!number(&step)) return false;
            if (step == 0) return fail("is no step: it must be at least 1", digits, at);
        }
        if (from <= to) {
            for (int v = from; v <= to; v += step) put(v);
            return true;
        }
        cron->portable = false;
        int span = which == weekday ? 7 : ranges[which].high - ranges[which].low + 1;
        for (int v = from; v <= to + span; v += step) add(ranges[which].low + (v - ranges[which].low) % span);
        return true;
    }

    // L, L-n, LW
    bool last_day() {
        cron->portable = false;
        int from = at++;
        if (peek() == 'w') {
            at++;
            cron->last_weekday = true;
            return true;
        }
        int n = 0;
        if (peek() == '-') {
            at++;
            if (!number(&n)) return false;
            if (n < 1 || n > 30) return fail("is out of range: L-1 to L-30", from, at);
        }
        cron->from_last |= UINT32_C(1) << n;
        return true;
    }

    // One element of the list.
    bool element() {
        char c = peek();
        if (c == '*') {
            at++;
            if (peek() != '/') {
                for (int v = ranges[which].low; v <= ranges[which].high; v++) add(v);
                return true;
            }
            return steps(ranges[which].low, ranges[which].high);
        }
        if (c == '?' && (which == day || which == weekday)) {
            at++;
            cron->portable = false;
            for (int v = ranges[which].low; v <= ranges[which].high; v++) add(v);
            return true;
        }
        if (which == day && c == 'l') return last_day();
        if (which == weekday && c == 'l' && is_digit(ahead(1))) {  // croniter's L5
            at++;
            int v;
            if (!value(&v)) return false;
            cron->portable = false;
            cron->last_of |= static_cast<uint8_t>(1 << v % 7);
            return true;
        }
        int from, to;
        if (!value(&from)) return false;
        if (which == day && peek() == 'w') {
            at++;
            cron->portable = false;
            cron->near_days |= UINT32_C(1) << from;
            return true;
        }
        if (which == weekday && peek() == '#') {
            at++;
            int digits = at, n;
            if (!number(&n)) return false;
            if (n < 1 || n > 5) return fail("is out of range: #1 to #5", digits, at);
            cron->portable = false;
            cron->nth[from % 7] |= static_cast<uint8_t>(1 << n);
            return true;
        }
        if (which == weekday && peek() == 'l') {
            at++;
            cron->portable = false;
            cron->last_of |= static_cast<uint8_t>(1 << from % 7);
            return true;
        }
        if (peek() == '/') return steps(from, ranges[which].high);
        if (peek() != '-') {
            put(from);
            return true;
        }
        at++;
        int second_value = at;
        if (!value(&to)) return false;
        if (which == weekday && to == 0 && from > 0) {  // FRI-SUN
            if (at - second_value == 1) cron->portable = false;
            to = 7;
        }
        return steps(from, to);
    }

    bool list() {
        for (;;) {
            int from = at;
            if (at == end || peek() == ',') return fail("has an empty element", from, from);
            if (!element()) return false;
            if (at == end) return true;
            if (peek() != ',') return fail("is not understood", from, end);
            at++;
        }
    }
};

void finish(cron_expression *cron) {
    constexpr uint32_t every_day = 0xfffffffe;
    cron->any_day = cron->days == every_day;
    cron->any_weekday = cron->weekdays == 0x7f;
    cron->every_hour = cron->hours == 0xffffff;
    if (!cron->has_seconds) cron->seconds = 1;
}

// ---- the calendar: proleptic Gregorian, after Howard Hinnant's "chrono-compatible low-level date algorithms"

struct civil {
    int64_t year;
    int month, day;
};

civil civil_from_days(int64_t days) {
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t of_era = days - era * 146097;
    int64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t shifted = (5 * day_of_year + 2) / 153;
    int m = static_cast<int>(shifted < 10 ? shifted + 3 : shifted - 9);
    return {year_of_era + era * 400 + (m <= 2), m, static_cast<int>(day_of_year - (153 * shifted + 2) / 5 + 1)};
}

int days_in_month(int64_t year, int m) {
    constexpr int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return m == 2 && leap ? 29 : lengths[m - 1];
}

int weekday_of(int64_t days) { return static_cast<int>(((days + 4) % 7 + 7) % 7); }

// The weekday (Monday to Friday) next to the day within its month: of a Saturday the day before, of a Sunday the day
// after, unless that is in another month.
int nearest_weekday(int d, int first, int length) {
    int of_week = (first + d - 1) % 7;
    if (of_week == 6) return d > 1 ? d - 1 : d + 2;
    if (of_week == 0) return d < length ? d + 1 : d - 2;
    return d;
}

// The days of the month that are meant, as bits.
uint32_t days_of(const cron_expression &cron, int64_t year, int m) {
    int length = days_in_month(year, m), first = weekday_of(days_from_civil(year, m, 1));
    uint32_t all = (length == 31 ? 0xffffffff : (UINT32_C(1) << (length + 1)) - 1) & ~UINT32_C(1);
    uint32_t by_day = cron.days & all, by_weekday = 0;
    for (int n = 0; n < length; n++)
        if ((cron.from_last >> n & 1) != 0) by_day |= UINT32_C(1) << (length - n);
    for (int d = 1; d <= length; d++)
        if ((cron.near_days >> d & 1) != 0) by_day |= UINT32_C(1) << nearest_weekday(d, first, length);
    if (cron.last_weekday) {
        int of_week = (first + length - 1) % 7;
        by_day |= UINT32_C(1) << (of_week == 6 ? length - 1 : of_week == 0 ? length - 2 : length);
    }
    for (int d = 1; d <= length; d++) {
        int of_week = (first + d - 1) % 7, n = (d - 1) / 7 + 1;
        bool meant = (cron.weekdays >> of_week & 1) != 0 || (cron.nth[of_week] >> n & 1) != 0 ||
                     ((cron.last_of >> of_week & 1) != 0 && d + 7 > length);
        if (meant) by_weekday |= UINT32_C(1) << d;
    }
    if (cron.any_day) return by_weekday;
    if (cron.any_weekday) return by_day;
    return by_day | by_weekday;
}

// The lowest bit from n on, or -1.
int next_bit(uint64_t bits, int n) {
    bits = n < 64 ? bits >> n << n : 0;
    return bits == 0 ? -1 : __builtin_ctzll(bits);
}

}  // namespace

int64_t days_from_civil(int64_t year, int m, int d) {
    year -= m <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

const char *cron_field_name(int which) { return which >= 0 && which < fields ? ranges[which].name : "expression"; }

cron_error parse_cron(const char *text, int size, cron_expression *into) {
    *into = {};
    into->portable = true;
    int begin = 0, end = size;
    while (begin < end && is_space(text[begin])) begin++;
    while (end > begin && is_space(text[end - 1])) end--;
    constexpr const char *shape = "Give five fields (minute, hour, day of month, month, day of week), six (the second last), or @daily and the like.";
    if (begin == end) return {"is empty", shape, -1, 0, size};
    if (text[begin] == '@') {
        for (const alias &a : aliases)
            if (equals(text + begin, end - begin, a.name)) return parse_cron(a.text, static_cast<int>(strlen(a.text)), into);
        return {"is not a known name", "Known: @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly.", -1, begin, end};
    }
    int starts[fields], ends[fields], count = 0;
    for (int i = begin; i < end;) {
        if (count == fields) return {"has more than six fields", shape, -1, begin, end};
        starts[count] = i;
        while (i < end && !is_space(text[i])) i++;
        ends[count++] = i;
        while (i < end && is_space(text[i])) i++;
    }
    if (count < 5) return {"has fewer than five fields", shape, -1, begin, end};
    into->has_seconds = count == fields;
    for (int i = 0; i < count; i++) {
        reader r{text, starts[i], starts[i], ends[i], i, into, {}};
        if (!r.list()) return r.error;
    }
    finish(into);
    if (next_local(*into, 0) == cron_never)
        return {"never comes", "There is no such day: look at the day of month and the month.", -1, begin, end};
    return {nullptr, nullptr, -1, 0, 0};
}

int64_t next_local(const cron_expression &cron, int64_t after) {
    int64_t from = after + 1;
    int64_t days = (from >= 0 ? from : from - 86399) / 86400;
    int rest = static_cast<int>(from - days * 86400);
    civil c = civil_from_days(days);
    int h = rest / 3600, mi = rest / 60 % 60, s = rest % 60;
    int64_t last_year = c.year + 100;
    // Each part is the earliest from the wanted one on; one that moves sets those after it to their first.
    while (c.year <= last_year) {
        int m = next_bit(cron.months, c.month);
        if (m < 0) {
            c = {c.year + 1, 1, 1};
            h = mi = s = 0;
            continue;
        }
        if (m != c.month) {
            c = {c.year, m, 1};
            h = mi = s = 0;
        }
        uint32_t meant = days_of(cron, c.year, c.month);
        int d = next_bit(meant, c.day);
        if (d >= 0 && d != c.day) {
            c.day = d;
            h = mi = s = 0;
        }
        // What is left of this day, then the next one's beginning.
        while (d >= 0) {
            for (int hh = next_bit(cron.hours, h); hh >= 0; hh = next_bit(cron.hours, hh + 1)) {
                if (hh != h) mi = s = 0;
                h = hh;
                for (int mm = next_bit(cron.minutes, mi); mm >= 0; mm = next_bit(cron.minutes, mm + 1)) {
                    if (mm != mi) s = 0;
                    mi = mm;
                    int ss = next_bit(cron.seconds, s);
                    if (ss >= 0) return (days_from_civil(c.year, c.month, d) * 24 + hh) * 3600 + mm * 60 + ss;
                    s = 0;
                }
                mi = s = 0;
            }
            h = mi = s = 0;
            d = next_bit(meant, d + 1);
            if (d >= 0) c.day = d;
        }
        c = c.month == 12 ? civil{c.year + 1, 1, 1} : civil{c.year, c.month + 1, 1};
        h = mi = s = 0;
    }
    return cron_never;
}

}  // namespace chancy
