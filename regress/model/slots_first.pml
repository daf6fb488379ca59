/* Slots before rows: the pushes of a key before its other changes. A retry still needs its row first. Deadlock. Spec: slots_first_naive */
#define SLOT_STEP 0
#define RETRY_AT_ONCE
#define KEYS 1
#include "core.pml"
