#include "error.hpp"

extern "C" {
#include "mb/pg_wchar.h"
}

namespace chancy {

char *path(place where) {
    if (where.list == nullptr) return pstrdup(where.field);
    if (where.index < 0) return where.field == nullptr ? pstrdup(where.list) : psprintf("%s.%s", where.list, where.field);
    if (where.field == nullptr) return psprintf("%s[%d]", where.list, where.index);
    return psprintf("%s[%d].%s", where.list, where.index, where.field);
}

char *shown(bytes value) {
    constexpr int most = 100;
    if (value.size <= most) return to_cstring(value);
    return psprintf("%.*s…", pg_mbcliplen(value.data, value.size, most), value.data);
}

void refuse(place where, const char *problem, const char *hint) {
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s %s", path(where), problem),
                    errhint("%s", hint)));
    pg_unreachable();
}

void refuse_size(place where, const char *problem, const char *hint) {
    ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("%s %s", path(where), problem),
                    errhint("%s", hint)));
    pg_unreachable();
}

void check_text(place where, bytes value, int max) {
    if (value.size == 0) refuse(where, "must not be empty", "Give a text of at least one character.");
    if (value.size > max)
        refuse_size(where, psprintf("has %d bytes", value.size), psprintf("At most %d bytes are allowed.", max));
}

void check_given(FunctionCallInfo fcinfo, int n, const char *name) {
    if (fcinfo->args[n].isnull) refuse({nullptr, 0, name}, "must not be NULL", "Give a value.");
}

void check_finite(place where, TimestampTz time) {
    if (TIMESTAMP_NOT_FINITE(time))
        refuse(where, "must not be infinite", "Give a time; Python clients cannot read infinity.");
}

}  // namespace chancy
