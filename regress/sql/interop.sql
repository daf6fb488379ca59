-- interop: switching it on and off, the guard against stale results of Python workers, the wake-up, what a role gets.
\set ECHO none
\i sql/include/tools.sql
-- One job of each state, as a Python worker `py` and our worker `our` left them. Attempts of py began at 01:00.
CREATE FUNCTION reset() RETURNS void LANGUAGE sql AS $$
    DELETE FROM chancy.jobs;
    INSERT INTO chancy.jobs (id, queue, func, state, max_attempts, taken_by, started_at, completed_at, errors)
    SELECT gen_random_uuid(), 'default', f, s, 3, t, b::timestamptz, c::timestamptz, e::jsonb FROM (VALUES
        ('fresh',     'pending',   NULL,  NULL,                NULL,                '[]'),
        ('taken',     'running',   'py',  '2001-01-01 01:00Z', NULL,                '[]'),
        ('recovered', 'pending',   NULL,  '2001-01-01 01:00Z', NULL,                '[]'),
        ('retrying',  'retrying',  NULL,  '2001-01-01 01:00Z', NULL,                '[]'),
        ('ours',      'running',   'our', '2001-01-01 02:00Z', NULL,                '[]'),
        ('done',      'succeeded', 'our', '2001-01-01 02:00Z', '2001-01-01 03:00Z', '[]'),
        ('cancelled', 'failed',    'py',  '2001-01-01 01:00Z', '2001-01-01 03:00Z', '[{"attempt": 0, "traceback": "cancelled"}]')
    ) v (f, s, t, b, c, e);
$$;
-- Python's result: all that it knows, by id alone. It began at 01:00, and knows no more of the row.
CREATE FUNCTION py_results(how text) RETURNS TABLE (func text, state text, attempts int, completed timestamptz, error text) LANGUAGE sql AS $$
    SELECT reset();
    UPDATE chancy.jobs SET state = how, started_at = '2001-01-01 01:00Z', completed_at = CASE WHEN how <> 'retrying' THEN timestamptz '2001-01-01 04:00Z' END,
        scheduled_at = '2001-01-01Z', attempts = 1, errors = '[{"attempt": 0, "traceback": "from python"}]', meta = '{"py": 1}', max_attempts = 3;
    SELECT func, state, attempts, completed_at, errors -> 0 ->> 'traceback' FROM chancy.jobs ORDER BY func;
