-- role: who may do what: every function, tried as every kind of role, for its own queue q1 and for q2; tables; grants.
\set ECHO none
\i sql/include/tools.sql
-- What becomes of a call by this role: ok, or the SQLSTATE. What it did is undone.
CREATE FUNCTION as_role(role name, call text) RETURNS text LANGUAGE plpgsql SET chancy.push_mode = immediate AS $$
BEGIN
    EXECUTE format('SET LOCAL ROLE %I', role);
    EXECUTE 'SELECT FROM ' || call;
    RAISE EXCEPTION USING ERRCODE = 'OK000', MESSAGE = 'undo';
EXCEPTION
    WHEN SQLSTATE 'OK000' THEN RETURN 'ok';
    WHEN OTHERS THEN RETURN SQLSTATE;
END $$;
CREATE TABLE calls (n serial, call text);
INSERT INTO calls (call) VALUES
    ('push(''f'', queue => ''q1'')'), ('push(''f'', queue => ''q2'')'), ('push(''f'', queue => ''q2'', unique_key => ''in q1'')'),
    ('push_many(''[{"func": "f", "queue": "q1"}]'')'), ('push_many(''[{"func": "f", "queue": "q1"}, {"func": "f", "queue": "q2"}]'')'), ('push_many(''[]'')'), ('push_arrays(''{f}'', queue => ''{q1}'')'),
    ('push_at_commit(''[{"func": "f", "queue": "q1"}]'')'), ('push_at_commit(''[{"func": "f", "queue": "q2"}]'')'),
    ('pushed()'), ('flush()'), ('id_time(''03c71f9b-af43-0007-8000-000000000000'')'), ('event_channel()'),
    ('fetch_jobs(''q1'', ''w'')'), ('fetch_jobs(''q2'', ''w'')'),
    ('apply_updates(''w'', ''[{"id": "00000000-0000-0000-0000-000000000001", "started_at": "2020-01-01Z", "outcome": "succeeded"}]'')'),
    ('apply_updates(''w'', ''[{"id": "00000000-0000-0000-0000-000000000002", "started_at": "2020-01-01Z", "outcome": "succeeded"}]'')'),
    ('exchange_arrays(''w'', ''q1'', 1)'), ('exchange_arrays(''w'', ''q2'', 1)'), ('exchange(''w'', ''[]'', ''q1'', 1)'), ('exchange(''w'', ''[]'', ''q2'', 1)'),
    ('exchange(''w'', ''[{"id": "00000000-0000-0000-0000-000000000002", "started_at": "2020-01-01Z", "outcome": "succeeded"}]'', ''q1'', 1)'),
    ('running_jobs(''w'')'), ('get_checkpoint(''w'', ''00000000-0000-0000-0000-000000000001'')'), ('get_checkpoint(''w'', ''00000000-0000-0000-0000-000000000002'')'),
    ('report_progress(''w'', ''[{"id": "00000000-0000-0000-0000-000000000001", "started_at": "2020-01-01Z"}]'')'), ('report_progress(''w'', ''[{"id": "00000000-0000-0000-0000-000000000002", "started_at": "2020-01-01Z"}]'')'),
    ('get_progress(''00000000-0000-0000-0000-000000000001'')'), ('heartbeat(''w'', ''{}'', ''{}'')'), ('acquire_leadership(''w'', ''1 min'')'), ('release_leadership(''w'')'), ('retire_worker(''w'')'), ('recover_jobs()'), ('maintain()'), ('next_maintenance()'), ('wake_maintenance()'), ('list_tasks()'),
    ('set_task(''pruner'')'), ('reset_task(''pruner'')'), ('check_task(''pruner'', ''{}'')'), ('list_queues()'),
    ('schedule_cron(''k'', ''@yearly'', ''{"func": "f", "queue": "q1"}'')'), ('pause_cron(''k'')'), ('resume_cron(''k'')'), ('push_cron(''k'')'), ('list_cron()'), ('run_cron()'),
    ('unschedule_cron(''k'')'), ('next_runs(''@yearly'')'),
    ('list_workers()'), ('get_job(''00000000-0000-0000-0000-000000000001'')'), ('get_jobs(''{00000000-0000-0000-0000-000000000001}'')'),
    ('get_live_job(''in q1'')'), ('list_jobs()'), ('watch_jobs(''{}'')'), ('cancel_job(''00000000-0000-0000-0000-000000000001'')'),
    ('cancel_jobs(''{00000000-0000-0000-0000-000000000001}'')'), ('retry_job(''00000000-0000-0000-0000-000000000001'')'),
    ('declare_queue(''q1'')'), ('pause_queue(''q1'')'), ('resume_queue(''q1'')'), ('delete_queue(''q3'')'), ('prune_jobs(''{"age": "1 day"}'')'), ('reprioritize(1)'),
    ('push_workflow(''w'', ''[{"step": "a", "func": "f", "queue": "q1"}]'')'), ('push_workflow(''w'', ''[{"step": "a", "func": "f", "queue": "q1"}, {"step": "b", "func": "f", "queue": "q2", "after": ["a"]}]'')'),
    ('push_workflow(''w'', ''[{"step": "a", "func": "f", "queue": "q1", "undo": {"func": "f", "queue": "q2"}}]'')'), ('push_group(''g'', ''[]'', ''{"func": "f", "queue": "q1"}'')'),
    ('add_steps(''00000000-0000-0000-0000-00000000000a'', ''[{"step": "b", "func": "f", "queue": "q1"}]'')'), ('add_steps(''00000000-0000-0000-0000-00000000000a'', ''[{"step": "b", "func": "f", "queue": "q2"}]'')'),
    ('cancel_workflow(''00000000-0000-0000-0000-00000000000a'')'), ('retry_workflow(''00000000-0000-0000-0000-00000000000a'')'), ('advance_workflows()'), ('prune_workflows()'),
    ('get_workflow(''00000000-0000-0000-0000-00000000000a'')'), ('get_workflow_steps(''00000000-0000-0000-0000-00000000000a'')'), ('list_workflows()'),
    ('step_results(''00000000-0000-0000-0000-000000000001'')'), ('workflow_dot(''00000000-0000-0000-0000-00000000000a'')'), ('workflow_mermaid(''00000000-0000-0000-0000-00000000000a'')'),
    ('enable_python_interop()'), ('enable_python_interop(''regress_role_public'')'), ('disable_python_interop()'), ('interop_status()'),
    ('adopt(''public'', ''none_'')'), ('adopt_history(''public'', ''none_'')'), ('give_back(''public'', ''none_'')'),
    ('record_metrics(''[]'')'), ('fold_metrics(1)'), ('queue_depths()'), ('library_version()'), ('kind_functions(''worker'')'), ('check_installation()'),
    ('push_sql(''chancy.id_time(uuid)'', ''["00000000-0000-0000-0000-000000000001"]'', ''q1'')'), ('push_sql(''chancy.id_time(uuid)'', ''["00000000-0000-0000-0000-000000000001"]'', ''q2'')'), ('list_sql_jobs()'), ('run_sql_jobs()'),
    ('grant_producer(''regress_role_public'')'), ('grant_worker(''regress_role_public'')'), ('grant_admin(''regress_role_public'')'), ('grant_reader(''regress_role_public'')'),
    ('list_holders()'), ('list_tables()'), ('held_jobs()'), ('list_held_jobs()'), ('copy_job(''00000000-0000-0000-0000-000000000001'')');
