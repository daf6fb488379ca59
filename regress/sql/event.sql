-- event: what is told on the channel, when, and how often. psql prints what it receives; the server's process number
-- and, where a job's id is not chosen by the test, the id are cut out.
\set ECHO none
\i sql/include/tools.sql
\pset format unaligned
\pset tuples_only
\set ECHO all

SELECT chancy.event_channel() = channel AS same, channel FROM chancy.event_channels;
-- A channel other than our own hears every queue.pushed; our own one only while somebody sleeps (below).
INSERT INTO chancy.event_channels VALUES ('every');
LISTEN every;
\o | sed -E 's/Asynchronous notification "(.*)" with payload "(.*)" received.*/  \1 \2/; s/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/ID/g'

-- Queues.
\qecho declare
SELECT (chancy.declare_queue('default')).name;
\qecho declare again
SELECT (chancy.declare_queue('default')).name;
\qecho pause and resume; of no queue
SELECT chancy.pause_queue('default'), chancy.resume_queue('default'), chancy.pause_queue('none'), chancy.resume_queue('none');
SELECT chancy.delete_queue('none');

-- Pushes: one event a queue and transaction; none for what is due later, a duplicate, or an empty batch.
\qecho push
SELECT chancy.push('e.1', unique_key => 'k') IS NOT NULL;
\qecho duplicate
SELECT chancy.push('e.2', unique_key => 'k') IS NOT NULL;
\qecho later
SELECT chancy.push('e.3', scheduled_at => '2100-01-01') IS NOT NULL;
\qecho nothing
SELECT count(*) FROM chancy.push_many('[]');
\qecho a batch for three queues, keys and all
SELECT count(*) FROM chancy.push_many('[{"func": "b", "queue": "q1", "unique_key": "c"}, {"func": "b", "queue": "q2", "unique_key": "b"},
    {"func": "b", "queue": "q1", "unique_key": "a"}, {"func": "b", "queue": "q3", "unique_key": "k"}, {"func": "b", "queue": "q4", "scheduled_at": "2100-01-01"},
    {"func": "b", "queue": "q2"}, {"func": "b", "queue": "q5"}, {"func": "b", "queue": "q1"}]');
\qecho many calls of one transaction
BEGIN;
SELECT count(chancy.push('t', queue => 'q' || n % 2)) FROM generate_series(1, 10) n;
SAVEPOINT s;
SELECT chancy.push('t', queue => 'q1') IS NOT NULL;
SELECT chancy.push('t', queue => 'q6') IS NOT NULL;
RELEASE s;
SAVEPOINT s;
SELECT chancy.push('t', queue => 'rolled back') IS NOT NULL;
ROLLBACK TO s;
\qecho not before the commit
COMMIT;
BEGIN;
SELECT chancy.push('t', queue => 'rolled back') IS NOT NULL;
ROLLBACK;
\qecho what JSON must escape
SELECT chancy.push('t', queue => E'a"b\\c\n\td ü') IS NOT NULL;
DELETE FROM chancy.jobs;

-- A job that is to run again wakes its queue, unless it is for later.
SELECT count(chancy.push('r.' || n, priority => -n, max_attempts => 2)) FROM generate_series(1, 7) n;
\qecho fetch tells nothing
SELECT func FROM chancy.fetch_jobs('default', 'w', 9);
\qecho released
SELECT state FROM chancy.apply_updates('w', updates('released', 'r.1'));
\qecho snoozed and retrying
SELECT state FROM chancy.apply_updates('w', jsonb_build_array(an_update('r.2', 'snoozed', '{"retry_at": "2100-01-01"}'), an_update('r.3', 'failed')));
\qecho the same, due at once
SELECT state FROM chancy.apply_updates('w', jsonb_build_array(an_update('r.6', 'snoozed', '{"retry_at": "2000-01-01"}')));
SELECT state FROM chancy.apply_updates('w', jsonb_build_array(an_update('r.7', 'failed', '{"meta": {"retry_settings": {"backoff": 0, "backoff_jitter": [0, 0]}}}')));
\qecho succeeded, nobody waits for it; stale
SELECT state, applied FROM chancy.apply_updates('w', updates('succeeded', 'r.1', 'r.4'));
\qecho retried by hand; of a live job
SELECT chancy.retry_job(id_of('r.4'));
SELECT chancy.retry_job(id_of('r.5'));
DELETE FROM chancy.jobs;

-- Cancel tells which job; one that has ended, nothing.
INSERT INTO chancy.jobs (id, queue, func, state, max_attempts, taken_by, started_at)
SELECT ('03c71f9b-af43-0007-8000-00000000000' || n)::uuid, 'default', 'c.' || n, CASE WHEN n < 7 THEN 'running' ELSE 'pending' END, 1, 'w', now()
FROM generate_series(1, 9) n;
\o | sed -E 's/Asynchronous notification "(.*)" with payload "(.*)" received.*/  \1 \2/'
\qecho cancel
SELECT chancy.cancel_job(id_of('c.9'));
SELECT chancy.cancel_job(id_of('c.9'));
SELECT chancy.cancel_job('00000000-0000-0000-0000-000000000000');
SELECT ord, cancelled FROM chancy.cancel_jobs(ARRAY[id_of('c.8'), id_of('c.7'), id_of('c.9')]);

