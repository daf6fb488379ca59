-- cancel: live jobs end as failed, their keys are free at once.
\set ECHO none
\i sql/include/tools.sql
\set ECHO all
-- Every call takes effect at once, in blocks too: those at commit are in commit.sql.
SET chancy.push_mode = immediate;

SELECT (chancy.declare_queue('default')).name;
SELECT count(*) FROM chancy.push_many('[{"func": "c.succeeded", "priority": 9}, {"func": "c.failed", "priority": 9},
    {"func": "c.retrying", "priority": 9, "max_attempts": 3, "unique_key": "r"}, {"func": "c.running", "priority": 9, "unique_key": "u"},
    {"func": "c.pending", "unique_key": "p"}, {"func": "c.scheduled", "scheduled_at": "2100-01-01T00:00:00Z"}]');
SELECT func FROM chancy.fetch_jobs('default', 'w', 4);
SELECT state FROM chancy.apply_updates('w', jsonb_build_array(an_update('c.succeeded', 'succeeded'),
    an_update('c.failed', 'failed', '{"error": "own"}'), an_update('c.retrying', 'failed', '{"error": "first", "retry_at": "2100-01-01T00:00:00Z"}')));

-- Each state: what lives ends, what has ended stays as it is. So does a missing one.
SELECT clock_timestamp() AS before \gset
SELECT f, chancy.cancel_job(id_of(f)) FROM unnest('{c.succeeded,c.failed,c.retrying,c.running,c.pending,c.scheduled}'::text[]) f;
SELECT chancy.cancel_job('00000000-0000-0000-0000-000000000000');
SELECT * FROM look();
SELECT func, completed_at BETWEEN :'before' AND clock_timestamp() AS ended_now FROM chancy.jobs ORDER BY func;
SELECT f, chancy.cancel_job(id_of(f)) FROM unnest('{c.retrying,c.running,c.pending,c.scheduled}'::text[]) f;
SELECT func FROM look() WHERE jsonb_array_length(errors) > 1;
-- Nothing is left to run; the late result of the running one is stale.
SELECT func FROM chancy.fetch_jobs('default', 'w', 9);
SELECT func FROM chancy.running_jobs('w');
SELECT state, applied, reason FROM chancy.apply_updates('w', jsonb_build_array(an_update('c.running', 'succeeded')));
SELECT created FROM chancy.push_many('[{"func": "n", "unique_key": "r"}, {"func": "n", "unique_key": "u"}, {"func": "n", "unique_key": "p"}]');
DELETE FROM chancy.jobs;

-- Many at once: one row each, in input order, whatever the order of keys and ids; twice is once.
SELECT count(*) FROM chancy.push_many('[{"func": "m.1", "unique_key": "b"}, {"func": "m.2", "unique_key": "a"}, {"func": "m.3"},
    {"func": "m.4", "unique_key": "c"}]');
SELECT ARRAY[id_of('m.3'), id_of('m.1'), '00000000-0000-0000-0000-000000000000', id_of('m.2'), id_of('m.1')] AS ids \gset
SELECT ord, id = (:'ids'::uuid[])[ord] AS same, cancelled FROM chancy.cancel_jobs(:'ids');
SELECT func, state, errors FROM look();
SELECT * FROM chancy.cancel_jobs('{}');
SELECT cancelled FROM chancy.cancel_jobs(ARRAY[ARRAY[id_of('m.4')], ARRAY[id_of('m.3')]]);
DELETE FROM chancy.jobs;

-- In one transaction: pushed, cancelled, pushed anew; and back.
BEGIN;
SELECT chancy.push('t.1', unique_key => 'k') AS id \gset
SELECT chancy.cancel_job(:'id');
SELECT created FROM chancy.push_many('[{"func": "t.2", "unique_key": "k"}]');
SAVEPOINT s;
SELECT chancy.cancel_job(id_of('t.2'));
SELECT created FROM chancy.push_many('[{"func": "t.3", "unique_key": "k"}]');
ROLLBACK TO s;
SELECT id = id_of('t.2') AS same, created FROM chancy.push_many('[{"func": "t.4", "unique_key": "k"}]');
COMMIT;
SELECT func, state, unique_key FROM look();
