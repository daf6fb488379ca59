-- metrics: what happened, how often, how long it took. extension/tally.cpp, extension/metrics.cpp

-- What the backends have counted, until maintain() folds it into metrics. No index, and rows are only ever added: nobody
-- waits here. Unlogged: a crash loses what was not folded, as it loses nothing but counts.
CREATE UNLOGGED TABLE chancy.tallies (
    at           timestamptz      NOT NULL,
    queue        text             COLLATE "C" NOT NULL,
    func         text             COLLATE "C" NOT NULL,
    outcome      text             COLLATE "C" NOT NULL,
    count        bigint           NOT NULL,
    ran_sum      double precision,
    ran_min      double precision,
    ran_max      double precision,
    waited_sum   double precision,
    waited_min   double precision,
    waited_max   double precision
);
COMMENT ON TABLE chancy.tallies IS 'What happened to jobs, counted by each backend, before maintain() folds it into metrics; seconds';

CREATE UNLOGGED TABLE chancy.samples (
    at          timestamptz      NOT NULL,
    metric_key  text             COLLATE "C" NOT NULL,
    metric_type text             COLLATE "C" NOT NULL,
    value       double precision NOT NULL
);
COMMENT ON TABLE chancy.samples IS 'What record_metrics() was given, before maintain() folds it into metrics';

CREATE FUNCTION chancy.record_metrics(metrics jsonb)
RETURNS integer LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_record_metrics';
COMMENT ON FUNCTION chancy.record_metrics(jsonb) IS
'Records values of your own: objects with metric_key, value and type (counter, the default; gauge; histogram); returns how many. They show when maintain() has folded them';

