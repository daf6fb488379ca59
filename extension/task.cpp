// maintenance: the list of tasks, and what can be set for them.
#include "task.hpp"

#include "background.hpp"
#include "buffer.hpp"
#include "statement.hpp"
#include "worker.hpp"

namespace chancy {

// Every task, in the order in which one call of maintain() runs them: one line each.
extern const task recovery_task;
extern const task pruner_task;
extern const task reprioritize_task;
extern const task workers_task;
extern const task workflows_task;
extern const task next_runs_task;
extern const task metrics_task;
extern const task cron_task;
extern const task sql_jobs_task;
extern const task progress_task;

namespace {

constexpr const task *all_tasks[] = {
    &recovery_task,
    &pruner_task,
    &reprioritize_task,
    &workers_task,
    &workflows_task,
    &next_runs_task,
    &metrics_task,
    &cron_task,
    &sql_jobs_task,
    &progress_task,
};

const char *list_names() {
    StringInfoData names;
    initStringInfo(&names);
    for (const task *t : all_tasks) appendStringInfo(&names, "%s\"%s\"", names.len > 0 ? ", " : "Known: ", t->name);
    appendStringInfoChar(&names, '.');
    return names.data;
}

const char *list_settings(const task &t) {
    if (t.known.empty()) return "It has no settings.";
    StringInfoData names;
    initStringInfo(&names);
    for (const task_setting &s : t.known) appendStringInfo(&names, "%s%s", names.len > 0 ? ", " : "Known settings: ", s.name);
    appendStringInfoChar(&names, '.');
    return names.data;
}

void check_setting(const task_setting &s, JsonbValue *value, place where) {
    switch (s.kind) {
        case task_setting::whole:
            json_int(value, where, static_cast<int32>(s.least), static_cast<int32>(s.most));
            break;
        case task_setting::span:
            json_span(value, where, s.least, s.most);
            break;
        case task_setting::custom:
            s.check(value, where);
            break;
    }
}

}  // namespace

std::span<const task *const> tasks() { return all_tasks; }

const task *find_task(bytes name) {
    for (const task *t : all_tasks)
        if (name == view(t->name)) return t;
    return nullptr;
}

const task *check_task(bytes name, Jsonb *settings, const char *where) {
    const task *t = find_task(name);
    if (t == nullptr) refuse({nullptr, 0, "name"}, psprintf("is not a known task: \"%s\"", shown(name)), list_names());
    if (settings == nullptr) return t;
    check_object(settings, {nullptr, 0, where});
    each_field(&settings->root, [=](bytes field, JsonbValue *value) {
        place here{nullptr, 0, psprintf("%s.%s", where, shown(field))};
        auto known = std::find_if(t->known.begin(), t->known.end(), [=](const task_setting &s) { return field == view(s.name); });
        if (known == t->known.end()) refuse(here, "is not a known setting", list_settings(*t));
        if (value->type != jbvNull) check_setting(*known, value, here);
    });
    return t;
}

task_settings read_settings(const task &t) {
    constexpr int every = 2, enabled = 3, settings = 4;
    task_settings s{true, t.every, nullptr, {nullptr, 0}};
    with_row("tasks", F_TEXTEQ, text_datum(view(t.name)), [&](HeapTuple row, TupleDesc desc) {
        bool null;
        Datum value = heap_getattr(row, every, desc, &null);
        if (!null) s.every = microseconds(DatumGetIntervalP(value));
        value = heap_getattr(row, enabled, desc, &null);
        if (!null) s.enabled = DatumGetBool(value);
        s.given = DatumGetJsonbPCopy(heap_getattr(row, settings, desc, &null));
    });
    return s;
}

JsonbValue *task_settings::find(const char *name) const {
    if (given == nullptr) return nullptr;
    JsonbValue *value = json_field(&given->root, name);
    return value == nullptr || value->type == jbvNull ? nullptr : value;
}

int32 task_settings::whole(const char *name, int32 fallback) const {
    JsonbValue *value = find(name);
    return value == nullptr ? fallback : json_int(value, {nullptr, 0, name}, PG_INT32_MIN, PG_INT32_MAX);
}

int64 task_settings::span(const char *name, int64 fallback) const {
    JsonbValue *value = find(name);
    return value == nullptr ? fallback : json_span(value, {nullptr, 0, name}, 0, 1e9);
}

int64 json_span(JsonbValue *value, place where, double least, double most) {
    const char *range = psprintf("must be from %.0f to %.0f seconds", least, most);
    const char *hint = "Give seconds, as a number, or an interval, such as \"30 days\".";
    double seconds = 0;
    if (value->type == jbvNumeric) {
        seconds = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(value->val.numeric)));
    } else if (value->type == jbvString) {
        char *text = to_cstring(json_text(value, where));
        seconds = static_cast<double>(microseconds(DatumGetIntervalP(DirectFunctionCall3(
                      interval_in, CStringGetDatum(text), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1))))) /
                  USECS_PER_SEC;
    } else {
        refuse(where, "must be a duration", hint);
    }
    if (!(seconds >= least && seconds <= most)) refuse(where, range, hint);
    return static_cast<int64>(seconds * USECS_PER_SEC);
}

