// Wake-ups without the price of NOTIFY, whose lock on the whole database makes commits wait for each other.
#pragma once

#include "value.hpp"

namespace chancy {

// Does the mark stand, committed, that makes the next push send a wake-up?
bool is_asleep(bytes queue);

// Sets the mark, without waiting: it may stay unset while somebody else changes it.
void fall_asleep(bytes queue);

// At commit, when all jobs are written: must this transaction wake somebody? Takes the mark away, so that of many
// pushes only the first sends.
bool wake(bytes queue);

}  // namespace chancy
