// The shared object itself: magic block and start-up.
#include "postgres.hpp"

extern "C" {
PG_MODULE_MAGIC;
}
