-- queue: declare, list, pause, resume, delete. extension/queue.cpp

CREATE FUNCTION chancy.declare_queue(
    name text,
    state text DEFAULT 'active',
    concurrency integer DEFAULT NULL,
    tags text[] DEFAULT '{.*}',
    executor text DEFAULT 'chancy.executors.process.ProcessExecutor',
    executor_options jsonb DEFAULT '{}',
    polling_interval integer DEFAULT 5,
    rate_limit integer DEFAULT NULL,
    rate_limit_window integer DEFAULT NULL,
    resume_at timestamptz DEFAULT NULL,
    eager_polling boolean DEFAULT false,
    upsert boolean DEFAULT false,
    max_running integer DEFAULT NULL,
    max_running_per_key integer DEFAULT NULL,
    rate_limit_burst integer DEFAULT NULL)
RETURNS chancy.queues LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_declare_queue';
COMMENT ON FUNCTION chancy.declare_queue(text, text, integer, text[], text, jsonb, integer, integer, integer, timestamptz, boolean, boolean, integer, integer, integer) IS
'Declares a queue and returns its row; an existing one is returned as it is, or overwritten with upsert';

CREATE FUNCTION chancy.list_queues()
RETURNS SETOF chancy.queues LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT q FROM chancy.queues q ORDER BY q.name;
END;
COMMENT ON FUNCTION chancy.list_queues() IS 'All declared queues, by name';

CREATE FUNCTION chancy.pause_queue(name text, resume_at timestamptz DEFAULT NULL)
RETURNS boolean LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_pause_queue';
COMMENT ON FUNCTION chancy.pause_queue(text, timestamptz) IS
'Nothing is fetched from the queue until resume_queue, or until resume_at; false when there is no such queue';

CREATE FUNCTION chancy.resume_queue(name text)
RETURNS boolean LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_resume_queue';
COMMENT ON FUNCTION chancy.resume_queue(text) IS 'Ends a pause; false when there is no such queue';

CREATE FUNCTION chancy.delete_queue(name text, purge_jobs boolean DEFAULT true)
RETURNS boolean LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_delete_queue';
COMMENT ON FUNCTION chancy.delete_queue(text, boolean) IS
'Deletes a queue, and with purge_jobs all its jobs; refused (55006) while one of them runs or is held';
