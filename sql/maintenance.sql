-- maintenance: what has to be done from time to time, by whoever calls. extension/maintenance.cpp

CREATE TABLE chancy.tasks (
    name     text     COLLATE "C" PRIMARY KEY CHECK (name IN ('recovery', 'pruner', 'workers')),
    every    interval CHECK (every >= '1 s'),
    enabled  boolean,
    settings jsonb    NOT NULL DEFAULT '{}'
);
COMMENT ON TABLE chancy.tasks IS
'What is set otherwise than by default for a task of maintain(); NULL means the default';
SELECT pg_catalog.pg_extension_config_dump('chancy.tasks', '');

CREATE UNLOGGED TABLE chancy.task_runs (
    name     text        COLLATE "C" PRIMARY KEY,
    last_run timestamptz NOT NULL
);
COMMENT ON TABLE chancy.task_runs IS
'When each task ran last; up: since when this table (and workers, unlogged too) has not been emptied by a crash';

CREATE FUNCTION chancy.maintain()
RETURNS TABLE (task text, did jsonb) LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_maintain';
COMMENT ON FUNCTION chancy.maintain() IS
'Runs the tasks that are due and that nobody else is running, and tells what each did; never waits';
