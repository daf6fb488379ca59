/* Immediate mode in a block that also locks one row of the application's. Deadlock, with one key. Spec: flush_application_lock_naive */
#define MAY_LOCK_APPLICATION (phase <= 1)
#define APPLICATION_LOCKS 1
#define MAY_TAKE(at) IS_SLOT(at)                  /* push */
#define KEYS 1
#define ROWS_PER_KEY 1
#include "core.pml"
