// The settings chancy.*: see setting.cpp for their meaning, units and ranges.
#pragma once

#include "postgres.hpp"

namespace chancy {

enum class push_mode : int { automatic, immediate, at_commit };

struct settings {
    int mode;           // push_mode
    int flush_timeout;  // ms
    int hot_key_bound;  // ms
    bool duplicate_lock;
    int sweep_time;       // ms
    int metrics_interval;  // ms; -1: nothing is counted
    // The background worker's.
    bool maintenance;
    int maintenance_interval;  // s
    int maintenance_workers;
    int sql_workers;
};
extern struct settings setting;

void define_settings();

}  // namespace chancy
