// An installation of Python Chancy 0.25, as adopt() finds it and give_back() leaves it. Everything here runs with the
// caller's rights, inside with_spi, under the search_path pg_catalog that the SQL functions set.
#pragma once

#include "error.hpp"
#include "statement.hpp"

namespace chancy {

struct old_column {
    const char *name, *type;
    const char *fallback;  // stands for NULL where our column takes none; else null
};

struct old_table {
    const char *name;
    const char *component;  // its version_of in schema_version
    const char *key;        // of rows that must not be on both sides; null where a row of ours may stand already
    std::span<const old_column> columns;
};

struct old_component {
    const char *name;
    int version;
};

// In the order in which they are copied: the one order of resources has workflows, steps, jobs, queues.
std::span<const old_table> old_tables();
std::span<const old_component> old_components();

struct installation {
    const char *schema, *prefix;
    uint32 components;  // bits of old_components()

    bool has(const old_table &t) const;
    bool has(const char *component) const;
};

// Reads schema and prefix, refuses what cannot be names of tables; the caller must be the extension's owner.
installation read_installation(FunctionCallInfo fcinfo);

// Quoted, with the schema: of a table as Python names it, and of the one that adopt() keeps.
const char *old_name(const installation &at, const char *table);
const char *kept_name(const installation &at, const char *table);
const char *kept_suffix();

// psprintf and run.
uint64 run_text(const char *format, ...) pg_attribute_printf(1, 2);
// The first column of the first row as text; null when there is no row.
const char *run_value(const char *format, ...) pg_attribute_printf(1, 2);

// Locks the tables, whose names `name` gives, ACCESS EXCLUSIVE; 55P03 rather than to wait. Finds out which components
// there are, and refuses (55000) what is no Chancy 0.25 in every column.
void lock_installation(installation &at, const char *(*name)(const installation &, const char *));
void check_installation(const installation &at, const char *(*name)(const installation &, const char *));
// Refuses rows that we could not hold: unknown states, keys and ids that are ours already, queues that differ.
void check_rows(const installation &at);

// "a", "b", …; with an alias o."a", coalesce(o."b", 0), … ; without the ids that are given anew.
const char *column_list(const old_table &t, const char *alias);

[[noreturn]] void refuse_installation(const char *problem, const char *hint);

}  // namespace chancy
