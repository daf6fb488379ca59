// Small values that are passed around everywhere: byte strings, ids, texts.
#pragma once

#include "postgres.hpp"

namespace chancy {

// Microseconds from 1970 to PostgreSQL's 2000.
constexpr int64 epoch_shift = (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;

// A piece of text that belongs to somebody else. data is null for SQL NULL and absent input.
struct bytes {
    const char *data;
    int size;
};

inline bytes view(const char *cstring) { return {cstring, static_cast<int>(strlen(cstring))}; }

inline bytes view(const text *t) { return {VARDATA_ANY(t), static_cast<int>(VARSIZE_ANY_EXHDR(t))}; }

// A text datum that may be compressed or toasted.
inline bytes view(Datum text_datum) { return view(DatumGetTextPP(text_datum)); }

// The contract's order of keys: bytewise, as COLLATE "C".
inline int compare(bytes a, bytes b) {
    int shorter = std::min(a.size, b.size);
    int order = shorter > 0 ? memcmp(a.data, b.data, shorter) : 0;
    return order != 0 ? order : a.size - b.size;
}

inline bool operator==(bytes a, bytes b) { return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0); }

inline Datum text_datum(bytes b) { return PointerGetDatum(cstring_to_text_with_len(b.data, b.size)); }

inline char *to_cstring(bytes b) { return pnstrdup(b.data, b.size); }

inline int compare(const pg_uuid_t &a, const pg_uuid_t &b) { return memcmp(a.data, b.data, UUID_LEN); }

// Makes room for one more item in an array that grows; of one that outlives the moment, context says where it lives.
template <typename T, typename Count>
void make_room(T *&items, Count count, Count &capacity, MemoryContext context = CurrentMemoryContext) {
    static_assert(std::is_trivially_copyable_v<T>);
    if (count < capacity) return;
    Count more = std::max<Count>(16, capacity * 2);
    size_t size = sizeof(T) * more;
    items = static_cast<T *>(items == nullptr ? MemoryContextAllocHuge(context, size) : repalloc_huge(items, size));
    capacity = more;
}

// Room for so many of a batch.
template <typename T>
std::span<T> make_span(size_t count) {
    return {static_cast<T *>(palloc_extended(sizeof(T) * std::max<size_t>(count, 1), MCXT_ALLOC_HUGE)), count};
}

inline bytes argument_text(FunctionCallInfo fcinfo, int n) {
    return fcinfo->args[n].isnull ? bytes{nullptr, 0} : view(fcinfo->args[n].value);
}

// The same in the current memory context, for what outlives the statement.
inline bytes copy_argument_text(FunctionCallInfo fcinfo, int n) {
    return fcinfo->args[n].isnull ? bytes{nullptr, 0} : view(DatumGetTextPCopy(fcinfo->args[n].value));
}

}  // namespace chancy
