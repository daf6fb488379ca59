// adopt: what an installation of Chancy 0.25 looks like. The facts are those of its migrations: core version 6, cron 2,
// workflow 2, metrics 1.
#include "adopt.hpp"

namespace chancy {

namespace {

constexpr const char *time = "timestamp with time zone";

constexpr old_column jobs[] = {{"id", "uuid", nullptr},           {"queue", "text", nullptr},      {"func", "text", nullptr},
                               {"kwargs", "jsonb", nullptr},      {"limits", "jsonb", nullptr},    {"meta", "jsonb", nullptr},
                               {"state", "character varying(25)", nullptr}, {"priority", "integer", "0"}, {"attempts", "integer", "0"},
                               {"max_attempts", "integer", nullptr}, {"taken_by", "text", nullptr}, {"created_at", time, nullptr},
                               {"started_at", time, nullptr},     {"completed_at", time, nullptr}, {"scheduled_at", time, nullptr},
                               {"unique_key", "text", nullptr},   {"errors", "jsonb", nullptr}};
constexpr old_column queues[] = {{"name", "text", nullptr},         {"state", "text", nullptr},
                                 {"concurrency", "integer", nullptr}, {"tags", "text[]", "'{.*}'"},
                                 {"executor", "text", nullptr},     {"executor_options", "jsonb", "'{}'"},
                                 {"polling_interval", "integer", nullptr}, {"created_at", time, nullptr},
                                 {"rate_limit", "integer", nullptr}, {"rate_limit_window", "integer", nullptr},
                                 {"resume_at", time, nullptr},      {"eager_polling", "boolean", nullptr}};
constexpr old_column workers[] = {{"worker_id", "text", nullptr}, {"tags", "text[]", nullptr}, {"queues", "text[]", nullptr},
                                  {"last_seen", time, nullptr}, {"expires_at", time, nullptr}};
constexpr old_column leader[] = {{"id", "bigint", nullptr}, {"worker_id", "text", nullptr}, {"first_seen", time, nullptr},
                                 {"expires_at", time, nullptr}};
constexpr old_column rate_limits[] = {{"queue", "character varying(255)", nullptr}, {"window_start", "integer", nullptr},
                                      {"count", "integer", nullptr}};
constexpr old_column versions[] = {{"version_of", "character varying(255)", nullptr}, {"version", "integer", nullptr}};
constexpr old_column cron[] = {{"unique_key", "text", nullptr}, {"job", "jsonb", nullptr}, {"cron", "text", nullptr},
                               {"last_run", time, nullptr}, {"next_run", time, nullptr}};
constexpr old_column workflows[] = {{"id", "uuid", nullptr}, {"name", "text", nullptr}, {"state", "text", nullptr},
                                    {"created_at", time, nullptr}, {"updated_at", time, nullptr}};
constexpr old_column steps[] = {{"id", "integer", nullptr},     {"workflow_id", "uuid", nullptr}, {"step_id", "text", nullptr},
                                {"job_data", "jsonb", nullptr}, {"dependencies", "jsonb", nullptr}, {"job_id", "uuid", nullptr},
                                {"created_at", time, nullptr},  {"updated_at", time, nullptr}};
constexpr old_column metrics[] = {{"metric_key", "character varying(255)", nullptr}, {"resolution", "character varying(10)", nullptr},
                                  {"worker_id", "character varying(255)", nullptr},  {"timestamps", "timestamp with time zone[]", nullptr},
                                  {"values", "jsonb[]", nullptr},                    {"metric_type", "character varying(20)", nullptr},
                                  {"updated_at", time, nullptr},                     {"metadata", "jsonb", nullptr}};

constexpr old_table tables[] = {{"workflows", "workflow", "id", workflows},
                                {"workflow_steps", "workflow", nullptr, steps},
                                {"jobs", "chancy", "id", jobs},
                                {"queues", "chancy", nullptr, queues},
                                {"cron", "cron", "unique_key", cron},
                                {"metrics", "metrics", "metric_key, resolution, worker_id", metrics},
                                {"workers", "chancy", nullptr, workers},
                                {"queue_rate_limits", "chancy", nullptr, rate_limits},
                                {"leader", "chancy", nullptr, leader},
                                {"schema_version", "chancy", nullptr, versions}};

constexpr old_component components[] = {{"chancy", 6}, {"cron", 2}, {"workflow", 2}, {"metrics", 1}};

}  // namespace

std::span<const old_table> old_tables() { return tables; }
std::span<const old_component> old_components() { return components; }

bool installation::has(const char *component) const {
    for (size_t i = 0; i < std::size(chancy::components); i++)
        if (strcmp(chancy::components[i].name, component) == 0) return (components >> i & 1) != 0;
    return false;
}

bool installation::has(const old_table &t) const { return has(t.component); }

const char *kept_suffix() { return "_adopted"; }

const char *old_name(const installation &at, const char *table) {
    return quote_qualified_identifier(at.schema, psprintf("%s%s", at.prefix, table));
}

const char *kept_name(const installation &at, const char *table) {
    return quote_qualified_identifier(at.schema, psprintf("%s%s%s", at.prefix, table, kept_suffix()));
}

const char *column_list(const old_table &t, const char *alias) {
    StringInfoData list;
    initStringInfo(&list);
    for (const old_column &c : t.columns) {
        // Steps get ids of the sequence of the table that they go to; nothing refers to them.
        if (t.columns.data() == steps && strcmp(c.name, "id") == 0) continue;
        if (list.len > 0) appendStringInfoString(&list, ", ");
        const char *name = alias == nullptr ? psprintf("\"%s\"", c.name) : psprintf("%s.\"%s\"", alias, c.name);
        bool filled = alias != nullptr && c.fallback != nullptr;
        appendStringInfoString(&list, filled ? psprintf("coalesce(%s, %s)", name, c.fallback) : name);
    }
    return list.data;
}

void refuse_installation(const char *problem, const char *hint) {
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errmsg("%s", problem), errhint("%s", hint)));
    pg_unreachable();
}

