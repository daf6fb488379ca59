#include "cron.hpp"

#include "packed.hpp"
#include "sql_job.hpp"
#include "worker.hpp"

extern "C" {
#include "pgtime.h"
#include "utils/json.h"
}

namespace chancy {

namespace {

constexpr place here{nullptr, 0, nullptr};
constexpr const char *gap_names[] = {"as_cron", "after", "skip"};
constexpr const char *overlap_names[] = {"as_cron", "first", "last", "both"};

// 9999-12-31: Python reads it, and it never comes.
constexpr TimestampTz hidden = INT64CONST(252455529600) * USECS_PER_SEC;

int64_t offset_at(const void *data, int64_t t) {
    pg_time_t moment = t;
    pg_tm *local = pg_localtime(&moment, static_cast<const pg_tz *>(data));
    return local == nullptr ? 0 : local->tm_gmtoff;
}

bool next_change(const void *data, int64_t t, int64_t *at) {
    pg_time_t moment = t, boundary;
    long before, after;
    int before_dst, after_dst;
    if (pg_next_dst_boundary(&moment, &before, &before_dst, &boundary, &after, &after_dst, static_cast<const pg_tz *>(data)) <= 0) return false;
    *at = boundary;
    return true;
}

template <int Count>
int find_name(bytes text, const char *const (&names)[Count]) {
    for (int i = 0; i < Count; i++)
        if (text == view(names[i])) return i;
    return -1;
}

bool find_zone(bytes name, zone *into) {
    pg_tz *tz = name.size <= TZ_STRLEN_MAX ? pg_tzset(to_cstring(name)) : nullptr;
    if (tz == nullptr || !pg_tz_acceptable(tz)) return false;
    *into = {tz, offset_at, next_change};
    return true;
}

bool find_missed(bytes text, missed_rule *rule, int32 *most) {
    constexpr const char *all = "all up to ";
    int prefix = strlen(all);
    *most = 0;
    *rule = text == view("skip") ? missed_rule::skip : text == view("once") ? missed_rule::once : missed_rule::all;
    if (*rule != missed_rule::all) return true;
    if (text.size <= prefix || text.size > prefix + 4 || memcmp(text.data, all, prefix) != 0) return false;
    for (int i = prefix; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') return false;
        *most = *most * 10 + (text.data[i] - '0');
    }
    return *most >= 1 && *most <= 1000;
}

}  // namespace

int64_t to_unix(TimestampTz t) { return (t >= 0 ? t : t - (USECS_PER_SEC - 1)) / USECS_PER_SEC + epoch_shift / USECS_PER_SEC; }
TimestampTz from_unix(int64_t t) { return t * USECS_PER_SEC - epoch_shift; }

void read_expression(bytes text, cron_expression *into) {
    check_text(here.at("expression"), text, max_name);
    cron_error e = parse_cron(text.data, text.size, into);
    if (e.problem == nullptr) return;
    bytes piece{text.data + e.begin, e.end - e.begin};
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    e.field < 0 ? errmsg("expression %s: \"%s\"", e.problem, shown(text))
                                : errmsg("expression: %s \"%s\" %s", cron_field_name(e.field), shown(piece), e.problem),
                    e.field < 0 ? 0 : errdetail("Field %d of \"%s\", character %d.", e.field + 1, shown(text), e.begin + 1), errhint("%s", e.hint)));
}

void read_time_zone(bytes name, zone *into) {
    check_text(here.at("time_zone"), name, max_name);
    if (!find_zone(name, into))
        refuse(here.at("time_zone"), psprintf("is not known: \"%s\"", shown(name)), "Give a name of pg_timezone_names, such as \"Europe/Berlin\".");
}

void read_missed(bytes text, missed_rule *rule, int32 *most) {
    if (!find_missed(text, rule, most))
        refuse(here.at("missed"), psprintf("is not a known rule: \"%s\"", shown(text)), "Known: skip, once, \"all up to N\" with N from 1 to 1000.");
}

char *missed_text(missed_rule rule, int32 most) {
    return rule == missed_rule::all ? psprintf("all up to %d", most) : pstrdup(rule == missed_rule::skip ? "skip" : "once");
}

on_gap read_gap(bytes text) {
    int i = find_name(text, gap_names);
    if (i < 0) refuse(here.at("skipped_times"), psprintf("is not a known rule: \"%s\"", shown(text)), "Known: as_cron, after, skip.");
    return static_cast<on_gap>(i);
}

on_overlap read_overlap(bytes text) {
    int i = find_name(text, overlap_names);
    if (i < 0) refuse(here.at("repeated_times"), psprintf("is not a known rule: \"%s\"", shown(text)), "Known: as_cron, first, last, both.");
    return static_cast<on_overlap>(i);
}

const char *name(on_gap g) { return gap_names[static_cast<int>(g)]; }
const char *name(on_overlap o) { return overlap_names[static_cast<int>(o)]; }

TimestampTz due_of(Datum *values, bool *nulls) {
    TimestampTz next = DatumGetTimestampTz(values[cron_next_run - 1]);
    if (next < hidden) return next;
    return nulls[cron_due_at - 1] ? DT_NOEND : DatumGetTimestampTz(values[cron_due_at - 1]);
}

