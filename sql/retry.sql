-- retry: run finished jobs again. extension/retry.cpp

CREATE FUNCTION chancy.retry_job(id uuid)
RETURNS boolean LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_retry_job';
COMMENT ON FUNCTION chancy.retry_job(uuid) IS
'Makes a finished job pending again, attempts 0, errors kept; false when missing, unfinished, or its key is live';
