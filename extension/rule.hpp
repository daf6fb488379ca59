// Rules: which jobs are meant. Chancy's rule language (age, queue, func, state, and, or) and a little more, as jsonb,
// checked before anything is done, and never SQL.
#pragma once

#include "json.hpp"

namespace chancy {

struct rule {
    enum : uint8 { age, queue, func, state, keep, all_of, any_of, none_of } is;
    int64 span;              // age, in microseconds
    int32 count;             // keep
    bool per_func;           // keep
    std::span<bytes> texts;  // queue, func, state
    std::span<rule> parts;   // all_of, any_of, none_of
};

// What a rule is for: finished jobs, of which age counts from their end, or jobs that wait, of which it counts from when they
// were due.
enum class rule_use : uint8 { finished, waiting };

extern const char *const rule_hint;

rule read_rule(Jsonb *given, const char *path, rule_use use);

// What a rule asks of a job. since: DT_NOEND when it is not known. newer: how many finished jobs of its queue and of its func are
// newer, itself included.
struct job_facts {
    bytes queue, func, state;
    TimestampTz since;
    int64 newer_in_queue, newer_in_func;
};

bool matches(const rule &r, const job_facts &job, TimestampTz now);

// From when the rule can match a job that it does not match now, if only time passes; DT_NOEND: never.
TimestampTz earliest_match(const rule &r, const job_facts &job, TimestampTz now);

// No job matches before this age, in microseconds.
int64 least_age(const rule &r);

// Can no job of the queue match, as far as a look at the rule alone can tell?
bool excludes_queue(const rule &r, bytes queue);

// Does the rule count jobs, per queue or per func?
bool counts(const rule &r, bool per_func);

}  // namespace chancy
