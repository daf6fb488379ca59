-- update: every outcome, the fence, what a result writes, exchange.
\set ECHO none
\i sql/include/tools.sql
\set ECHO all

SELECT (chancy.declare_queue('default')).name;
SELECT count(*) FROM chancy.push_many('[{"func": "u.1succeeds"}, {"func": "u.2fails"}, {"func": "u.3retries", "max_attempts": 2},
    {"func": "u.4retries_at", "max_attempts": 2}, {"func": "u.5discarded", "max_attempts": 9}, {"func": "u.6snoozed"},
    {"func": "u.7released", "priority": -1}]');
SELECT count(*) FROM chancy.fetch_jobs('default', 'w', 9);
SELECT clock_timestamp() AS before \gset

-- Every outcome, in an order of its own: rows come back in input order.
SELECT u.ord, j.func, u.state, applied, reason
FROM chancy.apply_updates('w', jsonb_build_array(
    an_update('u.7released', 'released'),
    an_update('u.6snoozed', 'snoozed', '{"retry_at": "2100-01-01T00:00:00Z"}'),
    an_update('u.5discarded', 'discarded', '{"error": "no use"}'),
    an_update('u.4retries_at', 'failed', '{"error": "again", "retry_at": "2100-01-01T00:00:00Z"}'),
    an_update('u.3retries', 'failed', '{"error": "again"}'),
    an_update('u.2fails', 'failed', '{"error": "broken\nline 2 ü"}'),
    an_update('u.1succeeds', 'succeeded', '{"result": {"n": [1, null]}, "meta": {"seen": true}}'))) u
JOIN chancy.jobs j ON j.id = u.id ORDER BY ord;
SELECT * FROM look();
SELECT func, result, meta, scheduled_at = '2100-01-01 00:00:00Z' AS as_told, completed_at BETWEEN :'before' AND clock_timestamp() AS ended_now,
    started_at < :'before' AS start_kept, recoveries
FROM chancy.jobs ORDER BY func;
-- With Chancy's defaults the first retry is 1 s and 1 to 5 s away.
SELECT scheduled_at - :'before' BETWEEN '2 s' AND clock_timestamp() - :'before' + interval '6 s' AS delay
FROM chancy.jobs WHERE func = 'u.3retries';

-- A snoozed and a released job have used no attempt; the next claim starts later.
SELECT started_at AS before FROM chancy.jobs WHERE func = 'u.7released' \gset
SELECT func, attempts, started_at > :'before' AS later FROM chancy.fetch_jobs('default', 'w2', 9);

-- Errors gather, one entry an attempt, numbered from 0. recoveries start anew with a result that applied.
DELETE FROM chancy.jobs;
SELECT chancy.push('e.1', max_attempts => 4) AS id \gset
UPDATE chancy.jobs SET recoveries = 2;
SELECT attempts FROM chancy.fetch_jobs('default', 'w');
SELECT state FROM chancy.apply_updates('w', jsonb_build_array(an_update('e.1', 'failed', jsonb_build_object('error', 'one', 'retry_at', now()))));
SELECT attempts, recoveries FROM chancy.fetch_jobs('default', 'w');
SELECT state FROM chancy.apply_updates('w', jsonb_build_array(an_update('e.1', 'failed', jsonb_build_object('retry_at', now()))));
SELECT attempts FROM chancy.fetch_jobs('default', 'w');
SELECT state FROM chancy.apply_updates('w', jsonb_build_array(an_update('e.1', 'failed', jsonb_build_object('error', '', 'retry_at', now()))));
SELECT attempts FROM chancy.fetch_jobs('default', 'w');
-- The last attempt: retry_at comes too late.
SELECT state FROM chancy.apply_updates('w', jsonb_build_array(an_update('e.1', 'failed', jsonb_build_object('error', 'four', 'retry_at', now()))));
SELECT state, attempts, without_time(errors) AS errors FROM chancy.get_job(:'id');
SELECT func FROM chancy.fetch_jobs('default', 'w');

