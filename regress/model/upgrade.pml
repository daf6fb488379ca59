/* Two transactions push a duplicate, then cancel the job FOR UPDATE: each waits for the other's KEY SHARE. Deadlock. Spec: duplicates_cancel_naive */
#define WAITS_FOR_UPDATE
#define CALLS 2
#define KEYS 1
#define ROWS_PER_KEY 1
#define INITIAL(s) (s == LIVE)
#define APPLICATION_LOCKS 0
#define TRIES 0
#include "core.pml"
