-- hostile: a schema first in the search_path that shadows operators, functions, types and tables of pg_catalog and of
-- ours with traps. The extension is created, used by its owner, and called by others under it: no trap may be met.
\set ECHO none
\i sql/include/tools.sql
DROP EXTENSION chancy;
CREATE SCHEMA hostile;
SET check_function_bodies = off;
-- Every operator and function of pg_catalog that plpgsql can shadow.
DO $$
DECLARE
    f record; o record; made int := 0;
BEGIN
    FOR f IN SELECT p.oid, proname, pg_get_function_identity_arguments(p.oid) AS args, pg_get_function_result(p.oid) AS result
        FROM pg_proc p WHERE pronamespace = 'pg_catalog'::regnamespace AND prokind = 'f' AND NOT proretset AND pronargs < 5 AND provariadic = 0
            AND 'internal'::regtype <> ALL (proargtypes::oid[]) AND prorettype <> 'internal'::regtype AND 'cstring'::regtype <> ALL (proargtypes::oid[])
            AND prorettype <> 'cstring'::regtype AND proname !~ '^(pg_|ri_|_|binary_upgrade|RI)'
    LOOP
        BEGIN
            EXECUTE format('CREATE FUNCTION hostile.%I(%s) RETURNS %s LANGUAGE plpgsql AS %L', f.proname, f.args, f.result,
                format('BEGIN RAISE EXCEPTION ''met hostile %s''; END', f.proname));
            made := made + 1;
        EXCEPTION WHEN OTHERS THEN NULL;
        END;
    END LOOP;
    FOR o IN SELECT oprname, oprleft::regtype AS l, oprright::regtype AS r, (SELECT proname FROM pg_proc WHERE oid = oprcode) AS code FROM pg_operator
        WHERE oprnamespace = 'pg_catalog'::regnamespace AND oprleft <> 0 AND oprright <> 0
    LOOP
        BEGIN
            EXECUTE format('CREATE OPERATOR hostile.%s (FUNCTION = hostile.%I, LEFTARG = %s, RIGHTARG = %s)', o.oprname, o.code, o.l, o.r);
            made := made + 1;
        EXCEPTION WHEN OTHERS THEN NULL;
        END;
    END LOOP;
    IF made < 2000 THEN RAISE EXCEPTION 'only % traps', made; END IF;
END $$;
CREATE FUNCTION hostile.unnest(uuid[]) RETURNS SETOF uuid LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'met hostile unnest'; END $$;
CREATE FUNCTION hostile.pg_notify(text, text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'met hostile pg_notify'; END $$;
CREATE TABLE hostile.jobs (trap int);
CREATE TABLE hostile.queues (trap int);
CREATE TABLE hostile.workers (trap int);
CREATE TABLE hostile.watches (trap int);
CREATE TABLE hostile.grants (trap int);
CREATE TABLE hostile.event_channels (trap int);
DROP ROLE IF EXISTS regress_hostile_user;
CREATE ROLE regress_hostile_user;
GRANT USAGE ON SCHEMA hostile TO PUBLIC;
CREATE DOMAIN hostile.text AS pg_catalog.int4;
CREATE DOMAIN hostile.jsonb AS pg_catalog.int4;
CREATE DOMAIN hostile.uuid AS pg_catalog.int4;
CREATE DOMAIN hostile.timestamptz AS pg_catalog.int4;
CREATE DOMAIN hostile.regrole AS pg_catalog.int4;
\set ECHO all
SET search_path = hostile, pg_catalog, public;

-- The traps work.
SELECT now();
SELECT 1 = 1;
SELECT 'a'::text;

CREATE EXTENSION chancy;
SELECT chancy.grant_producer('regress_hostile_user');
SELECT chancy.grant_worker('regress_hostile_user', '{default}');

-- As the owner.
SELECT name, state FROM chancy.declare_queue('default', upsert => true);
SELECT name, state FROM chancy.declare_queue('default', rate_limit => 100, rate_limit_window => 60, upsert => true);
SELECT name, state FROM chancy.declare_queue('default');
SELECT chancy.pause_queue('default');
SELECT chancy.resume_queue('default');
SELECT name FROM chancy.list_queues();
SELECT chancy.push('one', unique_key => 'k') AS id \gset
SELECT ord, created FROM chancy.push_many('[{"func": "two", "unique_key": "k"}, {"func": "three", "unique_key": "l", "max_attempts": 2,
    "limits": [{"t": "time", "v": 1}], "scheduled_at": "2020-01-01T00:00:00Z"}]');
