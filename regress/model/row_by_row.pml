/* Each row with its slot: T1 retries f1 and f2 of one key, T2 retries f2. Deadlock. Spec: retry_two_naive */
#define RETRY_AT_ONCE
#define KEYS 1
#include "core.pml"
