// Recovery: see recovery.cpp.
#pragma once

#include "jobs.hpp"

namespace chancy {

struct recovery {
    int recovered, failed;
};

// grace in microseconds.
recovery recover(table &jobs, int32 max_recoveries, int64 grace, int32 up_to);

}  // namespace chancy
