#pragma once

#include "board.hpp"

namespace chaos {

void set_clock_by(board& shared);

}  // namespace chaos
