// A job as Chancy packs it into a JSON object, where it is kept to be pushed later: {"f": func, "k": kwargs, "p": priority,
// "a": max_attempts, "s": scheduled_at as seconds since 1970, "l": limits, "u": unique_key, "q": queue, "m": meta}; and ours, which its
// Python code does not read: "c": concurrency_key.
#pragma once

#include "change.hpp"

namespace chancy {

Jsonb *pack_job(const new_job &job);

// What is missing or malformed, since somebody else wrote it, has push's default; func null when there is none.
// The texts point into packed.
new_job unpack_job(Jsonb *packed);

}  // namespace chancy
