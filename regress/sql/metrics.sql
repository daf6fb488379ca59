-- metrics: what happened, counted by each connection, folded into the history by maintain(); queues now.
\set ECHO none
\i sql/include/tools.sql
CREATE FUNCTION public.finish(worker text, outcome text, more jsonb DEFAULT '{}', up_to int DEFAULT 1) RETURNS bigint LANGUAGE sql
SET chancy.push_mode = immediate AS $$
    SELECT count(*) FROM chancy.apply_updates(worker, (SELECT coalesce(jsonb_agg(jsonb_build_object('id', id, 'started_at', started_at,
        'outcome', outcome) || more), '[]') FROM (SELECT * FROM chancy.running_jobs(worker) ORDER BY id LIMIT up_to) r)) WHERE applied
$$;
CREATE VIEW public.tallied AS SELECT queue, func, outcome, sum(count) AS count, bool_and(ran_sum BETWEEN ran_min * count AND ran_max * count) AS ran,
    bool_and(waited_min >= 0) AS waited FROM chancy.tallies GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
CREATE VIEW public.day AS SELECT metric_key, metric_type, sum(count) FILTER (WHERE metric_type = 'histogram') AS count, sum(value) FILTER (WHERE metric_type <> 'histogram') AS value,
    bool_and(least <= average AND average <= most AND least >= 0) AS sound
    FROM chancy.metric_points WHERE resolution = '1day' GROUP BY 1, 2 ORDER BY metric_key COLLATE "C";
SET chancy.metrics_interval = 0;
SELECT FROM chancy.declare_queue('default');
\set ECHO all

SELECT count(*) FROM chancy.push_many((SELECT jsonb_agg(jsonb_build_object('func', 'm.' || n % 2, 'max_attempts', 2) ORDER BY n) FROM generate_series(0, 9) n));
SELECT count(*) FROM chancy.fetch_jobs('default', 'w', 9);
SELECT finish('w', 'succeeded'), finish('w', 'failed'), finish('w', 'discarded'), finish('w', 'released');
SELECT finish('w', 'snoozed', '{"retry_at": "2099-01-01"}');
SELECT chancy.cancel_job(id) FROM chancy.running_jobs('w') ORDER BY id LIMIT 1;
-- Only what was created counts, not a duplicate.
SELECT chancy.push('dup', unique_key => 'k') IS NOT NULL AS pushed;
SELECT chancy.push('dup', unique_key => 'k') IS NOT NULL AS pushed;
INSERT INTO chancy.workers (worker_id, expires_at) VALUES ('w', '2001-01-01');
SELECT recovered, failed FROM chancy.recover_jobs(up_to => 1);
SELECT recovered, failed FROM chancy.recover_jobs(max_recoveries => 0, up_to => 1);
TABLE tallied;

-- Rolled back, it did not happen; nor what a savepoint takes back. At commit it counts once. Prepared, when it commits.
TRUNCATE chancy.tallies;
BEGIN;
SELECT chancy.push('rolled.back') IS NOT NULL AS pushed;
ROLLBACK;
BEGIN;
SELECT chancy.push('kept') IS NOT NULL AS pushed;
SAVEPOINT s;
SELECT chancy.push('kept', unique_key => 'k1') IS NOT NULL AS pushed;
RELEASE s;
SAVEPOINT s;
SELECT chancy.push('taken.back') IS NOT NULL AS pushed;
SELECT chancy.push('taken.back', unique_key => 'k2') IS NOT NULL AS pushed;
SELECT chancy.flush();
ROLLBACK TO s;
COMMIT;
BEGIN;
SELECT chancy.push('prepared', unique_key => 'k3') IS NOT NULL AS pushed;
PREPARE TRANSACTION 'metrics';
TABLE tallied;
COMMIT PREPARED 'metrics';
TABLE tallied;

-- Kept for an hour, it is written when the connection ends; or not counted at all. (The first transaction always writes.)
TRUNCATE chancy.tallies;
\c
SET chancy.metrics_interval = '1h';
SELECT chancy.push('first') IS NOT NULL AS pushed;
SELECT count(*) FROM chancy.push_many('[{"func": "second"}, {"func": "second"}, {"func": "second", "unique_key": "k4"}]');
BEGIN;
SELECT chancy.push('rolled.back') IS NOT NULL AS pushed;
ROLLBACK;
TABLE tallied;
\c
DO $$ BEGIN WHILE NOT EXISTS (SELECT FROM chancy.tallies WHERE func = 'second') LOOP PERFORM pg_sleep(0.01); END LOOP; END $$;
TABLE tallied;
SET chancy.metrics_interval = -1;
SELECT chancy.push('uncounted') IS NOT NULL AS pushed;
SET chancy.metrics_interval = 0;
TABLE tallied;

