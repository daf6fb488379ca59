// Tasks of maintain(): what capabilities have to do from time to time.
//
// To add one: define a `const task` in the capability's file, with the settings that it knows, and name it in
// the list in task.cpp. maintain() (maintenance.cpp) sees to the rest: it runs the task when it is due, one caller at a
// time, in a subtransaction of its own, and keeps what it did, its error and its memory in chancy.task_runs.
#pragma once

#include "json.hpp"

namespace chancy {

// A setting that a task knows.
struct task_setting {
    const char *name;
    enum : uint8 {
        whole,   // a whole number from least to most
        span,    // a duration: seconds, as a number, or an interval, as a string, from least to most seconds
        custom,  // what check() lets through
    } kind;
    double least, most;
    void (*check)(JsonbValue *value, place where);
};

// How a task is set: its defaults, and over them the user's row in chancy.tasks.
struct task_settings {
    bool enabled;
    int64 every;    // microseconds
    Jsonb *given;   // null: nothing
    bytes memory;   // what the run before left; data null at first, after a crash, and whenever its row is lost

    JsonbValue *find(const char *name) const;  // null when it is not given
    int32 whole(const char *name, int32 fallback) const;
    int64 span(const char *name, int64 fallback) const;  // microseconds
};

struct task_result {
    const char *did;   // JSON: what it did
    int64 again;       // microseconds until it is due again, if there is more to do (1: at once); 0: as usual
    bytes memory;      // for the next run
};

struct task {
    const char *name;
    int64 every;  // microseconds between two runs, by default
    std::span<const task_setting> known;
    task_result (*run)(const task_settings &);
    // Optional: from when there is something to do, DT_NOEND for never. Asked often, so it only looks. The task is then due when the
    // interval is over and this time has come. What makes it earlier calls wake_maintenance() (background.hpp).
    TimestampTz (*from)(const task_settings &);
};

std::span<const task *const> tasks();
const task *find_task(bytes name);  // null when there is none

// Refuses (22023) a task or settings that are not known. where: how the settings are called in the message.
const task *check_task(bytes name, Jsonb *settings, const char *where);

// The task's settings as committed now.
task_settings read_settings(const task &t);

// A duration as JSON, for a setting and elsewhere: seconds, or an interval's text. In microseconds; refused outside
// least to most seconds.
int64 json_span(JsonbValue *value, place where, double least, double most);

}  // namespace chancy
