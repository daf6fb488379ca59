// The one gateway to the server's headers.
//
// Standard headers come first, since the server's define macros (gettext, Min, …) that would break
// them. Only what is header-only and inlined away may be used: the shared object links no libstdc++.
//
// A server ERROR is a longjmp over our frames, so every local in a frame that calls the server is
// trivially destructible, memory is palloc's, and resources have scopes (scope.hpp).
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>

extern "C" {
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/multixact.h"
#include "access/relscan.h"
#include "access/subtrans.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "commands/dbcommands.h"
#include "commands/extension.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "port/pg_bswap.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "tcop/pquery.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/portal.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"
#include "utils/uuid.h"
}

namespace chancy {
void check_version();  // version.hpp
}

// Begins the definition of what CREATE FUNCTION names. The version is checked before an argument is read: the scripts of another
// one may pass others. Before 16 PG_FUNCTION_INFO_V1 declares the function itself without PGDLLEXPORT, so it is declared first.
#define CHANCY_FUNCTION(name)                           \
    static Datum name##_body(FunctionCallInfo fcinfo);  \
    PGDLLEXPORT Datum name(PG_FUNCTION_ARGS);           \
    PG_FUNCTION_INFO_V1(name);                          \
    Datum name(PG_FUNCTION_ARGS) {                      \
        chancy::check_version();                        \
        return name##_body(fcinfo);                     \
    }                                                   \
    static Datum name##_body([[maybe_unused]] FunctionCallInfo fcinfo)
