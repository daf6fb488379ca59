-- table: what others have put on our tables. The extension writes rows directly, so it refuses (55000) what it could not
-- honour, and works with all the rest.
\set ECHO none
\i sql/include/tools.sql
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE FUNCTION refusals() RETURNS text LANGUAGE sql SET chancy.push_mode = immediate AS $$
    SELECT string_agg(public.refused(call), E'\n') FROM unnest(ARRAY['chancy.push(''f'')', 'chancy.push_many(''[{"func": "f"}]'')',
        'chancy.fetch_jobs(''default'', ''w'')', 'chancy.apply_updates(''w'', ''[{"id": "00000000-0000-0000-0000-000000000000", "started_at": "2020-01-01", "outcome": "failed"}]'')',
        'chancy.cancel_job(''00000000-0000-0000-0000-000000000000'')', 'chancy.retry_job(''00000000-0000-0000-0000-000000000000'')']) call
$$;
SELECT (chancy.declare_queue('default')).name;
\set ECHO all

-- A trigger, on insert or update, for rows or statements.
CREATE TRIGGER mine BEFORE INSERT ON chancy.jobs FOR EACH ROW EXECUTE FUNCTION nothing();
SELECT refusals() \g (tuples_only format=unaligned)
DROP TRIGGER mine ON chancy.jobs;
CREATE TRIGGER mine AFTER UPDATE ON chancy.jobs FOR EACH STATEMENT EXECUTE FUNCTION nothing();
SELECT refused('chancy.push(''f'')') \g (tuples_only format=unaligned)
SELECT count(*) FROM chancy.jobs;
-- Disabled, or for deletes only, it does no harm.
ALTER TABLE chancy.jobs DISABLE TRIGGER mine;
SELECT chancy.push('with.disabled') IS NOT NULL AS pushed;
DROP TRIGGER mine ON chancy.jobs;
CREATE TRIGGER mine AFTER DELETE ON chancy.jobs FOR EACH ROW EXECUTE FUNCTION nothing();
SELECT chancy.push('with.delete') IS NOT NULL AS pushed;
DROP TRIGGER mine ON chancy.jobs;

-- Forced row security; a column that is generated, or has a default or NOT NULL.
ALTER TABLE chancy.jobs FORCE ROW LEVEL SECURITY;
SELECT refused('chancy.push(''f'')') \g (tuples_only format=unaligned)
ALTER TABLE chancy.jobs NO FORCE ROW LEVEL SECURITY;
ALTER TABLE chancy.jobs ADD COLUMN twice int GENERATED ALWAYS AS (priority * 2) STORED;
SELECT refusals() \g (tuples_only format=unaligned)
ALTER TABLE chancy.jobs DROP COLUMN twice;
ALTER TABLE chancy.jobs ADD COLUMN tenant text DEFAULT 'none';
SELECT refused('chancy.push(''f'')') \g (tuples_only format=unaligned)
ALTER TABLE chancy.jobs ALTER tenant DROP DEFAULT;

-- A plain column is left NULL, and everything works with it, after a dropped one too.
SELECT chancy.push('with.column', priority => 1) AS id \gset
UPDATE chancy.jobs SET tenant = 't' WHERE id = :'id';
SELECT func, tenant FROM chancy.fetch_jobs('default', 'w');
SELECT func, tenant FROM chancy.running_jobs('w');
SELECT func, tenant FROM chancy.get_job(:'id');
SELECT func, tenant FROM chancy.get_jobs(ARRAY[:'id'::uuid]);
SELECT func, tenant FROM chancy.list_jobs(func => 'with.column');
SELECT (chancy.get_live_job('nobody')).tenant;
SELECT state FROM chancy.apply_updates('w', updates('succeeded', 'with.column'));
SELECT state, tenant FROM chancy.jobs WHERE id = :'id';
SELECT kind, (job).func, (job).tenant FROM chancy.exchange('w', '[]', 'default', 1);
ALTER TABLE chancy.jobs DROP COLUMN tenant;
SELECT func FROM chancy.running_jobs('w');
ALTER TABLE chancy.queues ADD COLUMN note text;
SELECT name, note FROM chancy.declare_queue('noted');
SELECT name, note FROM chancy.list_queues();
ALTER TABLE chancy.queues DROP COLUMN note;
SELECT name FROM chancy.declare_queue('noted');

-- A CHECK holds.
DELETE FROM chancy.jobs;
ALTER TABLE chancy.jobs ADD CONSTRAINT small CHECK (priority < 100);
SELECT split_part(refused('chancy.push(''f'', priority => 100)'), E'\n', 2);
SELECT created FROM chancy.push_many('[{"func": "f", "priority": 99}]');
ALTER TABLE chancy.jobs DROP CONSTRAINT small;
-- Another table may refer to jobs, and lets them be worked.
CREATE TABLE mine (job uuid REFERENCES chancy.jobs);
INSERT INTO mine SELECT id FROM chancy.jobs;
SELECT func FROM chancy.fetch_jobs('default', 'w');
SELECT state FROM chancy.apply_updates('w', updates('succeeded', 'f'));
SELECT chancy.retry_job(id_of('f'));
-- Deleting directly would skip its check, so a queue goes without its jobs only.
SELECT regexp_replace(refused('chancy.delete_queue(''default'')'), 'RI_ConstraintTrigger_a_\d+', 'RI_ConstraintTrigger') \g (tuples_only format=unaligned)
SELECT chancy.delete_queue('default', purge_jobs => false);
DROP TABLE mine;
SELECT (chancy.declare_queue('default')).name;
-- Whoever makes jobs refer to another table is told.
CREATE TABLE known (queue text PRIMARY KEY);
ALTER TABLE chancy.jobs ADD CONSTRAINT only_known FOREIGN KEY (queue) REFERENCES known NOT VALID;
SELECT regexp_replace(refused('chancy.push(''f'')'), 'RI_ConstraintTrigger_c_\d+', 'RI_ConstraintTrigger') \g (tuples_only format=unaligned)
ALTER TABLE chancy.jobs DROP CONSTRAINT only_known;
-- Another index is kept up; a unique one is refused, since what must be unique belongs into unique_key.
CREATE INDEX mine ON chancy.jobs (func);
SELECT chancy.push('indexed', unique_key => 'i') IS NOT NULL AS pushed;
SET enable_seqscan = off;
SELECT func FROM chancy.jobs WHERE func = 'indexed';
RESET enable_seqscan;
DROP INDEX chancy.mine;
DELETE FROM chancy.jobs;
CREATE UNIQUE INDEX one_func ON chancy.jobs (func);
SET statement_timeout = '5s';
SELECT refusals() \g (tuples_only format=unaligned)
SELECT refused('chancy.push(''once'', unique_key => ''k'')') \g (tuples_only format=unaligned)
RESET statement_timeout;
DROP INDEX chancy.one_func;
-- An index of ours that is gone is told of.
DROP INDEX chancy.jobs_fetch;
SELECT refused('chancy.fetch_jobs(''default'', ''w'')') \g (tuples_only format=unaligned)
CREATE INDEX jobs_fetch ON chancy.jobs (queue, priority DESC, id) WHERE state IN ('pending', 'retrying');
REINDEX TABLE CONCURRENTLY chancy.jobs;
VACUUM FULL chancy.jobs;
SELECT chancy.push('after.reindex', unique_key => 'r') IS NOT NULL AS pushed;
SELECT func FROM chancy.fetch_jobs('default', 'w', 9) WHERE func = 'after.reindex';
