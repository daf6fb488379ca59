/* A transaction that fetched, or flushed before, waits in its flush instead of trying. Deadlock. Spec: flush_holding_naive */
#define MAY_WAIT true
#define KEYS 1
#include "core.pml"
