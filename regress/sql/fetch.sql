-- fetch: which jobs are claimed, in which order, what a claim writes.
\set ECHO none
\i sql/include/tools.sql
\set ECHO all
-- Every call takes effect at once, in blocks too: those at commit are in commit.sql.
SET chancy.push_mode = immediate;

-- A queue that was never declared gives nothing, though one may push to it.
SELECT count(*) FROM chancy.push_many('[{"func": "o.1"}, {"func": "o.2", "priority": 1}, {"func": "o.3", "priority": -1},
    {"func": "o.4", "priority": 1}, {"func": "o.5", "queue": "Default", "priority": 5}, {"func": "o.6"}]');
SELECT func FROM chancy.fetch_jobs('default', 'w', 9);
SELECT func FROM chancy.fetch_jobs('nowhere', 'w');
SELECT (chancy.declare_queue('default')).name;

-- Highest priority first, then the oldest; one by default; only of this queue.
SELECT func, state, taken_by, attempts FROM chancy.fetch_jobs('default', 'w1');
SELECT func, priority FROM chancy.fetch_jobs('default', 'w2', 2);
SELECT func, priority FROM chancy.fetch_jobs('default', 'w3', 100000);
SELECT func FROM chancy.fetch_jobs('default', 'w3', 9);
SELECT * FROM look();

-- What it gives is what the row holds now; a claim counts no attempt.
SELECT clock_timestamp() AS before \gset
SELECT chancy.push('c.1', '{"a": 1}', meta => '{"b": 2}', limits => '[{"t": "time", "v": 3}]', unique_key => 'key') AS id \gset
CREATE TABLE given AS SELECT * FROM chancy.fetch_jobs('default', 'w');
SELECT count(*) = 1 AS same FROM (SELECT * FROM given INTERSECT SELECT * FROM chancy.jobs) both_ways;
SELECT attempts, started_at BETWEEN :'before' AND clock_timestamp() AS started_now FROM given;

-- started_at names the attempt: it rises with every claim, whatever the clock says.
UPDATE chancy.jobs SET state = 'pending', started_at = '2100-01-01 00:00:00Z' WHERE id = :'id';
SELECT started_at = '2100-01-01 00:00:00.000001Z' AS strictly_above FROM chancy.fetch_jobs('default', 'w');

-- Not before scheduled_at.
SELECT count(*) FROM chancy.push_many(jsonb_build_array(
    jsonb_build_object('func', 's.later', 'scheduled_at', now() + interval '1 hour', 'priority', 9),
    jsonb_build_object('func', 's.past', 'scheduled_at', now() - interval '1 hour'),
    jsonb_build_object('func', 's.epoch', 'scheduled_at', '1970-01-01T00:00:00Z')));
SELECT func FROM chancy.fetch_jobs('default', 'w', 9);
UPDATE chancy.jobs SET scheduled_at = now() WHERE func = 's.later';
SELECT func FROM chancy.fetch_jobs('default', 'w', 9);

-- Not when the attempts are used up, not what runs or has ended; retrying jobs as pending ones. Python writes such rows.
INSERT INTO chancy.jobs (id, queue, func, state, attempts, max_attempts)
SELECT gen_random_uuid(), 'default', 'py.' || state || '.' || attempts, state, attempts, 2
FROM unnest('{pending,running,retrying,succeeded,failed}'::text[]) state, generate_series(0, 3) attempts;
SELECT func FROM chancy.fetch_jobs('default', 'w', 99) ORDER BY func;
-- A row as plain INSERT makes it has all it needs.
INSERT INTO chancy.jobs (id, queue, func) VALUES (gen_random_uuid(), 'default', 'py.plain');
SELECT func, attempts, max_attempts FROM chancy.fetch_jobs('default', 'w', 99);
DELETE FROM chancy.jobs;

-- What the transaction itself has pushed, pushed again and let go.
BEGIN;
SELECT chancy.push('tx.1', unique_key => 'k1') AS id \gset
SELECT chancy.push('tx.2', unique_key => 'k1') = :'id' AS same;
SELECT func FROM chancy.fetch_jobs('default', 'w', 9);
SELECT state FROM chancy.apply_updates('w', updates('released', 'tx.1'));
SELECT func FROM chancy.fetch_jobs('default', 'w', 9);
COMMIT;
SELECT chancy.push('tx.3', unique_key => 'k3') AS id \gset
BEGIN;
SELECT chancy.push('tx.4', unique_key => 'k3') = :'id' AS same;
SELECT func FROM chancy.fetch_jobs('default', 'w', 9);
ROLLBACK;
SELECT func, state FROM look();
DELETE FROM chancy.jobs;

-- A pause holds until it is resumed, or until resume_at; results are written all the same.
SELECT count(*) FROM chancy.push_many('[{"func": "p.1"}, {"func": "p.2"}, {"func": "p.3"}]');
SELECT func FROM chancy.fetch_jobs('default', 'w');
SELECT chancy.pause_queue('default');
SELECT func FROM chancy.fetch_jobs('default', 'w');
SELECT state, applied FROM chancy.apply_updates('w', updates('succeeded', 'p.1'));
SELECT chancy.pause_queue('default', now() + interval '1 hour');
SELECT func FROM chancy.fetch_jobs('default', 'w');
SELECT chancy.pause_queue('default', now() - interval '1 second');
SELECT func FROM chancy.fetch_jobs('default', 'w');
SELECT chancy.pause_queue('default'), chancy.resume_queue('default');
SELECT func FROM chancy.fetch_jobs('default', 'w');
DELETE FROM chancy.jobs;

