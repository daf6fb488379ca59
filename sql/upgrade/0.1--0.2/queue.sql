DROP FUNCTION chancy.declare_queue(text, text, integer, text[], text, jsonb, integer, integer, integer, timestamptz, boolean, boolean);
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