DROP ROLE IF EXISTS regress_role_public, regress_role_producer, regress_role_producer_q1, regress_role_worker, regress_role_worker_q1, regress_role_admin, regress_role_reader,
    regress_role_member, "regress_role ""odd""";
CREATE ROLE regress_role_public;
CREATE ROLE regress_role_producer;
CREATE ROLE regress_role_producer_q1;
CREATE ROLE regress_role_worker;
CREATE ROLE regress_role_worker_q1;
CREATE ROLE regress_role_admin;
CREATE ROLE regress_role_reader;
CREATE ROLE "regress_role ""odd""";
INSERT INTO chancy.queues (name) VALUES ('q1'), ('q2'), ('q3');
INSERT INTO chancy.jobs (id, queue, func, state, taken_by, started_at, unique_key) VALUES
    ('00000000-0000-0000-0000-000000000001', 'q1', 'mine', 'running', 'w', '2020-01-01Z', 'in q1'),
    ('00000000-0000-0000-0000-000000000002', 'q2', 'others', 'running', 'w', '2020-01-01Z', 'in q2');
INSERT INTO chancy.workers VALUES ('w', '{}', '{}', now(), 'infinity');
INSERT INTO chancy.workflows (id, name, state, status) VALUES ('00000000-0000-0000-0000-00000000000a', 'w', 'pending', 'running');
INSERT INTO chancy.workflow_steps (workflow_id, step_id, job_data, dependencies, dependency_ids, job_id) VALUES
    ('00000000-0000-0000-0000-00000000000a', 'first', '{"f": "f"}', '[]', '{}', '00000000-0000-0000-0000-000000000002'),
    ('00000000-0000-0000-0000-00000000000a', 'then', '{"f": "f"}', '["first"]', '{1}', '00000000-0000-0000-0000-000000000001');