-- Folded: Chancy's keys and resolutions, and ours beside them.
TRUNCATE chancy.tallies, chancy.jobs, chancy.workers;
SELECT count(*) FROM chancy.push_many('[{"func": "a.b", "max_attempts": 2}, {"func": "a.b"}, {"func": "c.d"}]');
SELECT count(*) FROM chancy.fetch_jobs('default', 'w', 9);
SELECT finish('w', 'failed');
SELECT finish('w', 'succeeded', up_to => 2);
SELECT task, did FROM chancy.maintain() WHERE task = 'metrics';
SELECT count(*) FROM chancy.tallies;
TABLE day;
SELECT DISTINCT resolution, worker_id, count(*) OVER (PARTITION BY resolution) FROM chancy.metrics ORDER BY 1;
-- More of the same adds up; nothing to fold changes nothing.
SELECT chancy.fold_metrics(10);
SELECT count(*) FROM chancy.push_many('[{"func": "a.b"}, {"func": "a.b"}]');
SELECT chancy.fold_metrics(10);
SELECT metric_key, value FROM day WHERE metric_key IN ('job:a.b:pushed', 'queue:default:pushed', 'global:status:pushed');

-- The number of points: 60, the newest first; what comes late belongs to the newest.
DELETE FROM chancy.metrics;
INSERT INTO chancy.metrics (metric_key, resolution, worker_id, timestamps, values, metric_type)
SELECT 'job:old:pushed', '1min', 'chancy', array_agg(t ORDER BY t DESC), array_agg('1'::jsonb), 'counter'
FROM generate_series('2020-01-01 00:01+00', '2020-01-01 01:00+00', interval '1 min') t;
INSERT INTO chancy.tallies (at, queue, func, outcome, count) VALUES ('2020-01-01 00:30:10+00', 'q', 'old', 'pushed', 5);
SELECT chancy.fold_metrics(10);
SELECT array_length(timestamps, 1), timestamps[1] = '2020-01-01 01:00+00' AS head, values[1], values[2] FROM chancy.metrics WHERE metric_key = 'job:old:pushed' AND resolution = '1min';
INSERT INTO chancy.tallies (at, queue, func, outcome, count) VALUES ('2020-01-01 01:01:10+00', 'q', 'old', 'pushed', 7), ('2020-01-01 01:03:59+00', 'q', 'old', 'pushed', 8);
SELECT chancy.fold_metrics(10);
SELECT array_length(timestamps, 1), timestamps[1] = '2020-01-01 01:03+00' AS head, timestamps[2] = '2020-01-01 01:01+00' AS second, values[1:4] FROM chancy.metrics WHERE metric_key = 'job:old:pushed' AND resolution = '1min';
SELECT resolution, array_length(timestamps, 1), timestamps[1] AT TIME ZONE 'UTC' AS head, values[1] FROM chancy.metrics WHERE metric_key = 'job:old:pushed' ORDER BY 1;

-- One's own: counters add, gauges keep the last, histograms spread; a key has the type that it was given last.
DELETE FROM chancy.metrics;
SELECT chancy.record_metrics('[{"metric_key": "shop:orders", "value": 2}, {"metric_key": "shop:orders", "value": 0.5, "type": "counter"},
    {"metric_key": "shop:open", "value": 7, "type": "gauge"}, {"metric_key": "shop:total", "value": 10, "type": "histogram"},
    {"metric_key": "shop:total", "value": 30, "type": "histogram"}]');
SELECT chancy.record_metrics('[]');
-- (The tests set the time of what they fold, so that no clock matters.)
UPDATE chancy.samples SET at = '2020-01-01 01:01:10+00';
SELECT chancy.fold_metrics(10);
SELECT chancy.record_metrics('[{"metric_key": "shop:open", "value": 6, "type": "gauge"}, {"metric_key": "shop:total", "value": 5, "type": "histogram"}]');
UPDATE chancy.samples SET at = '2020-01-01 01:01:20+00';
SELECT chancy.fold_metrics(10);
SELECT metric_key, values FROM chancy.metrics WHERE resolution = '1hour' ORDER BY metric_key;
SELECT metric_key, count, value, average, least, most FROM chancy.metric_points WHERE resolution = '1day' ORDER BY metric_key COLLATE "C";
SELECT chancy.record_metrics('[{"metric_key": "shop:open", "value": 1}]');
UPDATE chancy.samples SET at = '2020-01-01 01:01:30+00';
SELECT chancy.fold_metrics(10);
SELECT metric_key, metric_type, values FROM chancy.metrics WHERE resolution = '1hour' AND metric_key = 'shop:open';
SELECT refused(c) FROM unnest(ARRAY[$$chancy.record_metrics('{}')$$, $$chancy.record_metrics(NULL)$$, $$chancy.record_metrics('[1]')$$,
    $$chancy.record_metrics('[{"value": 1}]')$$, $$chancy.record_metrics('[{"metric_key": "x"}]')$$,
    $$chancy.record_metrics('[{"metric_key": "x", "value": 1}, {"metric_key": "x", "value": "1"}]')$$,
    $$chancy.record_metrics('[{"metric_key": "x", "value": 1e400}]')$$, $$chancy.record_metrics('[{"metric_key": "", "value": 1}]')$$,
    $$chancy.record_metrics('[{"metric_key": "x", "value": 1, "type": "meter"}]')$$, $$chancy.record_metrics('[{"metric_key": "x", "value": 1, "worker_id": "w"}]')$$,
    $$chancy.record_metrics(jsonb_build_array(jsonb_build_object('metric_key', repeat('x', 256), 'value', 1)))$$]) c;