-- A result names an attempt: another worker's, another start, and none at all change nothing.
DELETE FROM chancy.jobs;
SELECT chancy.push('f.1', unique_key => 'key') AS id \gset
SELECT jsonb_build_array(jsonb_build_object('id', :'id', 'started_at', now(), 'outcome', 'succeeded')) AS batch \gset
SELECT ord, state, applied, reason FROM chancy.apply_updates('w', :'batch');
SELECT func FROM chancy.fetch_jobs('default', 'w');
SELECT jsonb_build_array(an_update('f.1', 'succeeded')) AS batch \gset
SELECT state, applied, reason FROM chancy.apply_updates('other', :'batch');
SELECT state, applied, reason FROM chancy.apply_updates('W', :'batch');
SELECT state, applied, reason FROM chancy.apply_updates('w', jsonb_set(:'batch', '{0,started_at}',
    to_jsonb((:'batch'::jsonb #>> '{0,started_at}')::timestamptz + interval '1 microsecond')));
SELECT state, applied, reason FROM chancy.apply_updates('w', jsonb_set(:'batch', '{0,id}', '"00000000-0000-0000-0000-000000000000"'));
SELECT * FROM look();
-- Recovered and taken again: the late result of the first attempt is stale, that of the second counts, and only once.
UPDATE chancy.jobs SET state = 'pending', taken_by = NULL;
SELECT state, applied, reason FROM chancy.apply_updates('w', :'batch');
SELECT func FROM chancy.fetch_jobs('default', 'w');
SELECT state, applied, reason FROM chancy.apply_updates('w', :'batch');
SELECT jsonb_build_array(an_update('f.1', 'succeeded')) AS batch \gset
SELECT state, applied, reason FROM chancy.apply_updates('w', :'batch');
SELECT state, applied, reason FROM chancy.apply_updates('w', :'batch');
-- Cancelled: the late result is stale.
SELECT chancy.push('f.2') AS id \gset
SELECT func FROM chancy.fetch_jobs('default', 'w');
SELECT jsonb_build_array(an_update('f.2', 'succeeded')) AS batch \gset
SELECT chancy.cancel_job(:'id');
SELECT state, applied, reason FROM chancy.apply_updates('w', :'batch', 'skip');
-- One that does not apply leaves its neighbours alone.
SELECT count(*) FROM chancy.push_many('[{"func": "n.1"}, {"func": "n.2"}, {"func": "n.3"}]');
SELECT func FROM chancy.fetch_jobs('default', 'w', 3);
SELECT updates('succeeded', 'n.1', 'n.2', 'n.3') || :'batch' AS batch \gset
SELECT chancy.cancel_job(id_of('n.2'));
SELECT ord, state, applied, reason FROM chancy.apply_updates('w', :'batch'::jsonb
    || '[{"id": "00000000-0000-0000-0000-000000000000", "started_at": "2020-01-01T00:00:00Z", "outcome": "failed", "error": "x"}]');
SELECT func, state, errors FROM look();
SELECT * FROM chancy.apply_updates('w', '[]');

-- started_at is accepted back as the server printed it: as JSON and as text, in any zone and style.
DELETE FROM chancy.jobs;
SELECT chancy.push('z.' || n) IS NOT NULL AS pushed FROM generate_series(1, 4) n;
SET TimeZone = 'Asia/Kathmandu';
SELECT func FROM chancy.fetch_jobs('default', 'w', 9);
SELECT updates('succeeded', 'z.1') AS batch \gset
SET TimeZone = 'America/St_Johns';
SELECT applied FROM chancy.apply_updates('w', :'batch');
SELECT applied FROM chancy.apply_updates('w', jsonb_build_array(an_update('z.2', 'succeeded', jsonb_build_object('started_at',
    (SELECT started_at::text FROM chancy.jobs WHERE func = 'z.2')))));
SET DateStyle = 'SQL, DMY';
SELECT applied FROM chancy.apply_updates('w', jsonb_build_array(an_update('z.3', 'succeeded', jsonb_build_object('started_at',
    (SELECT started_at::text FROM chancy.jobs WHERE func = 'z.3')))));
SET DateStyle = 'ISO';
SELECT applied FROM chancy.apply_updates('w', jsonb_build_array(an_update('z.4', 'succeeded', jsonb_build_object('started_at',
    (SELECT started_at::text FROM chancy.jobs WHERE func = 'z.4'), 'id', upper(id_of('z.4')::text)))));
RESET TimeZone;
RESET DateStyle;
-- A time on the zero of PostgreSQL's clock is a time as any other.
SELECT chancy.push('z.5') AS id \gset
SELECT func FROM chancy.fetch_jobs('default', 'w', 9);
SELECT state, applied FROM chancy.apply_updates('w', jsonb_build_array(an_update('z.5', 'snoozed', '{"retry_at": "2000-01-01T00:00:00Z"}')));
SELECT func, scheduled_at = '2000-01-01 00:00:00Z' AS as_told FROM chancy.fetch_jobs('default', 'w', 9);

-- exchange: results first, then the next jobs.
DELETE FROM chancy.jobs;
SELECT count(*) FROM chancy.push_many('[{"func": "x.1"}, {"func": "x.2"}, {"func": "x.3", "priority": 1}, {"func": "x.4"}]');
SELECT kind, ord, reason, passed, (job).func, (job).state, (job).taken_by FROM chancy.exchange('w', '[]', 'default', 2);
SELECT updates('succeeded', 'x.3', 'x.1') AS batch \gset
SELECT chancy.cancel_job(id_of('x.1'));
SELECT e.kind, e.ord, e.reason, e.passed, (e.job).func, (e.job).state
FROM chancy.exchange('w', :'batch'::jsonb || '[{"id": "00000000-0000-0000-0000-000000000000", "started_at": "2020-01-01", "outcome": "released"}]',
    'default', 9) e;
SELECT func, state FROM look();
-- A released job can come back at once; up_to 0 only applies, and needs no queue.
SELECT kind, (job).func FROM chancy.exchange('w', updates('released', 'x.4', 'x.2'), 'default', 9);
SELECT kind, ord FROM chancy.exchange('w', updates('succeeded', 'x.2'), NULL, 0);
SELECT kind, ord FROM chancy.exchange('w', updates('succeeded', 'x.4'), 'default', 0, 'wait');
SELECT kind, ord FROM chancy.exchange('w', '[]', 'never declared', 5);
SELECT func, state FROM look();
-- The whole job equals its row.
SELECT chancy.push('x.5', '{"a": 1}', unique_key => 'x') AS id \gset
CREATE TABLE given AS SELECT (job).* FROM chancy.exchange('w', '[]', 'default', 1);
SELECT count(*) = 1 AS same FROM (SELECT * FROM given INTERSECT SELECT * FROM chancy.jobs) both_ways;
