-- cron: jobs that are pushed again and again. extension/cron.cpp

CREATE FUNCTION chancy.schedule_cron(
    key text,
    expression text,
    job jsonb,
    time_zone text DEFAULT 'UTC',
    missed text DEFAULT 'once',
    grace interval DEFAULT '1 min',
    skipped_times text DEFAULT 'as_cron',
    repeated_times text DEFAULT 'as_cron',
    overlap boolean DEFAULT false,
    paused boolean DEFAULT false)
RETURNS timestamptz LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_schedule_cron';
COMMENT ON FUNCTION chancy.schedule_cron(text, text, jsonb, text, text, interval, text, text, boolean, boolean) IS
'Makes or replaces the schedule of this key: pushes the job, an object with push''s parameter names or a SQL function, at each tick; returns the next one. missed: skip, once, all up to N';

CREATE FUNCTION chancy.unschedule_cron(key text)
RETURNS boolean LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_unschedule_cron';
COMMENT ON FUNCTION chancy.unschedule_cron(text) IS 'Ends the schedule; false when there is none. Jobs that it pushed stay';

CREATE FUNCTION chancy.pause_cron(key text)
RETURNS boolean LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_pause_cron';
COMMENT ON FUNCTION chancy.pause_cron(text) IS 'Stops the schedule until resume_cron; false when there is none';

CREATE FUNCTION chancy.resume_cron(key text)
RETURNS boolean LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_resume_cron';
COMMENT ON FUNCTION chancy.resume_cron(text) IS
'Goes on with the schedule, from the next tick on: what it did not run while it was paused it has not missed; false when there is none';

CREATE FUNCTION chancy.push_cron(key text)
RETURNS uuid LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_push_cron';
COMMENT ON FUNCTION chancy.push_cron(text) IS
'Pushes the schedule''s job now, paused or not, and leaves its ticks as they are; returns what push returns, NULL when there is none';

CREATE FUNCTION chancy.list_cron()
RETURNS TABLE (key text, expression text, time_zone text, job jsonb, missed text, grace interval, skipped_times text,
    repeated_times text, overlap boolean, paused boolean, last_run timestamptz, next_run timestamptz, for_python boolean)
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'chancy_list_cron';
COMMENT ON FUNCTION chancy.list_cron() IS
'Every schedule, by key; next_run is its next tick, NULL while it is paused; for_python: Chancy''s Python plugin runs it too';

CREATE FUNCTION chancy.run_cron(up_to integer DEFAULT 1000)
RETURNS TABLE (key text, tick timestamptz, id uuid, created boolean) LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_run_cron';
COMMENT ON FUNCTION chancy.run_cron(integer) IS
'Pushes the jobs of the schedules that are due, at most up_to of them, and moves these on; passes by what others hold. maintain() calls it every second';

CREATE FUNCTION chancy.next_runs(
    expression text,
    time_zone text DEFAULT 'UTC',
    n integer DEFAULT 5,
    after timestamptz DEFAULT pg_catalog.now(),
    skipped_times text DEFAULT 'as_cron',
    repeated_times text DEFAULT 'as_cron')
RETURNS TABLE (tick timestamptz, local_time timestamp) LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'chancy_next_runs';
COMMENT ON FUNCTION chancy.next_runs(text, text, integer, timestamptz, text, text) IS
'The next n ticks (1 to 10,000) of a cron expression, in order, and what the clock of the zone shows then';
