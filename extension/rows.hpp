// Result rows of a set-returning function, gathered in a tuplestore.
#pragma once

#include "postgres.hpp"

namespace chancy {

struct rows {
    Tuplestorestate *store;
    TupleDesc desc;

    void put(Datum *values, bool *nulls) const { tuplestore_putvalues(store, desc, values, nulls); }
};

// Refuses (0A000) a caller that cannot take a set.
inline rows begin_rows(FunctionCallInfo fcinfo) {
    auto *info = reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo);
    if (info == nullptr || !IsA(info, ReturnSetInfo) || (info->allowedModes & SFRM_Materialize) == 0)
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                        errmsg("this function returns rows and must be called where a set can stand"),
                        errhint("Call it in FROM: SELECT * FROM chancy.…(…).")));
    MemoryContext outer = MemoryContextSwitchTo(info->econtext->ecxt_per_query_memory);
    rows r;
    if (get_call_result_type(fcinfo, nullptr, &r.desc) != TYPEFUNC_COMPOSITE)
        elog(ERROR, "the function's result is not a row type");
    r.desc = BlessTupleDesc(CreateTupleDescCopy(r.desc));
    r.store = tuplestore_begin_heap((info->allowedModes & SFRM_Materialize_Random) != 0, false, work_mem);
    MemoryContextSwitchTo(outer);
    info->returnMode = SFRM_Materialize;
    info->setResult = r.store;
    info->setDesc = r.desc;
    return r;
}

}  // namespace chancy
