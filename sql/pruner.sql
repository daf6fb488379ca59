-- pruner: delete finished jobs. extension/pruner.cpp

CREATE FUNCTION chancy.prune_jobs(rule jsonb, up_to integer DEFAULT 10000)
RETURNS integer LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_prune_jobs';
COMMENT ON FUNCTION chancy.prune_jobs(jsonb, integer) IS
'Deletes up to up_to finished jobs that match the rule: {"age": interval}, {"queue"|"func"|"state": text or array}, {"keep": n per queue, or {"count": n, "per": "func"}}, {"and"|"or": [rules]}, {"not": rule}; never waits';
