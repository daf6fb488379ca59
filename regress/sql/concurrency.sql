-- concurrency: at most max_running jobs of a queue, and max_running_per_key of one concurrency_key, run at once.
\set ECHO none
\i sql/include/tools.sql
-- A batch of jobs of the queue, n for each key, in the order of keys; '-' is no key.
CREATE FUNCTION public.push_keys(queue text, n int, VARIADIC keys text[]) RETURNS bigint LANGUAGE sql AS $$
    SELECT count(*) FROM chancy.push_many((SELECT jsonb_agg(jsonb_build_object('func', k || '.' || i, 'queue', push_keys.queue,
        'concurrency_key', nullif(k, '-')) ORDER BY ord, i) FROM unnest(keys) WITH ORDINALITY AS u (k, ord), generate_series(1, n) i))
$$;
CREATE FUNCTION public.finish(worker text, outcome text, up_to int DEFAULT 99) RETURNS bigint LANGUAGE sql SET chancy.push_mode = immediate AS $$
    SELECT count(*) FROM chancy.apply_updates(worker, (SELECT coalesce(jsonb_agg(jsonb_build_object('id', id, 'started_at', started_at,
        'outcome', outcome)), '[]') FROM (SELECT * FROM chancy.running_jobs(worker) ORDER BY id LIMIT up_to) r)) WHERE applied
$$;
CREATE VIEW public.running AS SELECT queue, concurrency_key AS key, count(*) FROM chancy.jobs WHERE state = 'running' GROUP BY 1, 2 ORDER BY 1, 2;
\set ECHO all

SELECT max_running, max_running_per_key FROM chancy.declare_queue('two', max_running => 2);
SELECT name FROM chancy.declare_queue('free');
SELECT push_keys('two', 5, 'a'), push_keys('free', 5, 'a');

-- Two at once, over all workers; other queues are not limited.
SELECT func FROM chancy.fetch_jobs('two', 'w1', 9);
SELECT func FROM chancy.fetch_jobs('two', 'w2', 9);
SELECT count(*) FROM chancy.fetch_jobs('free', 'w2', 9);
-- Whatever ends a run frees its slot: a result, giving the job back, a cancel, a recovery.
SELECT finish('w1', 'succeeded', 1);
SELECT func FROM chancy.fetch_jobs('two', 'w2', 9);
SELECT finish('w2', 'released');
SELECT func FROM chancy.fetch_jobs('two', 'w2', 9);
SELECT chancy.cancel_job(id_of('a.2'));
SELECT func FROM chancy.fetch_jobs('two', 'w2', 9);
SELECT chancy.heartbeat('w2', '{}', '{}') > now() AS announced;
UPDATE chancy.workers SET expires_at = now() - interval '1 s';
SELECT recovered > 0 AS recovered FROM chancy.recover_jobs();
SELECT func FROM chancy.fetch_jobs('two', 'w3', 9);
TABLE running;
-- A rollback too; two fetches of one transaction add up, and a result of its own frees a slot for its next fetch.
SELECT finish('w3', 'released');
SELECT finish('w1', 'succeeded');
BEGIN;
SELECT count(*) FROM chancy.fetch_jobs('two', 'w3', 1);
SAVEPOINT s;
SELECT count(*) FROM chancy.fetch_jobs('two', 'w3', 9);
SELECT count(*) FROM chancy.fetch_jobs('two', 'w3', 9);
ROLLBACK TO s;
SELECT count(*) FROM chancy.fetch_jobs('two', 'w3', 9);
ROLLBACK;
TABLE running;
SELECT count(*) FROM chancy.fetch_jobs('two', 'w3', 9);
SELECT kind, passed, (job).func FROM chancy.exchange('w3', (SELECT jsonb_agg(jsonb_build_object('id', id, 'started_at', started_at,
    'outcome', 'released') ORDER BY id DESC) FROM chancy.running_jobs('w3')), 'two', 9);
TABLE running;

-- A limit counts what runs already, also what was started before there was one, whoever started it.
SELECT count(*) FROM chancy.jobs WHERE queue = 'free' AND state = 'running';
SELECT push_keys('free', 5, 'a');
SELECT count(*) FROM chancy.fetch_jobs('free', 'w2', 3);
SELECT max_running FROM chancy.declare_queue('free', max_running => 4, upsert => true);
SELECT count(*) FROM chancy.fetch_jobs('free', 'w2', 9);
SELECT max_running FROM chancy.declare_queue('free', max_running => 2, upsert => true);
SELECT count(*) FROM chancy.fetch_jobs('free', 'w2', 9);
SELECT max_running FROM chancy.declare_queue('free', upsert => true);
SELECT count(*) FROM chancy.fetch_jobs('free', 'w2', 9);

