DROP FUNCTION chancy.retry_job(uuid);
CREATE FUNCTION chancy.retry_job(id uuid, kwargs jsonb DEFAULT NULL)
RETURNS boolean LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_retry_job';
COMMENT ON FUNCTION chancy.retry_job(uuid, jsonb) IS
'Makes a finished job pending again, attempts 0, errors kept, with kwargs in place of its own if given; false when missing, unfinished, or its key is live';

CREATE FUNCTION chancy.copy_job(id uuid, kwargs jsonb DEFAULT NULL, queue text DEFAULT NULL, priority integer DEFAULT NULL, max_attempts integer DEFAULT NULL)
RETURNS TABLE (copy uuid, created boolean) LANGUAGE sql
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT p.id, p.created FROM chancy.get_job(copy_job.id) j, LATERAL chancy.push_many(jsonb_build_array(jsonb_build_object(
        'func', j.func, 'kwargs', coalesce(copy_job.kwargs, j.kwargs), 'queue', coalesce(copy_job.queue, j.queue),
        'priority', coalesce(copy_job.priority, j.priority), 'max_attempts', coalesce(copy_job.max_attempts, j.max_attempts),
        'unique_key', j.unique_key, 'concurrency_key', j.concurrency_key, 'limits', j.limits,
        'meta', j.meta || jsonb_build_object('copy_of', j.id)))) p
    WHERE j.state IN ('succeeded', 'failed');
END;
COMMENT ON FUNCTION chancy.copy_job(uuid, jsonb, text, integer, integer) IS
'Pushes a finished job anew, with what is given changed and copy_of in its meta; no row when missing or unfinished. created false: copy is the key''s live job';
