-- progress: how far running jobs are, and checkpoints that outlive an attempt. extension/progress.cpp

-- A table of its own: reports leave no dead rows in jobs, and Python's result UPDATE destroys nothing here. Half of each page is
-- free, and no index but the key's, so that reports are HOT updates.
CREATE TABLE chancy.progress (
    job_id      uuid             PRIMARY KEY,
    started_at  timestamptz      NOT NULL,
    percent     double precision,
    message     text,
    checkpoint  jsonb,
    reported_at timestamptz      NOT NULL
) WITH (fillfactor = 50);
COMMENT ON TABLE chancy.progress IS 'What handlers last reported of their jobs';
COMMENT ON COLUMN chancy.progress.started_at IS 'The attempt that reported last: an earlier one writes nothing any more';
COMMENT ON COLUMN chancy.progress.percent IS '0 to 100; NULL: not told by that attempt';
COMMENT ON COLUMN chancy.progress.checkpoint IS 'What the next attempt needs to go on; kept over attempts';
SELECT pg_catalog.pg_extension_config_dump('chancy.progress', '');

CREATE VIEW chancy.job_progress AS
    SELECT j.id, j.queue, j.func, j.state, j.attempts, j.taken_by, p.percent, p.message, p.checkpoint, p.reported_at
    FROM chancy.progress p JOIN chancy.jobs j ON j.id OPERATOR(pg_catalog.=) p.job_id;
COMMENT ON VIEW chancy.job_progress IS 'Jobs that have reported progress, and what';

CREATE FUNCTION chancy.report_progress(worker_id text, reports jsonb)
RETURNS TABLE (ord integer, id uuid, applied boolean, reason text)
LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_report_progress';
COMMENT ON FUNCTION chancy.report_progress(text, jsonb) IS
'Notes percent, message and checkpoint of the worker''s running jobs, fenced by id and started_at; one row each, in input order; never waits';

CREATE FUNCTION chancy.get_progress(id uuid)
RETURNS chancy.progress LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT p FROM chancy.progress p WHERE p.job_id = get_progress.id;
END;
COMMENT ON FUNCTION chancy.get_progress(uuid) IS 'What was last reported of the job; a row of NULLs when nothing was';

CREATE FUNCTION chancy.get_checkpoint(worker_id text, id uuid)
RETURNS jsonb LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'chancy_get_checkpoint';
COMMENT ON FUNCTION chancy.get_checkpoint(text, uuid) IS
'The checkpoint of a job that the worker is running; NULL when there is none';