-- For each key. Keys take turns, whatever the order of pushing; where a connection begins is chance.
SELECT max_running_per_key FROM chancy.declare_queue('keys', max_running_per_key => 2);
SELECT push_keys('keys', 9, 'c', 'a', 'b');
SELECT array_agg(func ORDER BY func) FROM chancy.fetch_jobs('keys', 'w', 3);
SELECT array_agg(func ORDER BY func) FROM chancy.fetch_jobs('keys', 'w', 9);
SELECT func FROM chancy.fetch_jobs('keys', 'w', 9);
TABLE running;
SELECT chancy.cancel_job(id_of('b.1'));
SELECT func FROM chancy.fetch_jobs('keys', 'w', 9);
-- The result is in fetch order all the same.
SELECT finish('w', 'released');
SELECT func FROM chancy.fetch_jobs('keys', 'w', 9);
-- One by one, three keys in a row are three different ones, over and over, though c has more jobs, and older ones.
SELECT finish('w', 'discarded');
SELECT push_keys('keys', 200, 'c');
CREATE TEMP TABLE served (ord serial, key text);
INSERT INTO served (key) SELECT concurrency_key FROM chancy.fetch_jobs('keys', 'w', 1);
SELECT finish('w', 'succeeded');
\set QUIET 1
INSERT INTO served (key) SELECT concurrency_key FROM chancy.fetch_jobs('keys', 'w', 1); SELECT finish('w', 'succeeded') \gset
INSERT INTO served (key) SELECT concurrency_key FROM chancy.fetch_jobs('keys', 'w', 1); SELECT finish('w', 'succeeded') \gset
INSERT INTO served (key) SELECT concurrency_key FROM chancy.fetch_jobs('keys', 'w', 1); SELECT finish('w', 'succeeded') \gset
INSERT INTO served (key) SELECT concurrency_key FROM chancy.fetch_jobs('keys', 'w', 1); SELECT finish('w', 'succeeded') \gset
INSERT INTO served (key) SELECT concurrency_key FROM chancy.fetch_jobs('keys', 'w', 1); SELECT finish('w', 'succeeded') \gset
\set QUIET 0
SELECT array_agg(DISTINCT key ORDER BY key) FROM served GROUP BY (ord - 1) / 3 ORDER BY (ord - 1) / 3;

-- A higher priority goes first, whatever the turns.
TRUNCATE chancy.jobs;
SELECT push_keys('keys', 3, 'a', 'b');
SELECT count(*) FROM chancy.push_many('[{"func": "high.1", "queue": "keys", "priority": 5, "concurrency_key": "b"},
    {"func": "high.2", "queue": "keys", "priority": 5, "concurrency_key": "b"}, {"func": "high.3", "queue": "keys", "priority": 5, "concurrency_key": "b"},
    {"func": "low.1", "queue": "keys", "priority": -5, "concurrency_key": "c"}]');
SELECT func FROM chancy.fetch_jobs('keys', 'w', 2);
SELECT func FROM chancy.fetch_jobs('keys', 'w', 9);

-- Jobs without a key have no limit of their own, take turns with the keys, and are found behind thousands that have one.
TRUNCATE chancy.jobs;
SELECT push_keys('keys', 2500, 'big'), push_keys('keys', 4, '-');
SELECT func FROM chancy.fetch_jobs('keys', 'w', 9);
SELECT func FROM chancy.fetch_jobs('keys', 'w', 9);
SELECT func FROM chancy.fetch_jobs('keys', 'w', 9);
SELECT func FROM chancy.fetch_jobs('keys', 'w', 9);
TABLE running;

-- Always one job at a time: they do not push the keys aside.
TRUNCATE chancy.jobs, served;
SELECT push_keys('keys', 9, '-', 'a', 'b');
INSERT INTO served (key) SELECT concurrency_key FROM chancy.fetch_jobs('keys', 'w', 1); SELECT finish('w', 'succeeded') \gset
INSERT INTO served (key) SELECT concurrency_key FROM chancy.fetch_jobs('keys', 'w', 1); SELECT finish('w', 'succeeded') \gset
INSERT INTO served (key) SELECT concurrency_key FROM chancy.fetch_jobs('keys', 'w', 1); SELECT finish('w', 'succeeded') \gset
SELECT count(DISTINCT coalesce(key, 'none')) FROM served;

-- Both limits together; and jobs that are not due, or have no attempts left, take no slot.
TRUNCATE chancy.jobs;
SELECT max_running, max_running_per_key FROM chancy.declare_queue('both', max_running => 3, max_running_per_key => 2);
SELECT push_keys('both', 3, 'a', 'b', 'c');
SELECT count(DISTINCT concurrency_key), count(*) FROM chancy.fetch_jobs('both', 'w', 9);
SELECT count(*) FROM chancy.fetch_jobs('both', 'w', 9);
UPDATE chancy.jobs SET state = 'pending', attempts = CASE concurrency_key WHEN 'a' THEN 1 ELSE 0 END,
    scheduled_at = now() + CASE concurrency_key WHEN 'b' THEN interval '1 hour' ELSE '0' END;
SELECT func FROM chancy.fetch_jobs('both', 'w', 9);
-- A finished job that runs again keeps its key.
SELECT finish('w', 'discarded');
SELECT chancy.retry_job(id_of('c.1'));
SELECT func, concurrency_key FROM chancy.fetch_jobs('both', 'w', 9) ORDER BY func COLLATE "C";

-- push says the same; a key is never empty.
SELECT chancy.push('p', concurrency_key => 'tenant:1') AS id \gset
SELECT concurrency_key FROM chancy.get_job(:'id');
SELECT refused($$chancy.push('p', concurrency_key => '')$$);
SELECT refused($$chancy.push('p', concurrency_key => repeat('x', 1025))$$);
SELECT refused($$chancy.push_many('[{"func": "p", "concurrency_key": 7}]')$$);
SELECT refused($$chancy.declare_queue('x', max_running => 0)$$);
SELECT refused($$chancy.declare_queue('x', max_running_per_key => -1)$$);