$$;
SET timezone = 'UTC';
\set ECHO all
SELECT * FROM chancy.interop_status();
-- Off: a stale result is kept, as upstream keeps it.
SELECT * FROM py_results('succeeded');
SELECT chancy.enable_python_interop();
SELECT chancy.enable_python_interop();
SELECT * FROM chancy.interop_status();
SELECT * FROM chancy.event_channels ORDER BY channel;
-- On: `taken` alone gets its result. (A job that never started gets none; `retrying` has this attempt's result already.)
SELECT * FROM py_results('succeeded');
SELECT * FROM py_results('failed');
SELECT * FROM py_results('retrying');
-- No error, no unique violation either: the key of a cancelled job has another one by now.
SELECT reset();
UPDATE chancy.jobs SET unique_key = 'k' WHERE func = 'cancelled';
SELECT chancy.push('next', unique_key => 'k') IS NOT NULL AS pushed;
UPDATE chancy.jobs SET state = 'retrying', started_at = '2001-01-01 01:00Z', completed_at = NULL WHERE func = 'cancelled';
SELECT func, state FROM chancy.jobs WHERE unique_key = 'k' ORDER BY func;

-- What is no stale result goes through: a claim, a recovery, a duplicate, a cancel and other changes by hand.
SELECT reset();
WITH claimed AS (SELECT id FROM chancy.jobs WHERE state IN ('pending', 'retrying') ORDER BY priority DESC, id FOR UPDATE SKIP LOCKED)
UPDATE chancy.jobs SET started_at = now(), state = 'running', taken_by = 'py2' FROM claimed WHERE jobs.id = claimed.id;
SELECT func, state, taken_by, started_at = now() AS now FROM chancy.jobs WHERE taken_by = 'py2' ORDER BY func;
UPDATE chancy.jobs SET state = 'pending', taken_by = NULL, started_at = NULL, max_attempts = max_attempts + 1 WHERE state = 'running';
SELECT func, state, max_attempts, started_at FROM chancy.jobs ORDER BY func;
SELECT reset();
UPDATE chancy.jobs SET state = 'failed', completed_at = '2001-01-01 05:00Z' WHERE func IN ('fresh', 'retrying', 'ours', 'done');
UPDATE chancy.jobs SET state = state, priority = 7;
SELECT func, state, priority, completed_at FROM chancy.jobs ORDER BY func;
INSERT INTO chancy.jobs (id, queue, func, unique_key) VALUES (gen_random_uuid(), 'default', 'keyed', 'k2');
INSERT INTO chancy.jobs (id, queue, func, unique_key) VALUES (gen_random_uuid(), 'default', 'keyed.again', 'k2')
ON CONFLICT (unique_key) WHERE unique_key IS NOT NULL AND state NOT IN ('succeeded', 'failed') DO UPDATE SET state = jobs.state RETURNING func;

-- started_at, the fencing token, rises with a claim of Python's too: its transaction began before the row's last attempt.
SELECT reset();
UPDATE chancy.jobs SET started_at = '2100-01-01 00:00Z' WHERE func = 'recovered';
UPDATE chancy.jobs SET state = 'running', taken_by = 'py', started_at = now() WHERE func = 'recovered' RETURNING started_at;

-- Python's pushes wake our workers, and what it does to jobs is told as we tell it. Twice the same is told once.
-- On our own channel queue.pushed is sent once to whoever sleeps, on Python's always.
INSERT INTO chancy.queues (name) VALUES ('q1'), ('q2');
SELECT count(*) FROM unnest('{q1,q2}'::text[]) q, chancy.fetch_jobs(q, 'our');
SELECT reset();
SELECT chancy.watch_jobs(ARRAY[id_of('taken'), id_of('ours')]);
LISTEN chancy_events;
LISTEN events;
\o | sed -E 's/Asynchronous notification "(.*)" with payload "(.*)" received.*/  \1 \2/; s/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/ID/g'
\qecho pushed: two queues, and a job of tomorrow
BEGIN;
INSERT INTO chancy.jobs (id, queue, func) VALUES (gen_random_uuid(), 'q1', 'a'), (gen_random_uuid(), 'q2', 'a'), (gen_random_uuid(), 'q1', 'a');
INSERT INTO chancy.jobs (id, queue, func, scheduled_at) VALUES (gen_random_uuid(), 'q3', 'a', now() + interval '1 day');
SELECT FROM pg_notify('events', '{"t": "queue.pushed", "q": "q1"}');
COMMIT;
\qecho a duplicate
INSERT INTO chancy.jobs (id, queue, func, unique_key) VALUES (gen_random_uuid(), 'q1', 'a', 'k');
INSERT INTO chancy.jobs (id, queue, func, unique_key) VALUES (gen_random_uuid(), 'q2', 'a', 'k')
ON CONFLICT (unique_key) WHERE unique_key IS NOT NULL AND state NOT IN ('succeeded', 'failed') DO UPDATE SET state = jobs.state;
\qecho a result, a stale one, a recovery
UPDATE chancy.jobs SET state = 'succeeded', started_at = '2001-01-01 01:00Z', completed_at = now() WHERE func IN ('taken', 'ours');
UPDATE chancy.jobs SET state = 'pending', started_at = NULL WHERE func = 'ours';
\qecho a result that frees the one slot of a queue, in which somebody sleeps
SELECT FROM chancy.declare_queue('limited', max_running => 1);
INSERT INTO chancy.jobs (id, queue, func, state, taken_by, started_at) VALUES (gen_random_uuid(), 'limited', 'b', 'running', 'py', '2001-01-01 01:00Z');
INSERT INTO chancy.jobs (id, queue, func) VALUES (gen_random_uuid(), 'limited', 'b');
SELECT FROM chancy.fetch_jobs('limited', 'our');
UPDATE chancy.jobs SET state = 'succeeded', started_at = '2001-01-01 01:00Z', completed_at = now() WHERE queue = 'limited' AND state = 'running';
UNLISTEN *;
\o

-- What it needs. An admin may switch the channel and the guard; giving a role what Python needs is the owner's.
CREATE ROLE regress_interop_admin;
CREATE ROLE regress_interop_python;
CREATE ROLE "regress_interop ""odd""";
CREATE ROLE regress_interop_owner CREATEROLE;
SELECT chancy.grant_admin('regress_interop_admin');
SET ROLE regress_interop_python;
SELECT refused('chancy.enable_python_interop()');
RESET ROLE;
GRANT USAGE ON SCHEMA chancy TO regress_interop_python;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA chancy TO regress_interop_python;
SET ROLE regress_interop_python;
SELECT refused('chancy.enable_python_interop()');
SELECT refused('chancy.disable_python_interop()');
RESET ROLE;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA chancy FROM regress_interop_python;
REVOKE ALL ON SCHEMA chancy FROM regress_interop_python;
SET ROLE regress_interop_admin;
SELECT chancy.disable_python_interop();
SELECT enabled FROM chancy.interop_status();
SELECT chancy.enable_python_interop();
SELECT refused('chancy.enable_python_interop(''regress_interop_python'')');
RESET ROLE;
SELECT refused('chancy.enable_python_interop(4000000000::oid::regrole)');
CREATE SCHEMA chancy_client;
CREATE TABLE chancy_client.jobs ();
SELECT refused('chancy.enable_python_interop(''regress_interop_python'')');
DROP SCHEMA chancy_client CASCADE;
SELECT format('ALTER ROLE regress_interop_python IN DATABASE %I SET search_path = app', current_database()) \gexec
SELECT refused('chancy.enable_python_interop(''regress_interop_python'')');
SELECT format('ALTER ROLE regress_interop_python IN DATABASE %I RESET search_path', current_database()) \gexec
SELECT to_regnamespace('chancy_client') IS NULL AS nothing_left;

-- The role can do what Python does, and no more.
SELECT chancy.enable_python_interop('regress_interop_python'), chancy.enable_python_interop('"regress_interop ""odd"""'),
    chancy.enable_python_interop('regress_interop_python');
SELECT * FROM chancy.interop_status();
SELECT setrole::regrole, setconfig FROM pg_db_role_setting JOIN pg_database d ON d.oid = setdatabase AND datname = current_database() AND setrole <> 0 ORDER BY setrole::regrole::text COLLATE "C";
SET ROLE regress_interop_python;
SET search_path = chancy_client, chancy, public;
CREATE TABLE IF NOT EXISTS schema_version (version_of varchar(255) PRIMARY KEY, version int);
SELECT version FROM schema_version WHERE version_of = 'chancy';
INSERT INTO jobs (id, queue, func) VALUES (gen_random_uuid(), 'default', 'by.python') RETURNING func;
UPDATE jobs SET state = 'running', taken_by = 'p', started_at = now() WHERE func = 'by.python' RETURNING state;
UPDATE jobs SET state = 'succeeded', started_at = '2001-01-01Z', completed_at = now() WHERE func = 'by.python' RETURNING state;
INSERT INTO leader (worker_id, expires_at) VALUES ('p', now()) RETURNING worker_id;
INSERT INTO workflows (id, name, state) VALUES (gen_random_uuid(), 'w', 'pending');
INSERT INTO workflow_steps (workflow_id, step_id, job_data, dependencies) SELECT id, 's', '{}', '[]' FROM workflows RETURNING step_id;
DELETE FROM workers WHERE expires_at < now();
SELECT count(*) FROM queues, queue_rate_limits, cron, metrics;
UPDATE schema_version SET version = 7;
CREATE TABLE chancy.mine ();
SELECT * FROM chancy.grants;
SELECT chancy.push('f');
RESET ROLE;
RESET search_path;

-- Off again: nothing is left. What an admin has it keeps; tables of others in chancy_client stay.
SELECT chancy.enable_python_interop('regress_interop_admin');
SET ROLE regress_interop_admin;
SELECT refused('chancy.disable_python_interop()');
RESET ROLE;
CREATE TABLE chancy_client.of_a_plugin ();
SET client_min_messages = notice;
SELECT chancy.disable_python_interop();
SET client_min_messages = warning;
SELECT * FROM chancy.interop_status();
SELECT has_table_privilege('regress_interop_python', 'chancy.jobs', 'SELECT') AS python, has_schema_privilege('regress_interop_python', 'chancy', 'USAGE') AS uses,
    has_table_privilege('regress_interop_admin', 'chancy.jobs', 'UPDATE') AS admin;
SELECT count(*) FROM pg_db_role_setting JOIN pg_database d ON d.oid = setdatabase AND datname = current_database() AND setrole <> 0;
DROP SCHEMA chancy_client CASCADE;
SELECT chancy.disable_python_interop();
SELECT chancy.enable_python_interop('regress_interop_python');
SELECT chancy.disable_python_interop();
SELECT to_regnamespace('chancy_client') IS NULL AS gone;

-- The trigger functions are for chancy.jobs.
CREATE TABLE other (state text);
CREATE TRIGGER t BEFORE UPDATE ON other FOR EACH ROW EXECUTE FUNCTION chancy.python_guard();
INSERT INTO other VALUES ('pending');
UPDATE other SET state = 'running';
CREATE TRIGGER t2 AFTER DELETE ON chancy.jobs FOR EACH ROW EXECUTE FUNCTION chancy.python_wake();
DELETE FROM chancy.jobs;
SELECT chancy.python_guard();

-- An installation in use goes away with its interop, if asked.
DROP TRIGGER t2 ON chancy.jobs;
DROP TABLE other;
SELECT chancy.enable_python_interop('regress_interop_python');
DROP EXTENSION chancy;
DROP EXTENSION chancy CASCADE;
CREATE EXTENSION chancy;
SELECT chancy.enable_python_interop('regress_interop_python');
SELECT version FROM chancy_client.schema_version WHERE version_of = 'cron';
DROP EXTENSION chancy CASCADE;
\set ECHO none
DROP SCHEMA IF EXISTS chancy_client CASCADE;
DROP OWNED BY regress_interop_admin, regress_interop_python, "regress_interop ""odd""";
DROP ROLE regress_interop_admin, regress_interop_python, "regress_interop ""odd""", regress_interop_owner;
