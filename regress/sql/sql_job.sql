-- sql_job: functions and procedures of the database as jobs, each run as the role that pushed it.
\set ECHO none
\i sql/include/tools.sql
DROP ROLE IF EXISTS regress_sql_alice, regress_sql_bob, regress_sql_gone;
CREATE ROLE regress_sql_alice;
CREATE ROLE regress_sql_bob;
CREATE ROLE regress_sql_gone;
SELECT name FROM chancy.declare_queue('sql');
SELECT chancy.grant_producer(r) FROM unnest('{regress_sql_alice,regress_sql_bob,regress_sql_gone}'::regrole[]) r;
CREATE TABLE log (n serial, who text, what text);
GRANT INSERT, SELECT ON log TO PUBLIC;
GRANT USAGE ON SEQUENCE log_n_seq TO PUBLIC;
CREATE SCHEMA alice AUTHORIZATION regress_sql_alice;
CREATE FUNCTION note(what text, times int DEFAULT 1) RETURNS bigint LANGUAGE sql AS $$
    INSERT INTO public.log (who, what) SELECT current_user, what FROM generate_series(1, times); SELECT count(*) FROM public.log $$;
CREATE FUNCTION secret() RETURNS int LANGUAGE sql AS 'SELECT 1';
REVOKE ALL ON FUNCTION secret() FROM PUBLIC;
CREATE PROCEDURE work(what text) LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.log (who, what) VALUES (current_user, what);
    IF what = 'fails' THEN RAISE EXCEPTION 'by chance'; END IF;
END $$;
CREATE FUNCTION slow() RETURNS void LANGUAGE sql AS $$ INSERT INTO public.log (who, what) VALUES (current_user, 'slow'); SELECT pg_sleep(1000) $$;
CREATE FUNCTION told() RETURNS TABLE (role regrole, function text, state text, due boolean, result jsonb, error text) LANGUAGE sql AS $$
    SELECT role, function::text, state, scheduled_at <= clock_timestamp(), result, split_part(error, E'\n', 1) FROM chancy.list_sql_jobs() ORDER BY id $$;
\set ECHO all

-- Each as the role that pushed it; what the function did and its result are one transaction.
SET ROLE regress_sql_alice;
SELECT chancy.push_sql('note(text, int)', '["hello", 2]') IS NOT NULL AS pushed;
SELECT chancy.push_sql('note(text, int)', '["once"]') IS NOT NULL AS pushed;
SELECT chancy.push_sql('work(text)', '["fails"]') IS NOT NULL AS pushed;
SET ROLE regress_sql_bob;
SELECT chancy.push_sql('work(text)', '[null]') IS NOT NULL AS pushed;
SELECT chancy.push_sql('work(text)', '["again and again"]', every => '10 min') IS NOT NULL AS pushed;
SELECT chancy.push_sql('note(text, int)', '["later"]', scheduled_at => '2100-01-01Z') IS NOT NULL AS pushed;
SELECT chancy.push_sql('slow()', timeout => '1 s') IS NOT NULL AS pushed;
RESET ROLE;
CALL chancy.run_sql_jobs();
SELECT * FROM log ORDER BY n;
SELECT * FROM told();
SELECT current_user;

-- Refused for roles that may not execute the function, and what is no job.
SET ROLE regress_sql_alice;
SELECT refused(c) FROM unnest(ARRAY[$$chancy.push_sql('public.secret()')$$, $$chancy.push_sql('public.note(text, int)')$$, $$chancy.push_sql('public.note(text, int)', '["a", 1, 2]')$$,
    $$chancy.push_sql('public.note(text, int)', '{"what": "a"}')$$, $$chancy.push_sql('pg_catalog.count()')$$, $$chancy.push_sql('pg_catalog.format(text, "any")')$$, $$chancy.push_sql(NULL)$$,
    $$chancy.push_sql(0)$$, $$chancy.push_sql('public.slow()', timeout => '0 s')$$, $$chancy.push_sql('public.slow()', timeout => '2 days')$$, $$chancy.push_sql('public.slow()', every => '0 s')$$,
    $$chancy.push_sql('public.slow()', queue => '')$$, $$chancy.push_sql('public.slow()', max_attempts => 0)$$, $$chancy.push_sql('public.slow()', scheduled_at => 'infinity')$$]) c \g (tuples_only format=unaligned)
CALL chancy.run_sql_jobs();
RESET ROLE;
BEGIN;
CALL chancy.run_sql_jobs();
ROLLBACK;
CALL chancy.run_sql_jobs('');
CALL chancy.run_sql_jobs('sql', 0);

-- What a producer says in a job, and what an admin may write, has no say in what runs as whom.
SELECT chancy.push('note', '{"role": "postgres"}', 'sql', meta => '{"role": "postgres", "function": "note"}') IS NOT NULL AS pushed;
CALL chancy.run_sql_jobs();
SELECT state, without_time(errors) AS errors FROM chancy.jobs WHERE func = 'note' AND kwargs <> '{}';
SELECT chancy.grant_admin('regress_sql_bob');
SET ROLE regress_sql_bob;
UPDATE chancy.sql_jobs SET role = 'regress_sql_alice';
INSERT INTO chancy.sql_jobs SELECT * FROM chancy.sql_jobs;
RESET ROLE;

