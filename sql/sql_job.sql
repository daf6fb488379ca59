-- sql_job: jobs that are functions and procedures of the database, run in the server. extension/sql_job.cpp

-- Who runs what is not in jobs, which an admin may write, but here, where nobody but the owner may. The function as text, not
-- regprocedure: pg_upgrade keeps no function's oid, and refuses clusters with such a column.
CREATE TABLE chancy.sql_jobs (
    job_id   uuid         PRIMARY KEY,
    role     regrole      NOT NULL,
    function text         NOT NULL,
    args     jsonb        NOT NULL,
    timeout  interval     NOT NULL,
    every    interval
);
COMMENT ON TABLE chancy.sql_jobs IS 'What push_sql pushed, and the role that did, which the job runs as';
SELECT pg_catalog.pg_extension_config_dump('chancy.sql_jobs', '');

-- The same for schedules.
CREATE TABLE chancy.sql_schedules (
    key      text         COLLATE "C" PRIMARY KEY,
    role     regrole      NOT NULL,
    function text         NOT NULL,
    args     jsonb        NOT NULL,
    timeout  interval     NOT NULL
);
COMMENT ON TABLE chancy.sql_schedules IS 'What the SQL jobs of a schedule call, and the role that scheduled it, which they run as';
SELECT pg_catalog.pg_extension_config_dump('chancy.sql_schedules', '');

CREATE FUNCTION chancy.push_sql(
    function regprocedure,
    args jsonb DEFAULT '[]',
    queue text DEFAULT 'sql',
    priority integer DEFAULT 0,
    max_attempts integer DEFAULT 1,
    scheduled_at timestamptz DEFAULT pg_catalog.now(),
    timeout interval DEFAULT '1 h',
    every interval DEFAULT NULL)
RETURNS uuid LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_push_sql';
COMMENT ON FUNCTION chancy.push_sql(regprocedure, jsonb, text, integer, integer, timestamptz, interval, interval) IS
'Pushes a call of a function or procedure, with an array of arguments, to be run in the server as the current role; every: again and again. timeout 1 s to 1 day';

CREATE PROCEDURE chancy.run_sql_jobs(queue text DEFAULT 'sql', up_to integer DEFAULT 1000)
LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_run_sql_jobs';
REVOKE ALL ON PROCEDURE chancy.run_sql_jobs(text, integer) FROM PUBLIC;
COMMENT ON PROCEDURE chancy.run_sql_jobs(text, integer) IS
'Runs up to up_to due SQL jobs of the queue in this session, one after the other, each in a transaction of its own; for the owner';

CREATE FUNCTION chancy.list_sql_jobs(after uuid DEFAULT NULL, up_to integer DEFAULT 100)
RETURNS TABLE (id uuid, role regrole, function text, args jsonb, queue text, state text, scheduled_at timestamptz,
    started_at timestamptz, completed_at timestamptz, timeout interval, every interval, result jsonb, error text)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT j.id, s.role, s.function, s.args, j.queue, j.state, j.scheduled_at, j.started_at, j.completed_at, s.timeout, s.every,
        j.result, j.errors -> -1 ->> 'traceback'
    FROM chancy.sql_jobs s JOIN chancy.jobs j ON j.id = s.job_id
    WHERE list_sql_jobs.after IS NULL OR s.job_id < list_sql_jobs.after
    ORDER BY s.job_id DESC LIMIT list_sql_jobs.up_to;
END;
COMMENT ON FUNCTION chancy.list_sql_jobs(uuid, integer) IS
'SQL jobs, with what they run as and how they ran last; the newest first. after: the last id of the page before';
