// Python Chancy beside us: see interop.cpp.
#pragma once

#include "postgres.hpp"

namespace chancy {

// Has enable_python_interop() been called? Then Python clients read and write the tables at any time: nothing
// that they cannot see may decide who runs a job.
bool python_interop();

}  // namespace chancy