namespace {

pg_attribute_printf(1, 0) const char *format_text(const char *format, va_list arguments) {
    for (size_t size = 1024;;) {
        char *text = static_cast<char *>(palloc(size));
        va_list copy;
        va_copy(copy, arguments);
        size_t needed = pvsnprintf(text, size, format, copy);
        va_end(copy);
        if (needed < size) return text;
        pfree(text);
        size = needed;
    }
}

}  // namespace

uint64 run_text(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const char *sql = format_text(format, arguments);
    va_end(arguments);
    return run(sql);
}

const char *run_value(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const char *sql = format_text(format, arguments);
    va_end(arguments);
    if (run(sql) == 0) return nullptr;
    return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
}

installation read_installation(FunctionCallInfo fcinfo) {
    place here{nullptr, 0, nullptr};
    check_given(fcinfo, 0, "schema");
    check_given(fcinfo, 1, "prefix");
    bytes schema = argument_text(fcinfo, 0), prefix = argument_text(fcinfo, 1);
    check_text(here.at("schema"), schema, NAMEDATALEN - 1);
    // The longest name that we make of it must not be cut.
    int longest = NAMEDATALEN - 1 - static_cast<int>(strlen("queue_rate_limits") + strlen(kept_suffix()));
    if (prefix.size > longest)
        refuse_size(here.at("prefix"), psprintf("has %d bytes", prefix.size),
                    psprintf("At most %d bytes are allowed: rename its tables first.", longest));
    installation at{to_cstring(schema), to_cstring(prefix), 0};
    if (!OidIsValid(get_namespace_oid(at.schema, true)))
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_SCHEMA), errmsg("schema \"%s\" does not exist", at.schema),
                        errhint("Give the schema that the tables of the Python application are in; most often it is public.")));
    if (strcmp(at.schema, "chancy") == 0)
        refuse(here.at("schema"), "is the extension's own", "Give the schema that the tables of the Python application are in.");
    if (!has_privs_of_role(GetUserId(), owner()))
        ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("only the extension's owner can adopt and give back"),
                        errhint("SET ROLE %s.", quote_identifier(GetUserNameFromId(owner(), false)))));
    // Under an older snapshot than the locks, rows that came in between would be lost.
    if (IsolationUsesXactSnapshot())
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("an installation can be adopted under READ COMMITTED only"),
                        errhint("Call in a transaction of its own, with the default isolation level.")));
    return at;
}

}  // namespace chancy