BEGIN;
SELECT ord, created FROM chancy.push_many('[{"func": "four", "unique_key": "m"}, {"func": "five", "unique_key": "k"}]');
SELECT chancy.flush();
SELECT created FROM chancy.push_many('[{"func": "six", "unique_key": "n"}]');
COMMIT;
SELECT ord, created FROM chancy.pushed();
SELECT func, unique_key FROM chancy.list_jobs('default', 'pending', up_to => 2);
SELECT func FROM chancy.get_live_job('k');
SELECT func FROM chancy.get_job(:'id');
SELECT func FROM chancy.get_jobs(ARRAY[:'id'::pg_catalog.uuid]);
SELECT chancy.watch_jobs(ARRAY[:'id'::pg_catalog.uuid]);
SELECT chancy.cancel_job(:'id');
SELECT chancy.retry_job(:'id');
SELECT cancelled FROM chancy.cancel_jobs(ARRAY[:'id'::pg_catalog.uuid]);
SELECT pg_catalog.count(*) OPERATOR(pg_catalog.>) 2 AS ran FROM chancy.maintain() WHERE NOT (did OPERATOR(pg_catalog.?) 'error');
SELECT * FROM chancy.recover_jobs();
SELECT chancy.prune_jobs('{"and": [{"age": "1 day"}, {"queue": "default"}, {"func": ["one", "two"]}, {"not": {"state": "failed"}}]}');
SELECT chancy.prune_jobs('{"keep": 5}');
SELECT chancy.event_channel();
SELECT chancy.push_workflow('w', '[{"step": "a", "func": "step", "queue": "w"}, {"step": "b", "func": "step", "queue": "w", "after": ["a"], "undo": {"func": "undo"}}]', 'compensate') AS workflow \gset
SELECT chancy.add_steps(:'workflow', '[{"step": "c", "func": "step", "queue": "w", "after": ["b"]}]');
SELECT step, state FROM chancy.get_workflow_steps(:'workflow');
SELECT name, status FROM chancy.get_workflow(:'workflow');
SELECT name FROM chancy.list_workflows();
SELECT pg_catalog.length(chancy.workflow_dot(:'workflow')), pg_catalog.length(chancy.workflow_mermaid(:'workflow'));
SELECT chancy.cancel_workflow(:'workflow');
SELECT chancy.retry_workflow(:'workflow');
SELECT advanced, busy FROM chancy.advance_workflows();
SELECT chancy.push_group('g', '[{"func": "part", "queue": "w"}]', '{"func": "then", "queue": "w"}') AS grouped \gset
SELECT step, state FROM chancy.get_workflow_steps(:'grouped');
SELECT chancy.cancel_workflow(:'grouped');
SELECT chancy.prune_workflows('0 s');
SELECT chancy.enable_python_interop('regress_hostile_user');
SELECT * FROM chancy.interop_status();
UPDATE chancy.jobs SET state = 'failed' WHERE state OPERATOR(pg_catalog.=) 'pending' AND func OPERATOR(pg_catalog.=) 'none';
SELECT chancy.disable_python_interop();

-- As somebody else, with tables of the own in front of everything.
SET ROLE regress_hostile_user;
SET search_path = pg_temp, hostile, pg_catalog, public;
CREATE TEMP TABLE jobs (trap int);
CREATE TEMP TABLE queues (trap int);
CREATE TEMP TABLE workers (trap int);
SELECT created FROM chancy.push_many('[{"func": "user", "unique_key": "u", "priority": 5}]');
SELECT chancy.heartbeat('w', '{}', '{}', '1 hour') IS NOT NULL AS announced;
SELECT id AS uid, started_at AS start FROM chancy.fetch_jobs('default', 'w') \gset
SELECT func FROM chancy.running_jobs('w');
SELECT ord, applied FROM chancy.report_progress('w', jsonb_build_array(jsonb_build_object('id', :'uid', 'started_at', :'start', 'percent', 5, 'checkpoint', 1)));
SELECT chancy.get_checkpoint('w', :'uid');
SELECT name FROM chancy.list_queues();
\set batch '[{"id": "' :uid '", "started_at": "' :start '", "outcome": "failed", "error": "e", "meta": {"retry_settings": {"backoff": 2}}}]'
SELECT ord, state, applied FROM chancy.apply_updates('w', :'batch');
SELECT kind, ord, reason, (job).func FROM chancy.exchange('w', :'batch', 'default', 1);
SELECT FROM chancy.maintain() LIMIT 0;
SELECT advanced, busy FROM chancy.advance_workflows();
SELECT * FROM chancy.step_results(:'uid');
SELECT chancy.push_workflow('user', '[{"step": "a", "func": "step", "queue": "w"}]') IS NOT NULL AS pushed;
SELECT chancy.retire_worker('w');
SELECT chancy.id_time(:'uid') IS NOT NULL AS time;
RESET ROLE;
SET search_path = hostile, pg_catalog, public;
SELECT chancy.delete_queue('default', false);
SELECT (chancy.declare_queue('gone')).name;
SELECT chancy.delete_queue('gone');
SELECT chancy.grant_admin('regress_hostile_user');

-- Nothing went astray.
RESET search_path;
SELECT func, state, errors FROM look();
SELECT role, kind, queues FROM chancy.grants ORDER BY kind;
DROP EXTENSION chancy;
\set ECHO none
DROP OWNED BY regress_hostile_user;
DROP ROLE regress_hostile_user;