\set ECHO all
SELECT chancy.grant_producer('regress_role_producer'), chancy.grant_producer('regress_role_producer_q1', '{q1,other}'),
    chancy.grant_worker('regress_role_worker'), chancy.grant_worker('regress_role_worker_q1', '{other,q1}'),
    chancy.grant_admin('regress_role_admin'), chancy.grant_reader('regress_role_reader'), chancy.grant_producer('"regress_role ""odd"""');
SELECT * FROM chancy.grants ORDER BY role::text COLLATE "C";

-- The matrix. Granting is the owner's alone, whom an admin is not.
\pset footer off
SELECT left(call, 70) AS call, as_role('regress_role_public', c) AS nobody, as_role('regress_role_producer', c) AS producer,
    as_role('regress_role_producer_q1', c) AS producer_q1, as_role('regress_role_worker', c) AS worker,
    as_role('regress_role_worker_q1', c) AS worker_q1, as_role('regress_role_reader', c) AS reader, as_role('regress_role_admin', c) AS admin, as_role(current_user, c) AS owner
FROM calls, LATERAL (SELECT 'chancy.' || call) AS full_call (c) ORDER BY n;
\pset footer on
-- No function is missing in it.
SELECT p.oid::regprocedure FROM pg_proc p WHERE pronamespace = 'chancy'::regnamespace AND prorettype <> 'trigger'::regtype
    AND NOT EXISTS (SELECT FROM calls WHERE split_part(call, '(', 1) = proname);

-- What it says.
SET ROLE regress_role_producer_q1;
SELECT refused(c) FROM unnest(ARRAY[$$chancy.push('f', queue => 'q2')$$, $$chancy.push('f')$$, $$chancy.push_many('[{"func": "f", "queue": "q1"}, {"func": "f", "queue": "q2"}]')$$,
    $$chancy.fetch_jobs('q1', 'w')$$, $$chancy.jobs$$]) c \g (tuples_only format=unaligned)
