#include "arrays.hpp"

#include "json.hpp"

namespace chancy {

namespace {
constexpr const char *hint = "One element for each job, or one for all.";
}

elements read_elements(FunctionCallInfo fcinfo, int n, const char *name, bool copy) {
    elements e{};
    if (fcinfo->args[n].isnull) return e;
    ArrayType *array = copy ? PG_GETARG_ARRAYTYPE_P_COPY(n) : PG_GETARG_ARRAYTYPE_P(n);
    if (ARR_NDIM(array) > 1) refuse({nullptr, 0, name}, "must have one dimension", hint);
    int16 length;
    bool by_value;
    char align;
    get_typlenbyvalalign(ARR_ELEMTYPE(array), &length, &by_value, &align);
    deconstruct_array(array, ARR_ELEMTYPE(array), length, by_value, align, &e.values, &e.nulls, &e.count);
    return e;
}

size_t count_elements(std::span<const elements> given, const char *const *names) {
    if (given[0].count == 0) return 0;
    int count = 0;
    for (const elements &e : given) count = std::max(count, e.count);
    for (size_t n = 0; n < given.size(); n++)
        if (given[n].count > 1 && given[n].count != count)
            refuse({nullptr, 0, names[n]}, psprintf("has %d elements for %d jobs", given[n].count, count), hint);
    check_batch_size(names[0], count);
    return count;
}

}  // namespace chancy
