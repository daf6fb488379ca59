/* Maintenance that waits, on two nodes, each in the order of its own plan. Deadlock. Spec: prune_prune_naive */
#define ANY_ORDER
#define MAY_TAKE(at) (!IS_SLOT(at))
#define APPLICATION_LOCKS 0
#define TRIES 0
#define KEYS 1
#include "core.pml"
