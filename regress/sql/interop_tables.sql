-- interop_tables: what an unmodified Python client of Chancy 0.25 relies on: bookkeeping, columns, constraints, and its own
-- statements on our tables, with search_path = chancy, public.
\set ECHO none
\i sql/include/tools.sql
\set ECHO all

-- Versions: exactly these, or Python migrates.
SELECT * FROM chancy.schema_version ORDER BY version_of;

-- Columns, in Chancy's order; ours come last.
SELECT c.relname AS "table", c.relpersistence AS p, string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || CASE WHEN a.attnotnull THEN ' !' ELSE '' END
    || coalesce(' = ' || regexp_replace(pg_get_expr(d.adbin, d.adrelid), '::[a-z ]*(\[\])?', '', 'g'), ''), E'\n' ORDER BY a.attnum) AS columns
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.oid = ANY ('{chancy.jobs,chancy.queues,chancy.workers,chancy.leader,chancy.queue_rate_limits,chancy.cron,chancy.workflows,
    chancy.workflow_steps,chancy.metrics,chancy.schema_version}'::regclass[])
GROUP BY 1, 2 ORDER BY 1;
-- Constraints and unique indexes.
SELECT indrelid::regclass AS "table", pg_get_indexdef(indexrelid) FROM pg_index JOIN pg_class c ON c.oid = indrelid
WHERE indisunique AND relnamespace = 'chancy'::regnamespace AND relkind = 'r'
    AND relname IN ('jobs', 'queues', 'workers', 'leader', 'queue_rate_limits', 'cron', 'workflows', 'workflow_steps', 'metrics', 'schema_version')
ORDER BY 1::text, indexrelid::regclass::text;
SELECT conrelid::regclass AS "table", pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'f' AND connamespace = 'chancy'::regnamespace;
SELECT relkind, relispartition FROM pg_class WHERE oid = 'chancy.jobs'::regclass;

SET search_path = chancy, public;
-- Push: a key of a live job infers our index; the row stays, and its id comes back.
PREPARE py_push (uuid, text, text, text) AS
    INSERT INTO jobs (id, queue, func, kwargs, limits, meta, state, priority, max_attempts, scheduled_at, unique_key)
    VALUES ($1, $2, $3, '{}', '[]', '{}', 'pending', 0, 2, now(), $4)
    ON CONFLICT (unique_key) WHERE unique_key IS NOT NULL AND state NOT IN ('succeeded', 'failed')
    DO UPDATE SET state = jobs.state RETURNING id;
EXECUTE py_push ('03c71f9b-af43-0007-8000-000000000001', 'default', 'py.one', 'k1');
EXECUTE py_push ('03c71f9b-af43-0007-8000-000000000002', 'default', 'py.dup', 'k1');
EXECUTE py_push ('03c71f9b-af43-0007-8000-000000000003', 'default', 'py.keyless', NULL);
-- Each side finds the other's live job.
SELECT push('our.dup', unique_key => 'k1') AS told;
SELECT push('our.one', unique_key => 'k2') AS id \gset
EXECUTE py_push ('03c71f9b-af43-0007-8000-000000000004', 'default', 'py.dup', 'k2') \gset told_
SELECT :'told_id' = :'id' AS same;
SELECT func, unique_key FROM jobs ORDER BY func;
-- A queue as Python declares it, and fetch: its statement takes our jobs, ours takes its.
INSERT INTO queues (name, state, concurrency, tags, executor, executor_options, polling_interval, rate_limit, rate_limit_window, resume_at, eager_polling)
VALUES ('default', 'active', 1, '{.*}', 'chancy.executors.process.ProcessExecutor', '{}', 5, NULL, NULL, NULL, false)
ON CONFLICT (name) DO UPDATE SET state = EXCLUDED.state;
PREPARE py_fetch (text, text, int) AS
    WITH selected AS (
        SELECT id FROM jobs WHERE queue = $1 AND state IN ('pending', 'retrying') AND attempts < max_attempts AND scheduled_at <= now()
        ORDER BY priority DESC, id ASC LIMIT $3 FOR UPDATE OF jobs SKIP LOCKED)
    UPDATE jobs SET started_at = now(), state = 'running', taken_by = $2 FROM selected WHERE jobs.id = selected.id RETURNING jobs.func;