-- Takes up to up_to rows each of tallies and samples and adds them to metrics, as the worker "chancy". The newest point of
-- a row takes what belongs to it or comes late; what is newer goes before it.
CREATE FUNCTION chancy.fold_metrics(up_to integer)
RETURNS bigint LANGUAGE sql
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH tallied AS (
        DELETE FROM chancy.tallies t WHERE t.ctid = ANY (ARRAY(SELECT s.ctid FROM chancy.tallies s LIMIT up_to FOR UPDATE SKIP LOCKED))
        RETURNING t.*, left(t.queue, 220) AS q, left(t.func, 220) AS f, t.outcome IN ('succeeded', 'failed', 'retrying') AS run
    ), sampled AS (
        DELETE FROM chancy.samples s WHERE s.ctid = ANY (ARRAY(SELECT n.ctid FROM chancy.samples n LIMIT up_to FOR UPDATE SKIP LOCKED))
        RETURNING s.*
    ), measured (metric_key, metric_type, at, n, sum, least, most) AS (
        SELECT v.metric_key, 'counter', t.at, 1, t.count, t.count, t.count
        FROM tallied t, LATERAL (VALUES ('global:status:' || t.outcome), ('queue:' || t.q || ':' || t.outcome),
            ('job:' || t.f || ':' || t.outcome), (CASE WHEN t.run THEN 'queue:' || t.q || ':throughput' END)) AS v (metric_key)
        WHERE v.metric_key IS NOT NULL
        UNION ALL
        SELECT v.metric_key, 'histogram', t.at, t.count, v.sum, v.least, v.most
        FROM tallied t, LATERAL (VALUES ('queue:' || t.q || ':execution_time', t.ran_sum, t.ran_min, t.ran_max),
            ('job:' || t.f || ':execution_time', t.ran_sum, t.ran_min, t.ran_max),
            ('queue:' || t.q || ':' || t.outcome || ':execution_time', t.ran_sum, t.ran_min, t.ran_max),
            ('job:' || t.f || ':' || t.outcome || ':execution_time', t.ran_sum, t.ran_min, t.ran_max),
            ('queue:' || t.q || ':waiting_time', t.waited_sum, t.waited_min, t.waited_max),
            ('job:' || t.f || ':waiting_time', t.waited_sum, t.waited_min, t.waited_max)) AS v (metric_key, sum, least, most)
        WHERE t.run AND v.sum IS NOT NULL
        UNION ALL
        SELECT s.metric_key, s.metric_type, s.at, 1, s.value, s.value, s.value FROM sampled s
    ), typed AS (
        -- A key has one type: the one it was given last.
        SELECT m.*, first_value(m.metric_type) OVER (PARTITION BY m.metric_key ORDER BY m.at DESC, m.metric_type) AS type FROM measured m
    ), touched AS (
        SELECT DISTINCT t.metric_key, t.type, r.resolution, r.step, r.points
        FROM typed t, (VALUES ('1min', interval '1 minute', 60), ('5min', interval '5 minutes', 288), ('1hour', interval '1 hour', 168),
            ('1day', interval '1 day', 90)) AS r (resolution, step, points)
    ), known AS (
        SELECT t.*, m.timestamps[1] AS head, m.values[1] AS head_value, m.timestamps[2:] AS older, m.values[2:] AS older_values
        FROM touched t LEFT JOIN chancy.metrics m
            ON m.metric_key = t.metric_key AND m.resolution = t.resolution AND m.worker_id = 'chancy' AND m.metric_type = t.type
    ), spread AS (
        SELECT k.metric_key, k.resolution, greatest(date_bin(k.step, t.at, timestamptz '2000-01-01 00:00:00+00'), k.head) AS bucket,
            t.at, t.n, t.sum, t.least, t.most
        FROM known k JOIN typed t ON t.metric_key = k.metric_key AND t.metric_type = k.type
        UNION ALL
        SELECT k.metric_key, k.resolution, k.head, k.head, coalesce((k.head_value ->> 'count')::bigint, 1),
            coalesce(k.head_value ->> 'sum', k.head_value #>> '{}')::double precision, (k.head_value ->> 'min')::double precision,
            (k.head_value ->> 'max')::double precision
        FROM known k WHERE k.head IS NOT NULL
    ), merged AS (
        SELECT k.metric_key, k.resolution, s.bucket, CASE k.type
            WHEN 'counter' THEN to_jsonb(sum(s.sum))
            WHEN 'gauge' THEN to_jsonb((array_agg(s.sum ORDER BY s.at DESC))[1])
            ELSE jsonb_build_object('count', sum(s.n), 'sum', sum(s.sum), 'avg', sum(s.sum) / sum(s.n)::double precision,
                'min', min(s.least), 'max', max(s.most)) END AS value
        FROM known k JOIN spread s ON s.metric_key = k.metric_key AND s.resolution = k.resolution
        GROUP BY k.metric_key, k.resolution, k.type, s.bucket
    ), written AS (
        INSERT INTO chancy.metrics (metric_key, resolution, worker_id, timestamps, values, metric_type, updated_at)
        SELECT k.metric_key, k.resolution, 'chancy', (n.times || coalesce(k.older, '{}'))[1:k.points],
            (n.values || coalesce(k.older_values, '{}'))[1:k.points], k.type, clock_timestamp()
        FROM known k JOIN (SELECT m.metric_key, m.resolution, array_agg(m.bucket ORDER BY m.bucket DESC) AS times,
                array_agg(m.value ORDER BY m.bucket DESC) AS values FROM merged m GROUP BY m.metric_key, m.resolution) n
            ON n.metric_key = k.metric_key AND n.resolution = k.resolution
        ORDER BY k.metric_key, k.resolution
        ON CONFLICT (metric_key, resolution, worker_id) DO UPDATE SET timestamps = excluded.timestamps, values = excluded.values,
            metric_type = excluded.metric_type, updated_at = excluded.updated_at
    )
    SELECT (SELECT count(*) FROM tallied) + (SELECT count(*) FROM sampled);
END;
COMMENT ON FUNCTION chancy.fold_metrics(integer) IS
'Adds what tallies and samples hold to metrics, and deletes it there; for maintain(), which runs it once a minute';

CREATE FUNCTION chancy.queue_depths()
RETURNS TABLE (queue text, pending bigint, retrying bigint, scheduled bigint, running bigint, oldest_due timestamptz)
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'chancy_queue_depths';
COMMENT ON FUNCTION chancy.queue_depths() IS
'Live jobs of each queue, by state; scheduled: those of the waiting ones that are not due yet. Reads what is live, not the history';

CREATE VIEW chancy.queue_stats AS
SELECT coalesce(q.name, d.queue) AS queue, q.state, coalesce(d.pending, 0) AS pending, coalesce(d.retrying, 0) AS retrying,
    coalesce(d.scheduled, 0) AS scheduled, coalesce(d.running, 0) AS running,
    date_trunc('milliseconds', clock_timestamp() - d.oldest_due) AS oldest_waiting,
    round((r.pushed / w.seconds)::numeric, 2) AS pushed_per_second, round((r.ended / w.seconds)::numeric, 2) AS finished_per_second,
    round((r.waited / nullif(r.ended, 0))::numeric, 6) AS average_waiting, round((r.ran / nullif(r.ended, 0))::numeric, 6) AS average_running,
    (SELECT count(*) FROM chancy.workers k WHERE k.expires_at > clock_timestamp() AND coalesce(q.name, d.queue) = ANY (k.queues)) AS workers
FROM chancy.queues q
FULL JOIN chancy.queue_depths() d ON d.queue = q.name
CROSS JOIN LATERAL (SELECT date_trunc('minute', clock_timestamp()) - interval '1 minute' AS since) s
CROSS JOIN LATERAL (SELECT extract(epoch FROM clock_timestamp() - s.since)::double precision AS seconds) w
CROSS JOIN LATERAL (
    SELECT coalesce(sum(p.value) FILTER (WHERE p.what = 'pushed'), 0) AS pushed, coalesce(sum(p.value) FILTER (WHERE p.what = 'throughput'), 0) AS ended,
        sum(p.value) FILTER (WHERE p.what = 'execution_time') AS ran, sum(p.value) FILTER (WHERE p.what = 'waiting_time') AS waited
    FROM (
        SELECT v.what, v.value FROM chancy.tallies t, LATERAL (VALUES
            (CASE WHEN t.outcome = 'pushed' THEN 'pushed' WHEN t.outcome IN ('succeeded', 'failed', 'retrying') THEN 'throughput' END,
                t.count::double precision), ('execution_time', t.ran_sum), ('waiting_time', t.waited_sum)) AS v (what, value)
        WHERE t.queue = coalesce(q.name, d.queue) AND t.at >= s.since
        UNION ALL
        SELECT n.what, coalesce(u.value ->> 'sum', u.value #>> '{}')::double precision
        FROM (VALUES ('pushed'), ('throughput'), ('execution_time'), ('waiting_time')) AS n (what)
        JOIN chancy.metrics m ON m.metric_key = 'queue:' || left(coalesce(q.name, d.queue), 220) || ':' || n.what AND m.resolution = '1min'
        CROSS JOIN LATERAL unnest(m.timestamps[1:3], m.values[1:3]) AS u (at, value) WHERE u.at >= s.since
    ) p
) r;
COMMENT ON VIEW chancy.queue_stats IS
'Every queue now: live jobs by state, how long the oldest due one waits, rates and averages (seconds) over the last one to two minutes, workers';

CREATE VIEW chancy.metric_points AS
SELECT m.metric_key, m.resolution, u.at, m.metric_type,
    sum(coalesce((u.value ->> 'count')::bigint, 1)) AS count,
    CASE m.metric_type WHEN 'gauge' THEN (array_agg(u.number ORDER BY m.updated_at DESC))[1] ELSE sum(u.number) END AS value,
    CASE m.metric_type WHEN 'histogram' THEN sum(u.number) / nullif(sum((u.value ->> 'count')::bigint), 0)::double precision END AS average,
    min((u.value ->> 'min')::double precision) AS least, max((u.value ->> 'max')::double precision) AS most
FROM chancy.metrics m
CROSS JOIN LATERAL (SELECT p.at, CASE jsonb_typeof(p.value) WHEN 'object' THEN p.value END AS value,
    coalesce(p.value ->> 'sum', p.value #>> '{}')::double precision AS number FROM unnest(m.timestamps, m.values) AS p (at, value)) u
GROUP BY m.metric_key, m.resolution, u.at, m.metric_type;
COMMENT ON VIEW chancy.metric_points IS
'The history: a row for each point of metrics, over all workers. value: a counter''s count, a gauge''s last value, a histogram''s sum';
