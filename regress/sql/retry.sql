-- retry: the delay before the next attempt, and finished jobs that run again.
\set ECHO none
\i sql/include/tools.sql

-- Fails jobs with these settings once, at this attempt, and tells the bounds of the delays over many jobs: at least
-- low, at most high, and whether they differ. The server's clock moves on meanwhile: a second is allowed.
CREATE FUNCTION delay(meta jsonb, attempt int, low interval, high interval) RETURNS text LANGUAGE plpgsql SET chancy.push_mode = immediate AS $$
DECLARE
    start timestamptz; found record;
BEGIN
    DELETE FROM chancy.jobs;
    INSERT INTO chancy.jobs (id, queue, func, meta, state, attempts, max_attempts, taken_by, started_at)
    SELECT gen_random_uuid(), 'default', 'd', delay.meta, 'running', attempt - 1, attempt + 1, 'w', now() FROM generate_series(1, 50);
    start := clock_timestamp();
    PERFORM FROM chancy.apply_updates('w', (SELECT jsonb_agg(jsonb_build_object('id', id, 'started_at', started_at, 'outcome', 'failed'))
        FROM chancy.jobs));
    SELECT min(scheduled_at - start) AS low, max(scheduled_at - start) AS high, count(DISTINCT scheduled_at) > 1 AS differ,
        bool_and(state = 'retrying' AND attempts = attempt) AS retrying INTO found FROM chancy.jobs;
    RETURN format('within %s, differ %s, retrying %s',
        CASE WHEN found.low >= delay.low AND found.high <= delay.high + interval '1 s' THEN 'bounds' ELSE found.low || ' to ' || found.high END,
        found.differ, found.retrying);
END $$;
\set ECHO all
-- Every call takes effect at once, in blocks too: those at commit are in commit.sql.
SET chancy.push_mode = immediate;
SELECT (chancy.declare_queue('default')).name;

-- backoff 1, factor 2, limit 300, jitter 1 to 5.
SELECT attempt, delay('{}', attempt, backoff + interval '1 s', backoff + interval '5 s')
FROM (VALUES (1, '1 s'::interval), (2, '2 s'), (3, '4 s'), (8, '128 s'), (9, '256 s'), (10, '300 s'), (30, '300 s'), (2000, '300 s'))
    AS t (attempt, backoff);
SELECT delay('{"retry_settings": {}}', 1, '2 s', '6 s');
-- Each setting.
SELECT delay('{"retry_settings": {"backoff": 10, "backoff_jitter": [0, 0]}}', 1, '10 s', '10 s');
SELECT delay('{"retry_settings": {"backoff": 10, "backoff_jitter": [0, 0]}}', 3, '40 s', '40 s');
SELECT delay('{"retry_settings": {"backoff": 10, "backoff_factor": 3.5, "backoff_jitter": [0, 0]}}', 2, '35 s', '35 s');
SELECT delay('{"retry_settings": {"backoff": 10, "backoff_limit": 12, "backoff_jitter": [0, 0]}}', 3, '12 s', '12 s');
SELECT delay('{"retry_settings": {"backoff": 0, "backoff_jitter": [100, 200]}}', 1, '100 s', '200 s');
SELECT delay('{"retry_settings": {"backoff": 0, "backoff_jitter": [0.5, 0.5]}}', 1, '0.5 s', '0.5 s');
SELECT delay('{"retry_settings": {"backoff": 10, "backoff_factor": 1, "backoff_jitter": [0, 0]}}', 2000, '10 s', '10 s');
-- The limit is on the backoff; the jitter comes on top, as in Chancy.
SELECT delay('{"retry_settings": {"backoff": 999, "backoff_limit": 10, "backoff_jitter": [20, 20]}}', 1, '30 s', '30 s');

-- A result is never refused for malformed settings: each has its default, nothing goes back in time or out of range.
SELECT left(settings::text, 90) AS settings, delay(jsonb_build_object('retry_settings', settings), 1, low, high)
FROM (VALUES ('7'::jsonb, '2 s'::interval, '6 s'::interval), ('null', '2 s', '6 s'), ('[]', '2 s', '6 s'), ('"x"', '2 s', '6 s'),
    ('{"backoff": "10", "backoff_factor": null, "backoff_limit": [], "backoff_jitter": 3}', '2 s', '6 s'),
    ('{"backoff_jitter": []}', '2 s', '6 s'), ('{"backoff_jitter": ["a", "b"]}', '2 s', '6 s'), ('{"backoff_jitter": [2]}', '3 s', '6 s'),
    ('{"backoff_jitter": {"0": 9, "1": 9}}', '2 s', '6 s'), ('{"backoff_jitter": [5, 1]}', '2 s', '6 s'),
    ('{"backoff": -100}', '1 s', '5 s'), ('{"backoff_factor": -2}', '2 s', '6 s'), ('{"backoff_limit": -1}', '1 s', '5 s'),
    ('{"backoff_jitter": [-50, -20]}', '1 s', '1 s'), ('{"unknown": 1}', '2 s', '6 s'),
    ('{"backoff": 1e300, "backoff_limit": 1e300}', '1 s', '3651 d'), ('{"backoff": 0, "backoff_jitter": [1e300, 1e300]}', '1 s', '3651 d'),
    ('{"backoff": 1e999, "backoff_factor": 1e999, "backoff_jitter": [0, 1e999]}', '300 s', '3651 d'))
    AS t (settings, low, high);
