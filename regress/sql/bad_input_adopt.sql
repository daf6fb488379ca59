-- adopt: what is not recognised is refused whole, and says what stands in the way.
\set ECHO none
\i sql/include/tools.sql
\set schema public
\set prefix chancy_
\i sql/include/upstream.sql
CREATE TABLE before AS SELECT to_jsonb(j) AS j FROM public.chancy_jobs j;
\set ECHO all
-- Names.
SELECT refused('chancy.adopt(NULL)');
SELECT refused('chancy.adopt('''')');
SELECT refused('chancy.adopt(''public'', NULL)');
SELECT refused('chancy.adopt(''nowhere'')');
SELECT refused('chancy.adopt(''public'', ''other_'')');
SELECT refused('chancy.adopt(''chancy'', '''')');
SELECT refused('chancy.adopt(''public'', ''; DROP TABLE chancy_jobs; --'')');
SELECT refused('chancy.adopt(''public'', repeat(''x'', 39))');
SELECT refused('chancy.adopt(''public'', repeat(''x'', 38))');

-- Other versions, and plugins that nobody knows.
BEGIN; UPDATE chancy_schema_version SET version = 5 WHERE version_of = 'chancy'; SELECT refused('chancy.adopt(''public'')'); ROLLBACK;
BEGIN; UPDATE chancy_schema_version SET version = 3 WHERE version_of = 'cron'; SELECT refused('chancy.adopt(''public'')'); ROLLBACK;
BEGIN; DELETE FROM chancy_schema_version; SELECT refused('chancy.adopt(''public'')'); ROLLBACK;
BEGIN; INSERT INTO chancy_schema_version VALUES ('my.plugin', 1); SELECT refused('chancy.adopt(''public'')'); ROLLBACK;

-- Tables that are not Chancy's, or not only.
BEGIN; DROP TABLE chancy_cron; SELECT refused('chancy.adopt(''public'')'); ROLLBACK;
BEGIN; ALTER TABLE chancy_jobs ADD COLUMN tenant int; SELECT refused('chancy.adopt(''public'')'); ROLLBACK;
BEGIN; ALTER TABLE chancy_queues DROP COLUMN resume_at; SELECT refused('chancy.adopt(''public'')'); ROLLBACK;
BEGIN; ALTER TABLE chancy_workflow_steps ALTER COLUMN job_data TYPE json; SELECT refused('chancy.adopt(''public'')'); ROLLBACK;
BEGIN; DROP TABLE chancy_schema_version; CREATE TABLE chancy_schema_version (version int); SELECT refused('chancy.adopt(''public'')'); ROLLBACK;
BEGIN; ALTER TABLE chancy_cron RENAME TO cron_table; CREATE VIEW chancy_cron AS SELECT * FROM cron_table; SELECT refused('chancy.adopt(''public'')'); ROLLBACK;
BEGIN; CREATE TABLE child () INHERITS (chancy_jobs); SELECT refused('chancy.adopt(''public'')'); ROLLBACK;

-- What hangs on them.
BEGIN; CREATE TABLE orders (job uuid REFERENCES chancy_jobs); SELECT refused('chancy.adopt(''public'')'); ROLLBACK;
BEGIN; CREATE VIEW depth AS SELECT queue, count(*) FROM chancy_jobs GROUP BY 1; SELECT refused('chancy.adopt(''public'')'); ROLLBACK;
BEGIN;
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER t BEFORE INSERT ON chancy_jobs FOR EACH ROW EXECUTE FUNCTION nothing();
SELECT refused('chancy.adopt(''public'')');
ROLLBACK;

-- Rows that cannot be held.
BEGIN; UPDATE chancy_jobs SET state = 'odd' WHERE func = 'app.old1'; SELECT refused('chancy.adopt(''public'')'); ROLLBACK;
BEGIN; SELECT chancy.flush(); SET LOCAL chancy.push_mode = immediate; SELECT count(chancy.push('x', unique_key => k)) FROM unnest('{z,run,b,new}'::text[]) k;
SELECT refused('chancy.adopt(''public'')'); ROLLBACK;
BEGIN; INSERT INTO chancy.jobs (id, queue, func) SELECT id, queue, func FROM chancy_jobs WHERE func = 'app.old2'; SELECT refused('chancy.adopt(''public'')'); ROLLBACK;
BEGIN; INSERT INTO chancy.cron (unique_key, job, cron, last_run, next_run) SELECT * FROM chancy_cron; SELECT refused('chancy.adopt(''public'')'); ROLLBACK;
BEGIN; INSERT INTO chancy.workflows (id, name, state, created_at, updated_at) SELECT * FROM chancy_workflows WHERE name = 'over'; SELECT refused('chancy.adopt(''public'')'); ROLLBACK;
BEGIN; INSERT INTO chancy.metrics (metric_key, resolution, worker_id, timestamps, values, metric_type, updated_at, metadata) SELECT * FROM chancy_metrics; SELECT refused('chancy.adopt(''public'')'); ROLLBACK;
BEGIN; INSERT INTO chancy.queues (name, concurrency) VALUES ('default', 7); SELECT refused('chancy.adopt(''public'')'); ROLLBACK;
-- The same queue on both sides is none.
BEGIN; SELECT name FROM chancy.declare_queue('default'); SELECT copied FROM chancy.adopt('public') WHERE what = 'queues'; ROLLBACK;
-- Keys of finished jobs may be on both sides.
BEGIN; SET LOCAL chancy.push_mode = immediate; SELECT chancy.push('x', unique_key => 'b') IS NOT NULL AS pushed; SELECT copied FROM chancy.adopt('public') WHERE what = 'jobs'; ROLLBACK;
BEGIN; DROP INDEX chancy_jobs_unique_key_idx; INSERT INTO chancy_jobs (id, queue, func, unique_key) VALUES (gen_random_uuid(), 'default', 'f', 'z');
SELECT refused('chancy.adopt(''public'')'); ROLLBACK;

-- Under a snapshot that is older than the locks rows would be lost.
BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT refused('chancy.adopt(''public'')'); ROLLBACK;
BEGIN READ ONLY; SELECT * FROM chancy.adopt('public'); ROLLBACK;

-- Who may: the extension's owner, of tables that are his.
CREATE ROLE regress_adopt_admin;
SELECT chancy.grant_admin('regress_adopt_admin');
SET ROLE regress_adopt_admin;
SELECT refused('chancy.adopt(''public'')');
SELECT refused('chancy.adopt_history(''public'')');
SELECT refused('chancy.give_back(''public'')');
RESET ROLE;
DROP OWNED BY regress_adopt_admin;
DROP ROLE regress_adopt_admin;

-- Nothing was touched.
SELECT count(*) FROM (SELECT j FROM before EXCEPT SELECT to_jsonb(j) FROM chancy_jobs j) AS differing;
SELECT count(*) FROM chancy.jobs;
SELECT count(*) FROM chancy.adoptions;