bool read_schedule(Datum *values, bool *nulls, schedule *into) {
    auto text = [=](int column, const char *fallback) { return nulls[column - 1] ? view(fallback) : view(values[column - 1]); };
    auto flag = [=](int column) { return !nulls[column - 1] && DatumGetBool(values[column - 1]); };
    schedule &s = *into;
    s = {};
    s.for_python = DatumGetTimestampTz(values[cron_next_run - 1]) < hidden;
    s.due = due_of(values, nulls);
    bool good = true;
    s.key = text(cron_key, "");
    s.expression = text(cron_text, "");
    s.packed = DatumGetJsonbPCopy(values[cron_job - 1]);
    s.last_run = nulls[cron_last_run - 1] ? 0 : DatumGetTimestampTz(values[cron_last_run - 1]);
    s.missed = missed_rule::once;
    s.grace = USECS_PER_MINUTE;
    s.time_zone = view("UTC");
    if (!s.for_python) {
        s.time_zone = text(cron_time_zone, "UTC");
        good = find_missed(text(cron_missed, "once"), &s.missed, &s.most);
        if (!nulls[cron_grace - 1]) s.grace = microseconds(DatumGetIntervalP(values[cron_grace - 1]));
        int gap = find_name(text(cron_skipped, gap_names[0]), gap_names);
        int overlap = find_name(text(cron_repeated, overlap_names[0]), overlap_names);
        good = good && gap >= 0 && overlap >= 0;
        s.ticks.gap = static_cast<on_gap>(std::max(gap, 0));
        s.ticks.overlap = static_cast<on_overlap>(std::max(overlap, 0));
        s.overlap = flag(cron_overlap);
        s.paused = flag(cron_paused);
        s.job = nulls[cron_push - 1] ? nullptr : DatumGetJsonbPCopy(values[cron_push - 1]);
        s.sql = s.job != nullptr && is_sql_schedule(s.job);
    }
    good = find_zone(s.time_zone, &s.ticks.where) && good;
    return good && parse_cron(s.expression.data, s.expression.size, &s.ticks.cron).problem == nullptr;
}

void fill_schedule(table &cron, const schedule &s) {
    set(cron, cron_key, text_datum(s.key));
    set(cron, cron_job, JsonbPGetDatum(s.packed));
    set(cron, cron_text, text_datum(s.expression));
    set(cron, cron_next_run, TimestampTzGetDatum(s.for_python && s.due != DT_NOEND ? s.due : hidden));
    for (int column = cron_time_zone; column <= cron_due_at; column++) set_null(cron, column);
    if (s.for_python) return;
    Interval *grace = static_cast<Interval *>(palloc0(sizeof(Interval)));
    grace->time = s.grace;
    set(cron, cron_time_zone, text_datum(s.time_zone));
    set(cron, cron_missed, text_datum(view(missed_text(s.missed, s.most))));
    set(cron, cron_grace, IntervalPGetDatum(grace));
    set(cron, cron_skipped, text_datum(view(name(s.ticks.gap))));
    set(cron, cron_repeated, text_datum(view(name(s.ticks.overlap))));
    set(cron, cron_overlap, BoolGetDatum(s.overlap));
    set(cron, cron_paused, BoolGetDatum(s.paused));
    if (s.job != nullptr) set(cron, cron_push, JsonbPGetDatum(s.job));
    if (!s.paused && s.due != DT_NOEND) set(cron, cron_due_at, TimestampTzGetDatum(s.due));
}

TimestampTz tick_after(const schedule &s, TimestampTz moment) {
    int64_t tick = next_tick(s.ticks, to_unix(moment));
    return tick == cron_never ? DT_NOEND : from_unix(tick);
}

bool honoured_by_python(const schedule &s, const new_job &job) {
    bool utc = pg_strcasecmp(to_cstring(s.time_zone), "UTC") == 0 || pg_strcasecmp(to_cstring(s.time_zone), "Etc/UTC") == 0;
    return utc && s.ticks.cron.portable && s.missed == missed_rule::once && !s.overlap && !s.paused && job.mode == on_conflict::keep &&
           !s.sql && job.unique_for == 0 && job.concurrency_key.data == nullptr;
}

// With what tells the tick: meta.cron.
new_job job_of(const schedule &s, TimestampTz tick) {
    new_job job{};
    if (s.job != nullptr)
        read_job_object(&s.job->root, {"job", -1, nullptr}, make_defaults(), &job, s.sql ? &sql_schedule_fields : nullptr);
    else
        job = unpack_job(s.packed);
    if (job.key.data == nullptr && !s.overlap) job.key = s.key;
    job.scheduled_at = tick != 0 ? tick : GetCurrentTransactionStartTimestamp();
    if (tick == 0) return job;
    char time[MAXDATELEN + 1];
    const int utc = 0;
    JsonEncodeDateTime(time, TimestampTzGetDatum(tick), TIMESTAMPTZOID, &utc);
    StringInfoData note;
    initStringInfo(&note);
    appendStringInfoString(&note, "{\"cron\": {\"key\": ");
    escape_json(&note, to_cstring(s.key));
    appendStringInfo(&note, ", \"tick\": \"%s\"}}", time);
    job.meta = DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(job.meta), DirectFunctionCall1(jsonb_in, CStringGetDatum(note.data))));
    return job;
}

}  // namespace chancy
