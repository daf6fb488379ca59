-- holder: who holds what back, and how large the tables are.
\set ECHO none
\i sql/include/tools.sql
\set ECHO all
-- A prepared transaction is told, our own session never.
SELECT count(*) FROM chancy.list_holders() h WHERE h.pid = pg_backend_pid();
BEGIN;
LOCK TABLE chancy.workers IN SHARE MODE;
PREPARE TRANSACTION 'regress_holder';
SELECT kind, name, age >= 0 AS old, since <= now() AS since FROM chancy.list_holders() WHERE name = 'regress_holder';
ROLLBACK PREPARED 'regress_holder';
SELECT count(*) FROM chancy.list_holders() WHERE name = 'regress_holder';
-- Every table, and its rows once the statistics tell.
SELECT count(*) = (SELECT count(*) FROM pg_class WHERE relnamespace = 'chancy'::regnamespace AND relkind = 'r') AS all_tables,
    bool_and(bytes >= 0 AND index_bytes >= 0 AND live >= 0 AND dead >= 0) AS counted
FROM chancy.list_tables();
-- Who holds the rows of due jobs: what a prepared transaction has locked, shared and changed, in subtransactions too; not what waits
-- for its time, nor what only we hold.
SELECT count(*) FROM chancy.push_many((SELECT jsonb_agg(jsonb_build_object('func', 'f' || n, 'queue', CASE WHEN n > 4 THEN 'other' ELSE 'held' END,
    'unique_key', 'h' || n, 'scheduled_at', CASE n WHEN 4 THEN now() + interval '1 hour' ELSE now() - interval '1 hour' END)) FROM generate_series(1, 6) n));
SELECT count(*) FROM chancy.list_held_jobs();
BEGIN;
SELECT func FROM chancy.jobs WHERE unique_key = 'h1' FOR UPDATE;
SAVEPOINT s;
SELECT func FROM chancy.jobs WHERE unique_key IN ('h2', 'h4') ORDER BY id FOR SHARE;
UPDATE chancy.jobs SET priority = 0 WHERE unique_key = 'h5';
SELECT count(*) FROM chancy.list_held_jobs();
PREPARE TRANSACTION 'regress_rows';
BEGIN;
SELECT func FROM chancy.jobs WHERE unique_key = 'h2' FOR KEY SHARE;
SELECT queue, jobs, looked_at, due_since < now() AS due, pid, name, role = current_user AS role, state, since <= now() AS since, query FROM chancy.list_held_jobs();
SELECT queue, jobs FROM chancy.list_held_jobs('other');
SELECT count(*) FROM chancy.list_held_jobs('none');
COMMIT;
SELECT finding, severity, regexp_replace(what, 'since .*:', 'since …:') AS what, hint FROM chancy.check_installation('0 s') WHERE finding = 'held';
ROLLBACK PREPARED 'regress_rows';
SELECT count(*) FROM chancy.list_held_jobs();