-- Beside Python's rows: ours is one more worker; the view adds them up. Old ones go, whosesoever.
INSERT INTO chancy.metrics (metric_key, resolution, worker_id, timestamps, values, metric_type, updated_at)
SELECT 'shop:orders', '1hour', 'python', timestamps, '{4}', 'counter', now() - interval '80 days' FROM chancy.metrics WHERE metric_key = 'shop:orders' AND resolution = '1hour';
SELECT value FROM chancy.metric_points WHERE metric_key = 'shop:orders' AND resolution = '1hour';
UPDATE chancy.task_runs SET last_run = now() - interval '1 hour', again_at = NULL WHERE name = 'metrics';
SELECT did FROM chancy.maintain() WHERE task = 'metrics';
SELECT chancy.set_task('metrics', settings => '{"keep": "70 days"}');
UPDATE chancy.task_runs SET last_run = now() - interval '1 hour', again_at = NULL WHERE name = 'metrics';
SELECT did FROM chancy.maintain() WHERE task = 'metrics';
SELECT refused($$chancy.set_task('metrics', settings => '{"keep": "1 hour"}')$$);

-- Queues now: declared or not, waiting or empty.
TRUNCATE chancy.jobs, chancy.tallies;
SELECT FROM chancy.declare_queue('empty', state => 'paused');
SELECT count(*) FROM chancy.push_many('[{"func": "a"}, {"func": "a"}, {"func": "a", "scheduled_at": "2099-01-01"}, {"func": "a", "queue": "undeclared"},
    {"func": "a", "max_attempts": 3}]');
SELECT count(*) FROM chancy.fetch_jobs('default', 'w', 9);
SELECT finish('w', 'failed', '{"retry_at": "2099-01-01"}', 9);
SELECT count(*) FROM chancy.push_many('[{"func": "a"}, {"func": "a"}]');
SELECT count(*) FROM chancy.fetch_jobs('default', 'w', 1);
SELECT chancy.heartbeat('w', '{}', '{default,empty}') > now() AS alive, chancy.heartbeat('v', '{}', '{default}') > now() AS alive;
SELECT queue, pending, retrying, scheduled, running, oldest_due <= now() AS due FROM chancy.queue_depths();
SELECT queue, state, pending, retrying, scheduled, running, oldest_waiting > '0' AS waits, pushed_per_second > 0 AS pushed, finished_per_second > 0 AS finished,
    average_waiting >= 0 AS waiting, average_running >= 0 AS running_for, workers FROM chancy.queue_stats ORDER BY queue;
-- The rate does not change when what was counted is folded.
CREATE TEMP TABLE before AS SELECT queue, pushed_per_second, finished_per_second, average_running FROM chancy.queue_stats;
SELECT chancy.fold_metrics(100) > 0 AS folded;
SELECT queue FROM before b JOIN chancy.queue_stats s USING (queue)
WHERE abs(b.average_running - s.average_running) > 0.00001 OR (b.pushed_per_second > 0) <> (s.pushed_per_second > 0);

-- What a burst has left in memory is written by the next fetch that finds nothing, of a paused queue too.
SET chancy.metrics_interval = 0;
SELECT count(*) FROM chancy.push_many('[{"func": "first"}]');
TRUNCATE chancy.jobs, chancy.tallies;
SET chancy.metrics_interval = '1h';
SELECT count(*) FROM chancy.push_many('[{"func": "burst"}, {"func": "burst"}]');
SELECT sum(count) FROM chancy.tallies;
SELECT count(*) FROM chancy.fetch_jobs('nothing', 'w', 1);
SELECT sum(count) FROM chancy.tallies;
SET chancy.metrics_interval = 0;
SELECT count(*) FROM chancy.fetch_jobs('nothing', 'w', 1);
SELECT sum(count) FROM chancy.tallies;
SET chancy.metrics_interval = '1h';
SELECT count(*) FROM chancy.push_many('[{"func": "burst"}]');
SET chancy.metrics_interval = 0;
SELECT count(*) FROM chancy.fetch_jobs('empty', 'w', 1);
SELECT sum(count), count(*) FROM chancy.tallies;
SELECT count(*) FROM chancy.fetch_jobs('empty', 'w', 1);
SELECT sum(count), count(*) FROM chancy.tallies;
