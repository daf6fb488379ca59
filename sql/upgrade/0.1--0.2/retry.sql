DROP FUNCTION chancy.retry_job(uuid);
CREATE FUNCTION chancy.retry_job(id uuid, kwargs jsonb DEFAULT NULL)
RETURNS boolean LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_retry_job';
COMMENT ON FUNCTION chancy.retry_job(uuid, jsonb) IS
'Makes a finished job pending again, attempts 0, errors kept, with kwargs in place of its own if given; false when missing, unfinished, or its key is live';

CREATE FUNCTION chancy.copy_job(id uuid, kwargs jsonb DEFAULT NULL, queue text DEFAULT NULL, priority integer DEFAULT NULL, max_attempts integer DEFAULT NULL)
RETURNS TABLE (copy uuid, created boolean) ROWS 1
LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_copy_job';
COMMENT ON FUNCTION chancy.copy_job(uuid, jsonb, text, integer, integer) IS
'Pushes a finished job anew, with what is given changed and copy_of in its meta; no row when missing or unfinished. created false: copy is the key''s live job; NULL: decided at commit';