-- A job leaves nothing behind in the session: no setting, no temporary table, nothing for the commit to run, no other role.
SET ROLE regress_sql_alice;
CREATE TABLE alice.t (a int);
CREATE FUNCTION alice.at_commit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.log (who, what) VALUES (current_user, 'at commit'); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER d AFTER INSERT ON alice.t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION alice.at_commit();
CREATE FUNCTION alice.a_trigger() RETURNS void LANGUAGE sql AS 'INSERT INTO alice.t VALUES (1)';
CREATE FUNCTION alice.b_settings() RETURNS text LANGUAGE plpgsql AS $$ BEGIN SET search_path = alice; SET work_mem = '77MB'; RETURN current_user; END $$;
CREATE FUNCTION alice.c_temp() RETURNS void LANGUAGE plpgsql AS $$ BEGIN CREATE TEMP TABLE trap (a int); END $$;
CREATE FUNCTION alice.d_role() RETURNS void LANGUAGE plpgsql AS $$ BEGIN RESET ROLE; END $$;
CREATE FUNCTION alice.e_authorization() RETURNS void LANGUAGE plpgsql AS $$ BEGIN RESET SESSION AUTHORIZATION; END $$;
SELECT chancy.push_sql('alice.a_trigger()', queue => 'hard') IS NOT NULL AND chancy.push_sql('alice.b_settings()', queue => 'hard') IS NOT NULL
    AND chancy.push_sql('alice.c_temp()', queue => 'hard') IS NOT NULL AND chancy.push_sql('alice.d_role()', queue => 'hard') IS NOT NULL
    AND chancy.push_sql('alice.e_authorization()', queue => 'hard') IS NOT NULL AS pushed;
SET ROLE regress_sql_gone;
SELECT chancy.push_sql('public.note(text, int)', '["gone"]', queue => 'hard') IS NOT NULL AS pushed;
RESET ROLE;
DROP OWNED BY regress_sql_gone;
DROP ROLE regress_sql_gone;
SELECT name FROM chancy.declare_queue('hard');
CALL chancy.run_sql_jobs('hard');
SELECT function, state, result, error FROM told() WHERE function LIKE 'alice.%' OR error LIKE '%role%';
SELECT count(*) FROM log WHERE what = 'at commit';
SELECT current_user, current_setting('work_mem'), current_setting('search_path');
-- A function that is dropped; a job that is pruned.
SET ROLE regress_sql_alice;
SELECT chancy.push_sql('alice.b_settings()', queue => 'hard') IS NOT NULL AS pushed;
DROP FUNCTION alice.b_settings();
RESET ROLE;
CALL chancy.run_sql_jobs('hard');
SELECT state, errors -> -1 ->> 'traceback' AS error FROM chancy.jobs WHERE func = 'b_settings' ORDER BY id DESC LIMIT 1;
SELECT chancy.prune_jobs('{"keep": 0}') > 0 AS pruned;
SELECT did -> 'deleted' <> '0' AS forgotten FROM chancy.maintain() WHERE task = 'sql_jobs';
SELECT func FROM chancy.jobs WHERE id IN (SELECT job_id FROM chancy.sql_jobs) ORDER BY func;

-- By cron: as the role that scheduled it, and each tick a job of its own.
SELECT chancy.grant_admin('regress_sql_alice');
SET ROLE regress_sql_alice;
SELECT refused(format('chancy.schedule_cron(''k'', ''@yearly'', %L)', j)) FROM unnest('{
    "{\"function\": \"public.secret()\"}", "{\"function\": \"public.nothing()\"}", "{\"function\": \"public.note(text, int)\"}", "{\"function\": 1}", "{\"function\": null}",
    "{\"function\": \"public.slow()\", \"args\": {}}", "{\"function\": \"public.slow()\", \"args\": [1]}", "{\"function\": \"public.slow()\", \"timeout\": \"2 days\"}",
    "{\"function\": \"public.slow()\", \"kwargs\": {}}", "{\"function\": \"public.slow()\", \"limits\": []}", "{\"function\": \"public.slow()\", \"func\": \"fast\"}",
    "{\"function\": \"public.slow()\", \"on_conflict\": \"replace\"}", "{\"function\": \"public.slow()\", \"every\": \"1 h\"}", "{\"func\": \"slow\", \"args\": []}"}'::text[]) j \g (tuples_only format=unaligned)
