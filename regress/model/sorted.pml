/*
 * Chancy's fix, where it suffices: both sides sorted, one call is the whole transaction, nothing else is locked.
 * No deadlock: this shows that the checker tells the difference.
 */
#define DUPLICATE_WAITS
#define MAY_TAKE(at) (IS_SLOT(at) == (ME & 1))
#define APPLICATION_LOCKS 0
#define TRIES 0
#define ROWS_PER_KEY 1
#include "core.pml"