namespace {

// Sets what is given of a task; the rest stays.
void set_task(FunctionCallInfo fcinfo) {
    place here{nullptr, 0, nullptr};
    check_given(fcinfo, 0, "name");
    Jsonb *settings = fcinfo->args[3].isnull ? nullptr : PG_GETARG_JSONB_P(3);
    check_task(argument_text(fcinfo, 0), settings, "settings");
    if (!fcinfo->args[1].isnull) {
        int64 every = microseconds(PG_GETARG_INTERVAL_P(1));
        if (every < USECS_PER_SEC || every > 366 * USECS_PER_DAY)
            refuse(here.at("every"), "must be from 1 second to 366 days", "Give an interval, such as '5 min'.");
    }
    require(role_kind::admin);
    parameter parameters[] = {given(fcinfo, 0, TEXTOID), given(fcinfo, 1, INTERVALOID), given(fcinfo, 2, BOOLOID),
                              given(fcinfo, 3, JSONBOID)};
    run_as_owner(
        "INSERT INTO chancy.tasks AS t (name, every, enabled, settings) VALUES ($1, $2, $3, COALESCE($4, '{}'))"
        " ON CONFLICT (name) DO UPDATE SET every = COALESCE($2, t.every), enabled = COALESCE($3, t.enabled),"
        " settings = COALESCE($4, t.settings)",
        parameters);
    note_locks();
    wake_maintenance();
}

bool reset_task(FunctionCallInfo fcinfo) {
    check_given(fcinfo, 0, "name");
    check_task(argument_text(fcinfo, 0), nullptr, nullptr);
    require(role_kind::admin);
    parameter parameters[] = {given(fcinfo, 0, TEXTOID)};
    uint64 deleted = run_as_owner("DELETE FROM chancy.tasks t WHERE t.name OPERATOR(pg_catalog.=) $1", parameters);
    note_locks();
    wake_maintenance();
    return deleted > 0;
}

}  // namespace

}  // namespace chancy

extern "C" {

CHANCY_FUNCTION(chancy_check_task) {
    using namespace chancy;
    check_task(argument_text(fcinfo, 0), PG_GETARG_JSONB_P(1), "settings");
    PG_RETURN_BOOL(true);
}

CHANCY_FUNCTION(chancy_set_task) {
    PreventCommandIfReadOnly("chancy.set_task()");
    chancy::set_task(fcinfo);
    PG_RETURN_VOID();
}

CHANCY_FUNCTION(chancy_reset_task) {
    PreventCommandIfReadOnly("chancy.reset_task()");
    PG_RETURN_BOOL(chancy::reset_task(fcinfo));
}
}
