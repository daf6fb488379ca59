-- worker: announce, list, retire. extension/worker.cpp

CREATE FUNCTION chancy.heartbeat(
    worker_id text, tags text[], queues text[], timeout interval DEFAULT '90 s')
RETURNS timestamptz LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_heartbeat';
COMMENT ON FUNCTION chancy.heartbeat(text, text[], text[], interval) IS
'Announces or renews a worker and returns when it expires; its running jobs are recovered after that. timeout 1 s to 1 day';

CREATE FUNCTION chancy.retire_worker(worker_id text)
RETURNS boolean LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_retire_worker';
COMMENT ON FUNCTION chancy.retire_worker(text) IS 'Takes a worker off the list; false when it was not on it';

CREATE FUNCTION chancy.list_workers()
RETURNS SETOF chancy.workers LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT w FROM chancy.workers w ORDER BY w.worker_id;
END;
COMMENT ON FUNCTION chancy.list_workers() IS 'All announced workers, by worker_id';