-- An end is told while somebody waits for it, not before and not after.
\qecho watched
SELECT chancy.watch_jobs(ARRAY[id_of('c.1'), id_of('c.2'), id_of('c.3'), id_of('c.1'), '00000000-0000-0000-0000-000000000000']);
SELECT chancy.watch_jobs(ARRAY[id_of('c.4')], '1 day');
SELECT chancy.watch_jobs('{}');
SELECT count(*), count(*) FILTER (WHERE until BETWEEN now() + interval '55 s' AND now() + interval '60 s') FROM chancy.watches;
SELECT state FROM chancy.apply_updates('w', updates('succeeded', 'c.1') || an_update('c.2', 'failed') || an_update('c.5', 'succeeded'));
SELECT chancy.cancel_job(id_of('c.3'));
\qecho released is no end, the end that follows is
SELECT state FROM chancy.apply_updates('w', updates('released', 'c.4'));
SELECT state FROM chancy.fetch_jobs('default', 'w');
SELECT state FROM chancy.apply_updates('w', updates('succeeded', 'c.4'));
\qecho a shorter watch shortens nothing; an expired one is silent and goes with the next call
SELECT chancy.watch_jobs(ARRAY[id_of('c.4')], '1 s');
SELECT count(*) FROM chancy.watches WHERE until > now() + interval '1 hour';
SELECT chancy.watch_jobs(ARRAY[id_of('c.6')]);
UPDATE chancy.watches SET until = now() - interval '1 s' WHERE job_id <> id_of('c.4');
SELECT state FROM chancy.apply_updates('w', updates('succeeded', 'c.6'));
SELECT chancy.watch_jobs('{}');
SELECT job_id = id_of('c.4') AS kept FROM chancy.watches;

-- So is the end of one that outlives its workers too often; as long as it runs again, only its queue is told.
INSERT INTO chancy.workers VALUES ('dead', '{}', '{}', now(), now() - interval '1 hour');
INSERT INTO chancy.jobs (id, queue, func, state, max_attempts, taken_by, started_at)
VALUES ('03c71f9b-af43-0007-8000-00000000000a', 'default', 'c.a', 'running', 1, 'dead', now() - interval '1 hour');
SELECT chancy.watch_jobs(ARRAY[id_of('c.a')]);
\qecho recovered, and failed
SELECT * FROM chancy.recover_jobs(max_recoveries => 1);
SELECT state FROM chancy.fetch_jobs('default', 'dead');
SELECT * FROM chancy.recover_jobs(max_recoveries => 1);
DELETE FROM chancy.workers;

-- Workers, and the end of a queue.
\qecho workers
SELECT chancy.heartbeat('w1', '{}', '{}') IS NOT NULL;
SELECT chancy.retire_worker('w1'), chancy.retire_worker('w1');
\qecho delete
SELECT chancy.delete_queue('default');
SELECT chancy.delete_queue('default');

-- On every channel of the table: that of Python clients is one row away.
\qecho two channels
INSERT INTO chancy.event_channels VALUES ('events');
LISTEN events;
SELECT chancy.push('two') IS NOT NULL;
\qecho none
DELETE FROM chancy.event_channels;
SELECT chancy.push('none') IS NOT NULL;

-- Our own channel: a fetch that gave less than it was asked for makes the next push tell; the one after it not.
UNLISTEN every;
UNLISTEN events;
LISTEN chancy_events;
DELETE FROM chancy.event_channels;
INSERT INTO chancy.event_channels VALUES ('chancy_events');
DELETE FROM chancy.jobs;
DELETE FROM chancy.sleepers;
SELECT (chancy.declare_queue('default')).name, (chancy.declare_queue('other')).name;
\qecho nobody sleeps
SELECT chancy.push('asleep.1') IS NOT NULL;
\qecho a fetch that is filled
SELECT count(*) FROM chancy.fetch_jobs('default', 'w', 1);
SELECT chancy.push('asleep.2') IS NOT NULL;
\qecho one that is not
SELECT count(*) FROM chancy.fetch_jobs('default', 'w', 2);
SELECT chancy.push('asleep.3', queue => 'other') IS NOT NULL;
SELECT chancy.push('asleep.4') IS NOT NULL;
SELECT chancy.push('asleep.5') IS NOT NULL;

-- Every payload is JSON with a t, also with names that need escaping.
\o
SELECT ('{"t": "queue.pushed", "q": ' || to_json(E'a"b\\c\n\td ü'::text) || '}')::jsonb ->> 'q' = E'a"b\\c\n\td ü';
