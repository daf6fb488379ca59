// Who runs beside the transactions: the look-out that watches waits and laws, ordinary maintenance, and the killer.
#pragma once

#include "world.hpp"

namespace adversary {

void watch(world& w);     // each runs until the world stops
void maintain(world& w, int round);
void kill_backends(world& w, int round);

}  // namespace adversary