EXECUTE py_fetch ('default', 'py', 1);
SELECT func FROM fetch_jobs('default', 'our', 1);
EXECUTE py_fetch ('default', 'py', 9);
SELECT func, state, taken_by, attempts FROM jobs ORDER BY func;
-- Results: Python writes all of its columns by id; ours is fenced by what Python's fetch wrote.
PREPARE py_result (uuid, text) AS
    UPDATE jobs SET state = $2, started_at = jobs.started_at, completed_at = now(), attempts = 1, errors = '[]', meta = '{"py": 1}', max_attempts = 2,
        scheduled_at = jobs.scheduled_at WHERE id = $1;
EXECUTE py_result ('03c71f9b-af43-0007-8000-000000000001', 'succeeded');
EXECUTE py_result (:'id', 'failed');
SELECT state, applied FROM apply_updates('our', jsonb_build_array(an_update('py.keyless', 'failed')));
SELECT func, state, attempts, max_attempts, meta FROM jobs ORDER BY func;
SELECT retry_job('03c71f9b-af43-0007-8000-000000000001');
SELECT cancel_job('03c71f9b-af43-0007-8000-000000000001');
-- Announce, rate limit and leadership statements.
INSERT INTO workers (worker_id, tags, queues, last_seen, expires_at) VALUES ('py', '{*}', '{default}', now(), now() + interval '90 s')
ON CONFLICT (worker_id) DO UPDATE SET tags = EXCLUDED.tags, queues = EXCLUDED.queues, last_seen = now(), expires_at = EXCLUDED.expires_at;
SELECT worker_id, tags, queues FROM list_workers();
INSERT INTO queue_rate_limits (queue, window_start, count) VALUES ('default', 0, 1)
ON CONFLICT (queue) DO UPDATE SET count = CASE WHEN queue_rate_limits.window_start = EXCLUDED.window_start THEN queue_rate_limits.count + EXCLUDED.count ELSE EXCLUDED.count END
RETURNING *;
INSERT INTO leader (worker_id, expires_at) VALUES ('py', now() + interval '30 s')
ON CONFLICT (worker_id) DO UPDATE SET expires_at = EXCLUDED.expires_at RETURNING worker_id;
INSERT INTO cron (unique_key, job, cron, next_run) VALUES ('c', '{}', '* * * * *', now()) ON CONFLICT (unique_key) DO UPDATE SET cron = EXCLUDED.cron RETURNING unique_key;
INSERT INTO workflows (id, name, state) VALUES ('00000000-0000-0000-0000-000000000001', 'w', 'pending') ON CONFLICT (id) DO NOTHING RETURNING name;
INSERT INTO workflow_steps (workflow_id, step_id, job_data, dependencies) VALUES ('00000000-0000-0000-0000-000000000001', 's', '{}', '[]')
ON CONFLICT (workflow_id, step_id) DO UPDATE SET job_data = EXCLUDED.job_data RETURNING step_id;
-- Python's workflow query groups by the primary key.
SELECT w.name, w.state, count(s.id) FROM workflows w LEFT JOIN workflow_steps s ON s.workflow_id = w.id GROUP BY w.id;
DELETE FROM workflows;
SELECT count(*) FROM workflow_steps;
INSERT INTO metrics (metric_key, resolution, worker_id, timestamps, values, metric_type) VALUES ('m', '1min', 'w', ARRAY[now()], ARRAY['1'::jsonb], 'counter')
ON CONFLICT (metric_key, resolution, worker_id) DO UPDATE SET values = EXCLUDED.values RETURNING metric_key, metadata;
-- COPY in, with the columns that Python gives.
COPY jobs (id, queue, func, kwargs, limits, meta, priority, max_attempts, scheduled_at, unique_key) FROM stdin;
03c71f9b-af43-0007-8000-000000000009	default	py.copied	{}	[]	{}	5	1	2020-01-01Z	\N
\.
SELECT func FROM fetch_jobs('default', 'our', 1);

-- The extension goes and comes back, without a trace.
RESET search_path;
DROP EXTENSION chancy CASCADE;
SELECT count(*) FROM pg_class WHERE relnamespace = to_regnamespace('chancy');
CREATE EXTENSION chancy;
SELECT chancy.push('again') IS NOT NULL AS pushed;
SELECT extversion = default_version AS current, extnamespace::regnamespace AS schema, extrelocatable
FROM pg_extension JOIN pg_available_extensions ON name = extname WHERE extname = 'chancy';
