-- fetch: claim waiting jobs, and look at jobs. extension/fetch.cpp

CREATE FUNCTION chancy.fetch_jobs(queue text, worker_id text, up_to integer DEFAULT 1)
RETURNS SETOF chancy.jobs LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_fetch_jobs';
COMMENT ON FUNCTION chancy.fetch_jobs(text, text, integer) IS
'Claims up to up_to due jobs of the queue for the worker, in (priority DESC, id) order; never waits';

CREATE FUNCTION chancy.running_jobs(worker_id text)
RETURNS SETOF chancy.jobs LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'chancy_running_jobs';
COMMENT ON FUNCTION chancy.running_jobs(text) IS
'The jobs that the server believes the worker is running, by id; of queues that the caller may work only';

CREATE FUNCTION chancy.get_job(id uuid)
RETURNS chancy.jobs LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT j FROM chancy.jobs j WHERE j.id = get_job.id;
END;
COMMENT ON FUNCTION chancy.get_job(uuid) IS 'The job with this id; a row of NULLs when there is none';

CREATE FUNCTION chancy.get_jobs(ids uuid[])
RETURNS SETOF chancy.jobs LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT j FROM unnest(get_jobs.ids) WITH ORDINALITY AS i (id, ord)
    JOIN chancy.jobs j ON j.id = i.id ORDER BY i.ord;
END;
COMMENT ON FUNCTION chancy.get_jobs(uuid[]) IS 'The jobs with these ids, in the order of the ids; missing ones are left out';

CREATE FUNCTION chancy.get_live_job(unique_key text)
RETURNS chancy.jobs LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT j FROM chancy.jobs j
    WHERE j.unique_key = get_live_job.unique_key AND j.state NOT IN ('succeeded', 'failed');
END;
COMMENT ON FUNCTION chancy.get_live_job(text) IS 'The live job of the key; a row of NULLs when there is none';

CREATE FUNCTION chancy.list_jobs(
    queue text DEFAULT NULL,
    state text DEFAULT NULL,
    func text DEFAULT NULL,
    after uuid DEFAULT NULL,
    up_to integer DEFAULT 100,
    since timestamptz DEFAULT NULL,
    before timestamptz DEFAULT NULL,
    unique_key text DEFAULT NULL)
RETURNS SETOF chancy.jobs LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'chancy_list_jobs';
COMMENT ON FUNCTION chancy.list_jobs(text, text, text, uuid, integer, timestamptz, timestamptz, text) IS
'Jobs by descending id, filtered; after is the last id of the page before; since and before bound the time in the id; up_to 1 to 100,000';
