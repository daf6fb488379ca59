-- recovery, pruner, maintain(): what no worker does by itself.
SET client_min_messages = warning;
SELECT FROM chancy.declare_queue('default');
-- The tasks of these capabilities; others have tests of their own.
CREATE FUNCTION maintain(OUT task text, OUT did jsonb) RETURNS SETOF record LANGUAGE sql AS $$
    SELECT * FROM chancy.maintain() m WHERE m.task IN ('recovery', 'pruner', 'workers')
$$;
CREATE VIEW tasks AS SELECT * FROM chancy.list_tasks() WHERE name IN ('recovery', 'pruner', 'workers');
CREATE VIEW show AS SELECT unique_key, state, attempts, recoveries, taken_by, jsonb_array_length(errors) AS errors
    FROM chancy.jobs ORDER BY unique_key;
SELECT count(*) FROM chancy.push_many((SELECT jsonb_agg(jsonb_build_object('func', 'f', 'unique_key', 'k' || n) ORDER BY n) FROM generate_series(1, 4) n));

-- Two workers: one announced, one that never did.
SELECT chancy.heartbeat('announced', '{}', '{}') > now() AS announced;
SELECT count(*) FROM chancy.fetch_jobs('default', 'announced', 2);
SELECT count(*) FROM chancy.fetch_jobs('default', 'silent', 1);

-- Nobody has expired, and the silent one has time to announce itself.
SELECT * FROM chancy.recover_jobs();
UPDATE chancy.workers SET expires_at = now() - interval '1 s';
SELECT * FROM chancy.recover_jobs();
TABLE show;

-- One that was last seen before the server started had no time to renew (it has stood for less than a day).
SELECT count(*) FROM chancy.fetch_jobs('default', 'announced', 1);
UPDATE chancy.jobs SET started_at = started_at - interval '1 day' WHERE taken_by = 'announced';
UPDATE chancy.workers SET last_seen = pg_postmaster_start_time() - interval '1 min';
SELECT * FROM chancy.recover_jobs(grace => '1 day');
UPDATE chancy.workers SET last_seen = pg_postmaster_start_time() + interval '1 ms';
SELECT * FROM chancy.recover_jobs(grace => '1 day');
UPDATE chancy.jobs SET recoveries = 1 WHERE recoveries = 2;

-- The silent one: only when its job has run, and the server been up, for the grace period.
UPDATE chancy.jobs SET started_at = now() - interval '2 min' WHERE taken_by = 'silent';
SELECT * FROM chancy.recover_jobs();
UPDATE chancy.task_runs SET last_run = now() - interval '2 min' WHERE name = 'up';
SELECT * FROM chancy.recover_jobs();
TABLE show;

-- A crash empties the unlogged tables: then everybody has time again.
SELECT count(*) FROM chancy.fetch_jobs('default', 'silent', 4);
UPDATE chancy.jobs SET started_at = now() - interval '2 min' WHERE state = 'running';
TRUNCATE chancy.workers, chancy.task_runs;
SELECT * FROM chancy.recover_jobs();

-- A job that outlives its workers too often fails, and says so.
UPDATE chancy.task_runs SET last_run = now() - interval '2 min' WHERE name = 'up';
SELECT * FROM chancy.recover_jobs(max_recoveries => 1);
TABLE show;
SELECT errors #- '{0,at}' AS errors FROM chancy.jobs WHERE unique_key = 'k1';
-- An applied result resets the count.
SELECT id, started_at FROM chancy.fetch_jobs('default', 'w') \gset
SELECT applied FROM chancy.apply_updates('w', jsonb_build_array(jsonb_build_object('id', :'id', 'started_at', :'started_at', 'outcome', 'released')));
TABLE show;
-- At most up_to.
SELECT count(*) FROM chancy.push_many((SELECT jsonb_agg(jsonb_build_object('func', 'f', 'unique_key', 'm' || n) ORDER BY n) FROM generate_series(1, 4) n));
SELECT count(*) FROM chancy.fetch_jobs('default', 'silent', 5);
UPDATE chancy.jobs SET started_at = now() - interval '2 min' WHERE state = 'running';
SELECT * FROM chancy.recover_jobs(up_to => 2);
SELECT * FROM chancy.recover_jobs();
SELECT * FROM chancy.recover_jobs(max_recoveries => -1);
SELECT * FROM chancy.recover_jobs(grace => '0 s');
SELECT * FROM chancy.recover_jobs(up_to => 0);

-- maintain(): each task once per interval. Workers are forgotten a day after they have expired.
TRUNCATE chancy.task_runs, chancy.workers;
INSERT INTO chancy.workers SELECT 'expired ' || n || ' hours ago', '{}', '{}', now(), now() - interval '1 hour' * n FROM unnest('{-1,23,25}'::int[]) n;
SELECT * FROM maintain();
SELECT worker_id FROM chancy.workers ORDER BY 1;
SELECT * FROM maintain();
UPDATE chancy.task_runs SET last_run = now() - interval '30 s';
SELECT * FROM maintain();
INSERT INTO chancy.tasks (name, every, enabled) VALUES ('recovery', '1 day', NULL), ('workers', NULL, false);
UPDATE chancy.task_runs SET last_run = now() - interval '1 hour';
SELECT * FROM maintain();

