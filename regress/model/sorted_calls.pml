/* Sorting alone: every call is sorted, a transaction makes two. Deadlock. Spec: push_twice_naive */
#define CALLS 2
#define DUPLICATE_WAITS
#define MAY_TAKE(at) (IS_SLOT(at) == (ME & 1))
#define APPLICATION_LOCKS 0
#define TRIES 0
#define ROWS_PER_KEY 1
#include "core.pml"
