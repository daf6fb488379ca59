-- adopt: an installation of Python Chancy with a job in every state is taken over, history in batches, worked on, and given back.
\set ECHO none
\i sql/include/tools.sql
SET timezone = 'UTC';
\set schema 'My "App"'
\set prefix 'Pre fix"'
CREATE SCHEMA "My ""App""";
\i sql/include/upstream.sql
-- The columns that only we have.
SELECT array_agg(attname::text) AS extra FROM pg_attribute WHERE attrelid = 'chancy.jobs'::regclass AND attnum > 17 AND NOT attisdropped \gset
\set ECHO all
\set me '''My "App"'', ''Pre fix"'''

-- A job of ours, and a queue, are there before.
SELECT chancy.push('our.job', unique_key => 'ours') IS NOT NULL AS pushed;
SELECT name FROM chancy.declare_queue('ours');
SELECT * FROM chancy.adopt(:me);
SELECT schema, prefix, history, copied, copied_from, done FROM chancy.adoptions;
-- The old names are gone, so that whoever pushes there is told.
SELECT to_regclass('"My ""App""".' || quote_ident('Pre fix"jobs')) IS NULL AS gone;
SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace('"My ""App"""') AND relkind = 'r' ORDER BY 1;
-- What lives is there as it was, and the step of a running workflow that is over.
SELECT right(id::text, 2) AS n, func, queue, state, priority, attempts, max_attempts, taken_by, started_at, scheduled_at, unique_key, errors, recoveries
FROM chancy.jobs WHERE func <> 'our.job' ORDER BY id;
SELECT DISTINCT kwargs ? 'n' AS kwargs, meta, limits FROM chancy.jobs WHERE func <> 'our.job';
SELECT name, state, concurrency, tags, executor_options, polling_interval, rate_limit, rate_limit_window, resume_at, eager_polling FROM chancy.queues ORDER BY name;
SELECT unique_key, job, cron, last_run, next_run FROM chancy.cron;
SELECT id, name, state, created_at, updated_at FROM chancy.workflows ORDER BY name;
SELECT id, right(workflow_id::text, 2) AS workflow, step_id, job_data, dependencies, right(job_id::text, 2) AS job FROM chancy.workflow_steps ORDER BY id;
SELECT metric_key, timestamps, "values" FROM chancy.metrics;
SELECT worker_id, tags, queues, expires_at, owner FROM chancy.workers;
SELECT queue, window_start, count FROM chancy.queue_rate_limits;
SELECT nextval('chancy.workflow_steps_id_seq');

-- A second adoption is refused; so is a name that is none.
SELECT refused('chancy.adopt(''My "App"'', ''Pre fix"'')');
SELECT refused('chancy.adopt_history(''public'')');

-- Life goes on: the keys are taken, the jobs run, the dead worker's job is recovered.
SELECT created FROM chancy.push_many('[{"func": "new", "unique_key": "z"}, {"func": "new", "unique_key": "later"}, {"func": "new", "unique_key": "b"}]');
-- (A worker that was last seen before the server started would have time to come back.)
UPDATE chancy.workers SET last_seen = now() WHERE worker_id = 'py1';
SELECT recovered FROM chancy.recover_jobs();
SELECT func, state, priority FROM chancy.fetch_jobs('default', 'w', 3);
SELECT state, applied FROM chancy.apply_updates('w', updates('succeeded', 'app.urgent', 'app.pending') || jsonb_build_array(an_update('app.running', 'failed')));

-- History, in batches; a transaction that is broken off leaves no trace.
BEGIN;
SELECT * FROM chancy.adopt_history(:me, 1);
ROLLBACK;
SELECT * FROM chancy.adopt_history(:me, 2);
SELECT func FROM chancy.jobs WHERE state IN ('succeeded', 'failed') AND func LIKE 'app.%' ORDER BY id DESC;
SELECT * FROM chancy.adopt_history(:me, 3);
-- What was pruned meanwhile stays away.
DELETE FROM chancy.jobs WHERE func = 'app.old3';
SELECT * FROM chancy.adopt_history(:me, 3);
SELECT * FROM chancy.adopt_history(:me, 3);
SELECT func, state, attempts, unique_key FROM chancy.jobs ORDER BY id;
SELECT refused('chancy.adopt_history(''My "App"'', ''Pre fix"'', 0)');

-- The way back: as it is now, with what is new, without what was pruned.
SELECT refused('chancy.give_back(''public'')');
CREATE TABLE now AS SELECT to_jsonb(j) - :'extra'::text[] AS j FROM chancy.jobs j;
SELECT * FROM chancy.give_back(:me);
SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace('"My ""App"""') AND relkind = 'r' ORDER BY 1;
SELECT func, state, attempts, unique_key FROM "My ""App"""."Pre fix""jobs" ORDER BY id;
SELECT count(*) FROM (SELECT j FROM now EXCEPT SELECT to_jsonb(o) FROM "My ""App"""."Pre fix""jobs" o) AS differing;
SELECT name, state FROM "My ""App"""."Pre fix""queues" ORDER BY name;
SELECT id, step_id FROM "My ""App"""."Pre fix""workflow_steps" ORDER BY id;
SELECT (SELECT count(*) FROM chancy.jobs) AS jobs, (SELECT count(*) FROM chancy.queues) AS queues, (SELECT count(*) FROM chancy.workflow_steps) AS steps,
    (SELECT count(*) FROM chancy.cron) AS cron, (SELECT count(*) FROM chancy.adoptions) AS adoptions;

-- Again, and back at once, with history half copied: nothing has changed, but for ids of steps.
SELECT copied FROM chancy.adopt(:me) WHERE what = 'jobs';
SELECT * FROM chancy.adopt_history(:me, 2);
SELECT copied FROM chancy.give_back(:me) WHERE what = 'jobs';
SELECT count(*) AS jobs, count(*) FILTER (WHERE to_jsonb(o) IN (SELECT j FROM now)) AS same FROM "My ""App"""."Pre fix""jobs" o;

-- An installation without plugins.
\set ECHO none
DROP SCHEMA "My ""App""" CASCADE;
\set schema public
\set prefix chancy_
\i sql/include/upstream.sql
DROP TABLE public.chancy_cron, public.chancy_workflow_steps, public.chancy_workflows, public.chancy_metrics;
DELETE FROM public.chancy_schema_version WHERE version_of <> 'chancy';
\set ECHO all
SELECT * FROM chancy.adopt('public');
SELECT * FROM chancy.adopt_history('public');
INSERT INTO chancy.cron (unique_key, job, cron, next_run) VALUES ('c', '{}', '* * * * *', now());
SELECT refused('chancy.give_back(''public'')');
DELETE FROM chancy.cron;
CREATE TABLE chancy_jobs ();
SELECT refused('chancy.give_back(''public'')');
DROP TABLE chancy_jobs;
INSERT INTO chancy.adoptions (schema, prefix, history) VALUES ('public', 'other_', 0);
SELECT refused('chancy.give_back(''public'')');
DELETE FROM chancy.adoptions WHERE prefix = 'other_';
SELECT * FROM chancy.give_back('public');
SELECT count(*) FROM chancy_jobs;
