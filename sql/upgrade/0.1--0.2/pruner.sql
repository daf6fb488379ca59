-- pruner: keep counts per func too.

COMMENT ON FUNCTION chancy.prune_jobs(jsonb, integer) IS
'Deletes up to up_to finished jobs that match the rule: {"age": interval}, {"queue"|"func"|"state": text or array}, {"keep": n per queue, or {"count": n, "per": "func"}}, {"and"|"or": [rules]}, {"not": rule}; never waits';
