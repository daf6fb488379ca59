// Batches that come as arrays: an element of each for each job, or one for all.
#pragma once

#include "error.hpp"

namespace chancy {

struct elements {
    Datum *values;
    bool *nulls;
    int count;

    // False: absent, the default.
    bool get(size_t job, Datum *value) const {
        size_t i = count == 1 ? 0 : job;
        if (count == 0 || nulls[i]) return false;
        *value = values[i];
        return true;
    }
};

// The array that is argument n; none: no elements. copy: for what outlives the statement.
elements read_elements(FunctionCallInfo fcinfo, int n, const char *name, bool copy);

// How many elements the batch has: the longest array tells, and none when the first one is empty. Refuses arrays of another
// length, and more than 100,000.
size_t count_elements(std::span<const elements> given, const char *const *names);

}  // namespace chancy