SELECT count(*) FROM chancy.sql_schedules;
SELECT chancy.schedule_cron('of alice', '@yearly', '{"function": "public.note(text, int)", "args": ["by cron"], "timeout": "10 min", "queue": "cron", "priority": 7}') > now() AS scheduled;
SELECT chancy.schedule_cron('of alice too', '@yearly', '{"function": "public.work(text)", "args": ["too"], "queue": "cron"}', overlap => true, missed => 'all up to 2') > now() AS scheduled;
SET ROLE regress_sql_bob;
SELECT chancy.schedule_cron('of bob', '@yearly', '{"function": "public.work(text)", "args": ["of bob"], "queue": "cron"}') > now() AS scheduled;
RESET ROLE;
SELECT key, job, for_python FROM chancy.list_cron();
SELECT * FROM chancy.sql_schedules ORDER BY key;
SELECT name FROM chancy.declare_queue('cron');
UPDATE chancy.cron SET due_at = '2020-01-01Z';
SET ROLE regress_sql_bob;
SELECT key, created FROM chancy.run_cron() ORDER BY key;
-- A tick whose schedule's job is still there makes none.
UPDATE chancy.cron SET due_at = date_trunc('year', now(), 'UTC');
SELECT key, created FROM chancy.run_cron() ORDER BY key;
RESET ROLE;
CREATE VIEW ran AS SELECT who, what FROM log WHERE what IN ('by cron', 'too', 'of bob', 'now') ORDER BY n;
CALL chancy.run_sql_jobs('cron');
SELECT * FROM ran;
SELECT role, function, timeout, state, result IS NOT NULL AS result FROM chancy.list_sql_jobs() WHERE queue = 'cron' ORDER BY id;
-- Once more, at once and at commit, whoever asks for it.
DELETE FROM log;
SET ROLE regress_sql_bob;
SELECT chancy.push_cron('of alice') IS NOT NULL AS pushed;
SELECT chancy.push_cron('of alice') IS NOT NULL AS pushed;
BEGIN;
SELECT chancy.push_cron('of alice too') IS NOT NULL AS pushed;
COMMIT;
RESET ROLE;
CALL chancy.run_sql_jobs('cron');
SELECT * FROM ran;
-- The right to execute it counts when it runs. It was everybody's.
DELETE FROM log;
REVOKE EXECUTE ON PROCEDURE work(text) FROM PUBLIC;
SET ROLE regress_sql_bob;
SELECT chancy.push_cron('of bob') IS NOT NULL AS pushed;
SELECT refused($$chancy.schedule_cron('of bob', '@daily', '{"function": "public.work(text)", "args": ["of bob"]}')$$) \g (tuples_only format=unaligned)
RESET ROLE;
CALL chancy.run_sql_jobs('cron');
SELECT * FROM ran;
SELECT role, function, state, split_part(error, E'\n', 1) AS error FROM chancy.list_sql_jobs(up_to => 1);
-- Whoever schedules it anew is who it runs as; what the table says does not count.
SET ROLE regress_sql_bob;
UPDATE chancy.sql_schedules SET role = 'regress_sql_alice';
UPDATE chancy.cron SET push = push || '{"function": "public.secret()", "args": []}', due_at = '2020-01-01Z' WHERE unique_key = 'of alice';
SELECT chancy.schedule_cron('of alice too', '@yearly', '{"function": "public.note(text, int)", "args": ["now"]}') > now() AS scheduled;
RESET ROLE;
SELECT key, role, function FROM chancy.sql_schedules ORDER BY key;
SELECT key, created FROM chancy.run_cron();
CALL chancy.run_sql_jobs('cron');
SELECT * FROM ran;
-- What ends: a schedule, a schedule that is one of a plain job now, one that is deleted from the table, and one that was never scheduled.
SELECT chancy.unschedule_cron('of bob');
SELECT chancy.schedule_cron('of alice too', '@yearly', '{"func": "a"}') > now() AS scheduled;
SELECT key FROM chancy.sql_schedules ORDER BY key;
INSERT INTO chancy.cron SELECT 'forged', job, cron, last_run, next_run, time_zone, missed, grace, skipped_times, repeated_times, overlap, paused, '{"function": "public.secret()", "func": "secret"}', '2020-01-01Z'
    FROM chancy.cron WHERE unique_key = 'of alice';
SELECT key FROM chancy.run_cron();
SELECT chancy.push_cron('forged');
DELETE FROM chancy.cron;
DELETE FROM chancy.task_runs WHERE name = 'sql_jobs';
SELECT task FROM chancy.maintain() WHERE task = 'sql_jobs';
SELECT key FROM chancy.sql_schedules;
-- Page by page.
SELECT count(*) = 2 AND bool_and(id < (SELECT id FROM chancy.list_sql_jobs(up_to => 1))) FROM chancy.list_sql_jobs((SELECT id FROM chancy.list_sql_jobs(up_to => 1)), 2);

\set ECHO none
DROP SCHEMA alice CASCADE;
DROP EXTENSION chancy CASCADE;
DROP OWNED BY regress_sql_alice, regress_sql_bob;
DROP ROLE regress_sql_alice, regress_sql_bob;