SET ROLE regress_role_worker_q1;
SELECT refused(c) FROM unnest(ARRAY[$$chancy.fetch_jobs('q2', 'w')$$, $$chancy.push('f', queue => 'q1')$$,
    $$chancy.apply_updates('w', '[{"id": "00000000-0000-0000-0000-000000000001", "started_at": "2020-01-01Z", "outcome": "succeeded"},
    {"id": "00000000-0000-0000-0000-000000000002", "started_at": "2020-01-01Z", "outcome": "succeeded"}]')$$]) c \g (tuples_only format=unaligned)
-- Of running jobs it sees those of its queues, and the results that these wait for.
SELECT func FROM chancy.running_jobs('w');
SELECT step, state FROM chancy.step_results('00000000-0000-0000-0000-000000000001');
SELECT step, state FROM chancy.step_results('00000000-0000-0000-0000-000000000002');
SET ROLE regress_role_public;
SELECT refused(c) FROM unnest(ARRAY[$$chancy.push('f')$$, $$chancy.jobs$$]) c \g (tuples_only format=unaligned)
SET ROLE regress_role_admin;
SELECT refused($$chancy.grant_producer('regress_role_public')$$) \g (tuples_only format=unaligned)
RESET ROLE;
SELECT func, state FROM look();

-- Tables: an admin's only, and who has which right is nobody's but the owner's. Nobody may make anything here.
SELECT r.rolname, c.relname, string_agg(p, ', ' ORDER BY p) AS rights
FROM pg_roles r, pg_class c, unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) p
WHERE r.rolname LIKE 'regress\_role%' AND c.relnamespace = 'chancy'::regnamespace AND c.relkind = 'r' AND has_table_privilege(r.rolname, c.oid, p)
GROUP BY r.rolname, c.relname ORDER BY r.rolname, c.relname;
SELECT r.rolname, c.relname FROM pg_roles r, pg_class c WHERE r.rolname LIKE 'regress\_role%' AND r.rolname <> 'regress_role_admin'
    AND c.relnamespace = 'chancy'::regnamespace AND c.relkind = 'S' AND has_sequence_privilege(r.rolname, c.oid, 'USAGE, SELECT, UPDATE');
SELECT rolname, has_schema_privilege(rolname, 'chancy', 'USAGE') AS usage, has_schema_privilege(rolname, 'chancy', 'CREATE') AS create
FROM pg_roles WHERE rolname LIKE 'regress\_role%' ORDER BY 1;

-- A grant once more sets the queues anew; kinds are apart; several roles' queues add up.
SELECT chancy.grant_producer('regress_role_producer_q1', '{q2}');
SELECT q, as_role('regress_role_producer_q1', format('chancy.push(''f'', queue => %L)', q)) FROM unnest('{q1,q2}'::text[]) q;
SELECT chancy.grant_producer('regress_role_producer_q1');
SELECT q, as_role('regress_role_producer_q1', format('chancy.push(''f'', queue => %L)', q)) FROM unnest('{q1,q2}'::text[]) q;
SELECT chancy.grant_producer('regress_role_producer_q1', '{}');
SELECT q, as_role('regress_role_producer_q1', format('chancy.push(''f'', queue => %L)', q)) FROM unnest('{q1,q2}'::text[]) q;
SELECT chancy.grant_producer('regress_role_worker_q1', '{q2}');
SELECT q, as_role('regress_role_worker_q1', format('chancy.push(''f'', queue => %L)', q)) AS push,
    as_role('regress_role_worker_q1', format('chancy.fetch_jobs(%L, ''w'')', q)) AS fetch FROM unnest('{q1,q2}'::text[]) q;
SELECT chancy.grant_producer('regress_role_producer_q1', '{q1}');
CREATE ROLE regress_role_member IN ROLE regress_role_producer_q1, regress_role_worker_q1;
SELECT q, as_role('regress_role_member', format('chancy.push(''f'', queue => %L)', q)) FROM unnest('{q1,q2,q3}'::text[]) q;
SELECT as_role('regress_role "odd"', 'chancy.push(''f'')') AS odd;

-- In a block the right is that of the call, whoever commits; bad calls are refused at once.
SET ROLE regress_role_producer;
BEGIN;
SELECT chancy.push('tx.1', unique_key => 'k1') IS NOT NULL AS pushed;
COMMIT;
BEGIN;
SELECT chancy.push('tx.2', unique_key => 'k2') IS NOT NULL AS pushed;
SET LOCAL ROLE regress_role_public;
COMMIT;
SET ROLE regress_role_worker_q1;
BEGIN;
SELECT FROM chancy.apply_updates('w', '[{"id": "00000000-0000-0000-0000-000000000002", "started_at": "2020-01-01Z", "outcome": "succeeded"}]');
ROLLBACK;
BEGIN;
SELECT count(*) FROM chancy.apply_updates('w', '[{"id": "00000000-0000-0000-0000-000000000001", "started_at": "2020-01-01Z", "outcome": "succeeded"}]');
COMMIT;
RESET ROLE;
SELECT func, queue, state FROM look();
-- A function of somebody who may push lets others push what it pushes.
CREATE FUNCTION order_job() RETURNS boolean LANGUAGE sql SECURITY DEFINER AS $$ SELECT chancy.push('order', queue => 'q1') IS NOT NULL $$;
ALTER FUNCTION order_job() OWNER TO regress_role_producer;
SET ROLE regress_role_public;
SELECT order_job();
RESET ROLE;

-- A role that is gone leaves the others alone.
DROP FUNCTION order_job();
DROP OWNED BY regress_role_producer_q1, regress_role_member;
DROP ROLE regress_role_member;
DROP ROLE regress_role_producer_q1;
SELECT as_role('regress_role_producer', 'chancy.push(''f'')') AS producer, as_role('regress_role_worker', 'chancy.fetch_jobs(''q1'', ''w'')') AS worker;
\set ECHO none
DROP OWNED BY regress_role_public, regress_role_producer, regress_role_worker, regress_role_worker_q1, regress_role_admin, regress_role_reader, "regress_role ""odd""";
DROP ROLE regress_role_public, regress_role_producer, regress_role_worker, regress_role_worker_q1, regress_role_admin, regress_role_reader, "regress_role ""odd""";
