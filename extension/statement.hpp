// Static SQL off the hot path, run with the owner's rights. The text is a literal of ours; what
// comes from users is only ever a parameter.
#pragma once

#include "scope.hpp"
#include "table.hpp"

namespace chancy {

struct parameter {
    Oid type;
    Datum value;
    bool null;
};

// Runs one statement inside with_spi; returns the row count.
inline uint64 run(const char *sql, std::span<const parameter> parameters = {}) {
    Oid types[16] = {};
    Datum values[16] = {};
    char nulls[16] = {};
    for (size_t i = 0; i < parameters.size(); i++) {
        types[i] = parameters[i].type;
        values[i] = parameters[i].value;
        nulls[i] = parameters[i].null ? 'n' : ' ';
    }
    int code = SPI_execute_with_args(sql, parameters.size(), types, values, nulls, false, 0);
    if (code < 0) elog(ERROR, "SPI: %s", SPI_result_code_string(code));
    return SPI_processed;
}

// The same with the owner's rights.
inline uint64 run_as_owner(const char *sql, std::span<const parameter> parameters) {
    uint64 processed = 0;
    with_owner([&, sql] { with_spi([&, sql] { processed = run(sql, parameters); }); });
    return processed;
}

inline parameter given(FunctionCallInfo fcinfo, int n, Oid type) {
    return {type, fcinfo->args[n].value, fcinfo->args[n].isnull};
}

}  // namespace chancy
