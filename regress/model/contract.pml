/* The contract: every rule as core.pml has it. No deadlock, and no key with two live jobs. */
#include "core.pml"
