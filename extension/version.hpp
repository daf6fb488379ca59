// The library and the tables belong together: a server process that holds the library of another version
// than the extension in the database must not write its tables.
#pragma once

#include "postgres.hpp"

namespace chancy {

// Called once, when the library is loaded.
void start_version();

// Refuses to go on when ALTER EXTENSION UPDATE has not been run yet (55000), or was run while this process held the
// library of the version before: then the connection ends (57P01), since the next one loads the new library. Costs
// nothing while the tables stay as they are.
void check_version();

}  // namespace chancy
