-- isolation_level: calls under REPEATABLE READ and SERIALIZABLE act on what is committed now, and never fail because
-- somebody else pushed or fetched after the transaction's snapshot. The other session is a second psql.
\set ECHO none
\i sql/include/tools.sql
\set ECHO all
-- Every call takes effect at once, in blocks too: those at commit are in commit.sql.
SET chancy.push_mode = immediate;
\setenv PGDATABASE :DBNAME
\setenv PGOPTIONS '-c client_min_messages=warning'

SELECT (chancy.declare_queue('default')).name;

-- A duplicate of a job that the snapshot cannot see.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM chancy.jobs;
\! psql -XqAt -c "SELECT created FROM chancy.push_many('[{\"func\": \"other.push\", \"unique_key\": \"a\"}]')"
SELECT created FROM chancy.push_many('[{"func": "rr.push", "unique_key": "a"}, {"func": "rr.push", "unique_key": "b"}]');
SELECT func, unique_key FROM look();
COMMIT;
SELECT func, unique_key FROM look();

BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT count(*) FROM chancy.jobs;
\! psql -XqAt -c "SELECT created FROM chancy.push_many('[{\"func\": \"other.push\", \"unique_key\": \"c\"}]')"
SELECT created FROM chancy.push_many('[{"func": "ser.push", "unique_key": "c"}, {"func": "ser.push"}]');
COMMIT;
SELECT func, unique_key FROM look();

-- A key that a commit after the snapshot has freed.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM chancy.jobs;
\! psql -XqAt -c "SELECT chancy.cancel_job(id) FROM chancy.get_live_job('c')"
SELECT created FROM chancy.push_many('[{"func": "rr.again", "unique_key": "c"}]');
COMMIT;

-- Cancel, fetch and results of rows that have changed since the snapshot.
SELECT id AS a FROM chancy.get_live_job('a') \gset
SELECT id AS b FROM chancy.get_live_job('b') \gset
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT count(*) FROM chancy.jobs;
\! psql -XqAt -c "SELECT func FROM chancy.fetch_jobs('default', 'other', 1)"
SELECT chancy.cancel_job(:'a');
COMMIT;
SELECT func, state, unique_key FROM look();
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM chancy.jobs;
\! psql -XqAt -c "SELECT func FROM chancy.fetch_jobs('default', 'other', 1)"
SELECT func FROM chancy.fetch_jobs('default', 'me', 1);
SELECT started_at AS other_start FROM chancy.jobs WHERE id = :'b' \gset
COMMIT;
SELECT func, state, taken_by FROM look();

-- A result of an attempt that the snapshot shows as not begun.
\! psql -XqAt -c "SELECT chancy.push('late.result', unique_key => 'late') IS NOT NULL"
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT state FROM chancy.get_live_job('late');
\! psql -XqAt -c "SELECT count(*) FROM chancy.fetch_jobs('default', 'me', 9)"
SELECT state, (chancy.retry_job(id)) AS retried FROM chancy.get_live_job('late');
COMMIT;
SELECT jsonb_agg(an_update(func, 'succeeded')) AS batch FROM chancy.jobs WHERE func = 'late.result' \gset
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT state, attempts FROM chancy.get_live_job('late');
\! psql -XqAt -c "UPDATE chancy.jobs SET meta = '{\"touched\": 1}' WHERE unique_key = 'late'"
SELECT state, applied FROM chancy.apply_updates('me', :'batch');
COMMIT;
SELECT state, meta FROM chancy.jobs WHERE func = 'late.result';

-- Settings: a pause after the snapshot counts.
SELECT chancy.push('not.now', queue => 'default') IS NOT NULL AS pushed;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM chancy.queues;
\! psql -XqAt -c "SELECT chancy.pause_queue('default')"
SELECT func FROM chancy.fetch_jobs('default', 'me');
COMMIT;
\! psql -XqAt -c "SELECT chancy.resume_queue('default')"

-- The same at commit.
RESET chancy.push_mode;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT count(*) FROM chancy.jobs WHERE unique_key = 'at commit';
\! psql -XqAt -c "SELECT created FROM chancy.push_many('[{\"func\": \"other.first\", \"unique_key\": \"at commit\"}]')"
SELECT created FROM chancy.push_many('[{"func": "buffered", "unique_key": "at commit"}, {"func": "buffered", "unique_key": "not taken"}]');
SELECT chancy.cancel_job(id_of('not.now'));
\! psql -XqAt -c "SELECT func FROM chancy.fetch_jobs('default', 'other', 1)"
COMMIT;
SELECT created FROM chancy.pushed();
SELECT func, state FROM look() WHERE func IN ('other.first', 'buffered', 'not.now');

-- Read only transactions are told so, whatever the call; looking is allowed.
BEGIN READ ONLY;
SELECT refused(c) FROM unnest(ARRAY[
    $$chancy.push('f')$$,
    $$chancy.push_many('[]')$$,
    $$chancy.push_at_commit('[]')$$,
    $$chancy.flush()$$,
    $$chancy.fetch_jobs('default', 'w')$$,
    $$chancy.apply_updates('w', '[]')$$,
    $$chancy.exchange('w', '[]', NULL, 0)$$,
    $$chancy.cancel_job('00000000-0000-0000-0000-000000000000')$$,
    $$chancy.cancel_jobs('{}')$$,
    $$chancy.retry_job('00000000-0000-0000-0000-000000000000')$$,
    $$chancy.declare_queue('default')$$,
    $$chancy.pause_queue('default')$$,
    $$chancy.resume_queue('default')$$,
    $$chancy.delete_queue('default')$$,
    $$chancy.heartbeat('w', '{}', '{}')$$,
    $$chancy.retire_worker('w')$$,
    $$chancy.watch_jobs('{}')$$,
    $$chancy.recover_jobs()$$,
    $$chancy.prune_jobs('{"age": "1 day"}')$$,
    $$chancy.maintain()$$,
    $$chancy.grant_producer('pg_monitor')$$,
    $$chancy.grant_worker('pg_monitor')$$,
    $$chancy.grant_admin('pg_monitor')$$]) c \g (tuples_only format=unaligned)
SELECT count(*) FROM chancy.list_jobs(func => 'not.now');
SELECT func FROM chancy.get_job(id_of('not.now'));
SELECT func FROM chancy.get_jobs(ARRAY[id_of('not.now')]);
SELECT (chancy.get_live_job('none')).id;
SELECT count(*) FROM chancy.running_jobs('w');
SELECT name FROM chancy.list_queues();
SELECT count(*) FROM chancy.list_workers();
SELECT chancy.event_channel();
SELECT count(*) FROM chancy.pushed();
COMMIT;
