-- update: write the results of attempts. extension/update.cpp

CREATE FUNCTION chancy.apply_updates(worker_id text, updates jsonb, on_locked text DEFAULT 'wait')
RETURNS TABLE (ord integer, id uuid, state text, applied boolean, reason text)
LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_apply_updates';
COMMENT ON FUNCTION chancy.apply_updates(text, jsonb, text) IS
'Writes results of the worker''s attempts, fenced by id and started_at; one row each, in input order';

CREATE FUNCTION chancy.exchange(
    worker_id text, updates jsonb, queue text, up_to integer, on_locked text DEFAULT 'skip')
RETURNS TABLE (kind text, ord integer, reason text, passed integer, job chancy.jobs)
LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_exchange';
COMMENT ON FUNCTION chancy.exchange(text, jsonb, text, integer, text) IS
'apply_updates, then fetch_jobs: rows of kind refused (ord, reason), passed (how many due jobs others held), job';