-- The pruner: rules combine; live jobs are never touched.
TRUNCATE chancy.jobs;
SELECT count(*) FROM chancy.push_many((SELECT jsonb_agg(jsonb_build_object('func', 'f' || n % 2, 'queue', 'q' || n % 3, 'unique_key', 'p' || n) ORDER BY n) FROM generate_series(1, 12) n));
SELECT sum(cancelled::int) FROM chancy.cancel_jobs((SELECT array_agg(id ORDER BY id) FROM chancy.jobs WHERE unique_key <> 'p12'));
UPDATE chancy.jobs SET completed_at = now() - interval '8 days' WHERE unique_key IN ('p1', 'p2', 'p3', 'p4');
UPDATE chancy.jobs SET state = 'succeeded' WHERE unique_key = 'p5';
SELECT chancy.prune_jobs('{"and": [{"age": "7 days"}, {"queue": ["q1", "q2"]}, {"not": {"func": "f0"}}]}');
SELECT chancy.prune_jobs('{"or": [{"state": "succeeded"}, {"age": "7 days"}]}', up_to => 1);
SELECT chancy.prune_jobs('{"or": [{"state": "succeeded"}, {"age": "7 days"}]}');
SELECT unique_key, queue, func, state FROM chancy.jobs ORDER BY id;
SELECT chancy.prune_jobs('{"keep": 1}');
SELECT unique_key, queue, state FROM chancy.jobs ORDER BY id;
INSERT INTO chancy.tasks (name, settings) VALUES ('pruner', '{"rule": {"keep": 0}}');
UPDATE chancy.task_runs SET last_run = now() - interval '1 hour' WHERE name = 'pruner';
SELECT * FROM maintain();
SELECT unique_key, state FROM chancy.jobs;
-- Refused rules.
SELECT chancy.prune_jobs('[]');
SELECT chancy.prune_jobs('{}');
SELECT chancy.prune_jobs('{"age": "1 day", "keep": 1}');
SELECT chancy.prune_jobs('{"age": 5}');
SELECT chancy.prune_jobs('{"age": "soon"}');
SELECT chancy.prune_jobs('{"state": "pending"}');
SELECT chancy.prune_jobs('{"and": []}');
SELECT chancy.prune_jobs('{"or": [{"keep": 1}, {"keep": -1}]}');
SELECT chancy.prune_jobs('{"not": "x"}');
SELECT chancy.prune_jobs('{"when": "x"}');
SELECT chancy.prune_jobs('{"keep": 1}', 0);

-- Tasks: what can be set, and what is refused, by set_task and in the table.
DELETE FROM chancy.tasks;
TRUNCATE chancy.task_runs;
SELECT name, enabled, every, settings, last_run, next_due <= clock_timestamp() AS due, did, error, failed_at FROM tasks;
SELECT chancy.next_maintenance() <= clock_timestamp() AS due;
SELECT chancy.set_task('recovery', every => '1 min', settings => '{"grace": "2 minutes"}');
SELECT chancy.set_task('recovery', settings => '{"max_recoveries": 5, "grace": null}');
SELECT chancy.set_task('workers', enabled => false);
SELECT count(*) FROM maintain();
SELECT name, enabled, every, settings, next_due - last_run AS in, did FROM tasks;
SELECT chancy.next_maintenance() = min(next_due) AS next FROM chancy.list_tasks();
SELECT count(chancy.set_task(name, enabled => false)) > 2 AS set FROM chancy.list_tasks();
SELECT chancy.next_maintenance();
SELECT chancy.reset_task('recovery'), chancy.reset_task('recovery');
SELECT name, every, settings FROM tasks WHERE name = 'recovery';
\set VERBOSITY terse
SELECT chancy.set_task('tidy');
SELECT chancy.reset_task('tidy');
INSERT INTO chancy.tasks (name) VALUES ('tidy');
\set VERBOSITY default
SELECT chancy.set_task(NULL);
SELECT chancy.set_task('pruner', every => '0.5 s');
SELECT chancy.set_task('pruner', settings => '[]');
SELECT chancy.set_task('pruner', settings => '{"rules": {}}');
SELECT chancy.set_task('pruner', settings => '{"up_to": 0}');
SELECT chancy.set_task('pruner', settings => '{"rule": {"state": "running"}}');
SELECT chancy.set_task('recovery', settings => '{"grace": "0 s"}');
SELECT chancy.set_task('recovery', settings => '{"grace": true}');
UPDATE chancy.tasks SET settings = '{"a": 1}' WHERE name = 'workers';

-- A task that fails tells its error, once in the status too, and does not stop the others.
DELETE FROM chancy.tasks;
TRUNCATE chancy.task_runs;
ALTER INDEX chancy.jobs_running RENAME TO away;
SELECT * FROM maintain();
ALTER INDEX chancy.away RENAME TO jobs_running;
SELECT name, error, failed_at = last_run AS failed FROM tasks;
UPDATE chancy.task_runs SET last_run = now() - interval '30 s' WHERE name = 'recovery';
SELECT * FROM maintain();
SELECT name, error, failed_at = last_run AS failed FROM tasks;
-- A clock that was set back does not stop maintenance.
UPDATE chancy.task_runs SET last_run = now() + interval '1 day' WHERE name = 'recovery';
SELECT task FROM maintain();