SELECT delay('{"retry_settings": {"backoff": 0, "backoff_factor": 0, "backoff_jitter": [0, 0]}}', 1, '0 s', '0 s');

-- The meta that comes with the result counts.
DELETE FROM chancy.jobs;
SELECT chancy.push('m.1', max_attempts => 2, meta => '{"retry_settings": {"backoff": 100}}') AS id \gset
SELECT func FROM chancy.fetch_jobs('default', 'w');
SELECT state FROM chancy.apply_updates('w', jsonb_build_array(an_update('m.1', 'failed',
    '{"meta": {"retry_settings": {"backoff": 200, "backoff_jitter": [0, 0]}}}')));
SELECT scheduled_at - now() BETWEEN '190 s' AND '200 s' AS delay, meta FROM chancy.get_job(:'id');

-- retry_job: finished jobs become pending; attempts start anew, errors stay.
DELETE FROM chancy.jobs;
SELECT count(*) FROM chancy.push_many('[{"func": "r.failed", "unique_key": "f", "priority": 3}, {"func": "r.succeeded", "unique_key": "s", "priority": 2},
    {"func": "r.running", "priority": 2}, {"func": "r.retrying", "max_attempts": 2, "priority": 1}, {"func": "r.pending", "unique_key": "p"}]');
SELECT func FROM chancy.fetch_jobs('default', 'w', 4);
SELECT state FROM chancy.apply_updates('w', jsonb_build_array(an_update('r.failed', 'failed', '{"error": "e"}'),
    an_update('r.succeeded', 'succeeded', '{"result": 1}'), an_update('r.retrying', 'failed', '{"retry_at": "2100-01-01T00:00:00Z"}')));
SELECT started_at AS before FROM chancy.jobs WHERE func = 'r.failed' \gset
UPDATE chancy.jobs SET scheduled_at = '2100-01-01 00:00:00Z', recoveries = 2 WHERE func = 'r.failed';
SELECT f, chancy.retry_job(id_of(f)) FROM unnest('{r.failed,r.succeeded,r.running,r.retrying,r.pending}'::text[]) f;
SELECT chancy.retry_job('00000000-0000-0000-0000-000000000000');
SELECT chancy.retry_job(id_of('r.failed'));
SELECT * FROM look();
SELECT func, result, recoveries FROM chancy.jobs WHERE state = 'pending' ORDER BY func;
-- It runs again as it did before; the result of the earlier attempt does not count.
SELECT jsonb_build_array(an_update('r.failed', 'succeeded')) AS batch \gset
SELECT func, attempts, started_at > :'before' AS later FROM chancy.fetch_jobs('default', 'w');
SELECT state, applied, reason FROM chancy.apply_updates('w', :'batch');
SELECT state, applied, reason FROM chancy.apply_updates('w', jsonb_build_array(an_update('r.failed', 'failed', '{"error": "again"}')));
SELECT state, attempts, without_time(errors) AS errors FROM chancy.get_job(id_of('r.failed'));

-- Not while its key has another live job; as soon as that has ended.
SELECT chancy.push('r.new', unique_key => 'f') AS id \gset
SELECT chancy.retry_job(id_of('r.failed'));
SELECT chancy.cancel_job(:'id');
SELECT chancy.retry_job(id_of('r.failed'));
SELECT chancy.retry_job(:'id');
SELECT func, state, unique_key FROM look() WHERE unique_key = 'f';
-- The key is the retried job's again.
SELECT id = id_of('r.failed') AS same, created FROM chancy.push_many('[{"func": "r.newer", "unique_key": "f"}]');
-- A cancelled job too; in one transaction with what came before.
BEGIN;
SELECT chancy.push('r.tx', unique_key => 't') AS id \gset
SELECT chancy.cancel_job(:'id'), chancy.retry_job(:'id');
SELECT chancy.retry_job(:'id');
COMMIT;
SELECT state, attempts, without_time(errors) AS errors FROM chancy.get_job(:'id');
SELECT chancy.retry_job(NULL);

-- With other kwargs, at once and at commit; a copy leaves the job as it was.
DELETE FROM chancy.jobs;
SELECT chancy.push('r.kwargs', '{"n": 1}', priority => 1, unique_key => 'kw', meta => '{"m": 1}') AS id \gset
SELECT chancy.retry_job(:'id', '{"n": 2}'), copy FROM chancy.copy_job(:'id');
SELECT chancy.cancel_job(:'id');
SELECT chancy.retry_job(:'id', '{"n": 2}');
SELECT state, kwargs FROM chancy.get_job(:'id');
SELECT chancy.cancel_job(:'id');
BEGIN;
SELECT chancy.retry_job(:'id', '{"n": 3}');
COMMIT;
SELECT state, kwargs FROM chancy.get_job(:'id');
SELECT chancy.cancel_job(:'id');
SELECT created FROM chancy.copy_job(:'id', '{"n": 4}', 'other', max_attempts => 2);
SELECT func, queue, state, kwargs, priority, max_attempts, unique_key, meta - 'copy_of' AS meta, meta ->> 'copy_of' = :'id' AS is_copy FROM chancy.jobs ORDER BY id;
-- The key is taken by the copy now: a second one is told whose it is.
SELECT copy <> :'id' AS others, created FROM chancy.copy_job(:'id');
SELECT count(*) FROM chancy.copy_job('00000000-0000-0000-0000-000000000000');
