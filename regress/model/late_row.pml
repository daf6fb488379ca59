/* A row found only after another row of its key is locked is waited for: a push beside a retry meets the live job. Deadlock. Spec: late_row_naive */
#define DUPLICATE_WAITS
#define KEYS 1
#include "core.pml"
