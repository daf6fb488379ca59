// Direct deletes: see purge.cpp.
#pragma once

#include "table.hpp"

namespace chancy {

// Refuses (55000) a table on which a delete trigger or a foreign key of the user's would be skipped.
void check_deletable(Relation rel);

// wait: only for a row that we have locked, which is never waited for.
TM_Result delete_row(Relation rel, ItemPointer tid, bool wait);

}  // namespace chancy
