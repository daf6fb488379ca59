-- maintenance: what has to be done from time to time, by whoever calls. extension/maintenance.cpp, extension/task.cpp

CREATE FUNCTION chancy.check_task(name text, settings jsonb)
RETURNS boolean LANGUAGE c IMMUTABLE STRICT AS 'MODULE_PATHNAME', 'chancy_check_task';
COMMENT ON FUNCTION chancy.check_task(text, jsonb) IS
'True for a task of maintain() and settings that it knows; everything else is refused (22023), with the known ones in the hint';

CREATE TABLE chancy.tasks (
    name     text     COLLATE "C" PRIMARY KEY,
    every    interval CHECK (every >= '1 s'),
    enabled  boolean,
    settings jsonb    NOT NULL DEFAULT '{}',
    CONSTRAINT tasks_known CHECK (chancy.check_task(name, settings))
);
COMMENT ON TABLE chancy.tasks IS
'What is set otherwise than by default for a task of maintain(), by set_task(); NULL means the default';
SELECT pg_catalog.pg_extension_config_dump('chancy.tasks', '');

CREATE UNLOGGED TABLE chancy.task_runs (
    name      text        COLLATE "C" PRIMARY KEY,
    last_run  timestamptz NOT NULL,
    again_at  timestamptz,
    did       jsonb,
    error     text,
    failed_at timestamptz,
    memory    bytea
);
COMMENT ON TABLE chancy.task_runs IS
'How each task ran last: list_tasks() shows it; up: since when this table (and workers, unlogged too) has not been emptied by a crash';

CREATE FUNCTION chancy.maintain()
RETURNS TABLE (task text, did jsonb) LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_maintain';
COMMENT ON FUNCTION chancy.maintain() IS
'Runs the tasks that are due and that nobody else is running, and tells what each did; never waits';

CREATE FUNCTION chancy.next_maintenance()
RETURNS timestamptz LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'chancy_next_maintenance';
COMMENT ON FUNCTION chancy.next_maintenance() IS
'When the next task of maintain() is due, now if one is; NULL when none will be';

CREATE FUNCTION chancy.list_tasks()
RETURNS TABLE (name text, enabled boolean, every interval, settings jsonb, last_run timestamptz, next_due timestamptz,
    did jsonb, error text, failed_at timestamptz)
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'chancy_list_tasks';
COMMENT ON FUNCTION chancy.list_tasks() IS
'Every task of maintain(), as it is set and as it ran last, in the order in which they run; failed_at = last_run: the last run failed';

CREATE FUNCTION chancy.set_task(
    name text, every interval DEFAULT NULL, enabled boolean DEFAULT NULL, settings jsonb DEFAULT NULL)
RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_set_task';
COMMENT ON FUNCTION chancy.set_task(text, interval, boolean, jsonb) IS
'Sets what is given of a task of maintain(), settings as a whole; what is NULL stays as it is';

CREATE FUNCTION chancy.reset_task(name text)
RETURNS boolean LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_reset_task';
COMMENT ON FUNCTION chancy.reset_task(text) IS
'Sets a task of maintain() back to its defaults; false when nothing was set';
