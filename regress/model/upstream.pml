/*
 * Chancy before its fix: results are written in order of arrival, a push takes its keys in list order and rewrites the
 * row of a duplicate (ON CONFLICT DO UPDATE). Deadlock. Specs: push_results_naive, batch_order_naive
 */
#define ANY_ORDER
#define DUPLICATE_WAITS
#define MAY_TAKE(at) (IS_SLOT(at) == (ME & 1))   /* odd numbers push a batch, even ones write results */
#define APPLICATION_LOCKS 0
#define TRIES 0
#define ROWS_PER_KEY 1
#include "core.pml"
