-- First of all the tables, so that nobody is met half way. Not with LOCK: that would wait while it holds.
CREATE FUNCTION chancy.lock_tables(tables text[]) RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_lock_tables';
SELECT chancy.lock_tables('{jobs, queues, workers, leader, queue_rate_limits, cron, workflows, workflow_steps, metrics,
    schema_version, event_channels, watches, tasks, task_runs, grants}');
DROP FUNCTION chancy.lock_tables(text[]);
