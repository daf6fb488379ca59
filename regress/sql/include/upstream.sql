-- An installation in the layout of Chancy 0.25 (core 6, cron 2, workflow 2, metrics 1), with a job in every state and a
-- row in every table. Included with two variables set: schema and prefix; the schema must be there.
\set t_jobs :prefix jobs
\set t_queues :prefix queues
\set t_workers :prefix workers
\set t_leader :prefix leader
\set t_limits :prefix queue_rate_limits
\set t_versions :prefix schema_version
\set t_cron :prefix cron
\set t_workflows :prefix workflows
\set t_steps :prefix workflow_steps
\set t_metrics :prefix metrics
CREATE TABLE :"schema".:"t_versions" (version_of varchar(255) PRIMARY KEY, version int);
INSERT INTO :"schema".:"t_versions" VALUES ('chancy', 6), ('cron', 2), ('workflow', 2), ('metrics', 1);
CREATE TABLE :"schema".:"t_jobs" (
    id uuid PRIMARY KEY, queue text NOT NULL, func text NOT NULL, kwargs jsonb NOT NULL DEFAULT '{}', limits jsonb NOT NULL DEFAULT '[]',
    meta jsonb NOT NULL DEFAULT '{}', state varchar(25) NOT NULL DEFAULT 'pending', priority int DEFAULT 0, attempts int DEFAULT 0,
    max_attempts int NOT NULL DEFAULT 1, taken_by text, created_at timestamptz NOT NULL DEFAULT now(), started_at timestamptz,
    completed_at timestamptz, scheduled_at timestamptz NOT NULL DEFAULT now(), unique_key text, errors jsonb NOT NULL DEFAULT '[]');
CREATE UNIQUE INDEX ON :"schema".:"t_jobs" (unique_key) WHERE unique_key IS NOT NULL AND state NOT IN ('succeeded', 'failed');
CREATE INDEX ON :"schema".:"t_jobs" (queue, state);
CREATE INDEX ON :"schema".:"t_jobs" (queue, state, attempts, scheduled_at, priority DESC, id DESC) WHERE state IN ('pending', 'retrying');
CREATE TABLE :"schema".:"t_queues" (
    name text PRIMARY KEY, state text NOT NULL DEFAULT 'active', concurrency int DEFAULT 1, tags text[],
    executor text NOT NULL DEFAULT 'chancy.executors.process.ProcessExecutor', executor_options jsonb, polling_interval int DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(), rate_limit int, rate_limit_window int, resume_at timestamptz, eager_polling boolean NOT NULL DEFAULT false);
CREATE UNLOGGED TABLE :"schema".:"t_workers" (
    worker_id text PRIMARY KEY, tags text[], queues text[], last_seen timestamptz NOT NULL DEFAULT now(), expires_at timestamptz NOT NULL);
CREATE UNLOGGED TABLE :"schema".:"t_leader" (
    id bigserial PRIMARY KEY, worker_id text NOT NULL UNIQUE, first_seen timestamptz NOT NULL DEFAULT now(), expires_at timestamptz NOT NULL);
CREATE UNLOGGED TABLE :"schema".:"t_limits" (queue varchar(255) PRIMARY KEY, window_start int NOT NULL, count int NOT NULL DEFAULT 0);
CREATE TABLE :"schema".:"t_cron" (
    unique_key text PRIMARY KEY, job jsonb NOT NULL, cron text NOT NULL, last_run timestamptz, next_run timestamptz NOT NULL);
CREATE TABLE :"schema".:"t_workflows" (
    id uuid PRIMARY KEY, name text NOT NULL, state text NOT NULL, created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now());
CREATE INDEX ON :"schema".:"t_workflows" (state);
CREATE TABLE :"schema".:"t_steps" (
    id serial PRIMARY KEY, workflow_id uuid REFERENCES :"schema".:"t_workflows" (id) ON DELETE CASCADE, step_id text NOT NULL,
    job_data jsonb NOT NULL, dependencies jsonb NOT NULL, job_id uuid, created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now());
CREATE INDEX ON :"schema".:"t_steps" (workflow_id);
CREATE UNIQUE INDEX ON :"schema".:"t_steps" (workflow_id, step_id);
CREATE TABLE :"schema".:"t_metrics" (
    metric_key varchar(255) NOT NULL, resolution varchar(10) NOT NULL, worker_id varchar(255) NOT NULL, timestamps timestamptz[] NOT NULL,
    values jsonb[] NOT NULL, metric_type varchar(20) NOT NULL, updated_at timestamptz NOT NULL DEFAULT now(), metadata jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (metric_key, resolution, worker_id));
CREATE INDEX ON :"schema".:"t_metrics" (updated_at);

-- Ids as Python makes them: the time in 100 ns, a 7, the variant, and what is random there, here the number.
INSERT INTO :"schema".:"t_jobs" (id, queue, func, kwargs, state, priority, attempts, max_attempts, taken_by, created_at, started_at, completed_at,
    scheduled_at, unique_key, errors, meta, limits)
SELECT format('03c00000-0000-0007-8000-%s', lpad(n::text, 12, '0'))::uuid, q, f, jsonb_build_object('n', n), s, p, a, m, t,
    timestamptz '2026-01-01 00:00Z' + n * interval '1 min', b::timestamptz, c::timestamptz, coalesce(w::timestamptz, '2026-01-01 00:00Z'), k, e::jsonb, '{"by": "python"}', '[{"t": "time", "v": 30}]'
FROM (VALUES
    (1,  'default', 'app.pending',   'pending',   0,    0,    1, NULL,  NULL,                NULL,                NULL,                NULL,    '[]'),
    (2,  'default', 'app.urgent',    'pending',   10,   NULL, 1, NULL,  NULL,                NULL,                NULL,                'z',     '[]'),
    (3,  'mail',    'app.later',     'pending',   NULL, 0,    1, NULL,  NULL,                NULL,                '2100-01-01 00:00Z', 'later', '[]'),
    (4,  'default', 'app.running',   'running',   0,    0,    3, 'py1', '2026-01-01 01:00Z', NULL,                NULL,                'run',   '[]'),
    (5,  'default', 'app.retrying',  'retrying',  0,    1,    3, 'py1', '2026-01-01 01:00Z', NULL,                NULL,                'a',     '[{"attempt": 0, "traceback": "no"}]'),
    (6,  'default', 'app.succeeded', 'succeeded', 0,    1,    1, 'py1', '2026-01-01 01:00Z', '2026-01-01 02:00Z', NULL,                'a',     '[]'),
    (7,  'default', 'app.failed',    'failed',    0,    1,    1, 'py1', '2026-01-01 01:00Z', '2026-01-01 02:00Z', NULL,                'a',     '[{"attempt": 0, "traceback": "no"}]'),
    (8,  'mail',    'app.step1',     'succeeded', 0,    1,    1, 'py1', '2026-01-01 01:00Z', '2026-01-01 02:00Z', NULL,                NULL,    '[]'),
    (9,  'mail',    'app.step2',     'pending',   0,    0,    1, NULL,  NULL,                NULL,                NULL,                NULL,    '[]'),
    (10, 'mail',    'app.old1',      'succeeded', 0,    1,    1, 'py1', '2026-01-01 01:00Z', '2026-01-01 02:00Z', NULL,                NULL,    '[]'),
    (11, 'mail',    'app.old2',      'failed',    0,    1,    1, 'py1', '2026-01-01 01:00Z', '2026-01-01 02:00Z', NULL,                'b',     '[]'),
    (12, 'mail',    'app.old3',      'succeeded', 0,    1,    1, 'py1', '2026-01-01 01:00Z', '2026-01-01 02:00Z', NULL,                'b',     '[]')
) v (n, q, f, s, p, a, m, t, b, c, w, k, e);
INSERT INTO :"schema".:"t_queues" (name, concurrency, tags, executor_options, polling_interval, state, resume_at, rate_limit, rate_limit_window)
VALUES ('default', NULL, '{.*}', '{}', 5, 'active', NULL, NULL, NULL), ('mail', 4, NULL, NULL, 1, 'active', NULL, 100, 60),
    ('paused', 1, '{has=gpu}', '{}', 5, 'paused', '2100-01-01 00:00Z', NULL, NULL);
INSERT INTO :"schema".:"t_workers" VALUES ('py1', '{*,hostname=a}', '{default,mail}', '2026-01-01 01:00Z', '2026-01-01 01:02Z');
INSERT INTO :"schema".:"t_leader" VALUES (1, 'py1', '2026-01-01 01:00Z', '2026-01-01 01:02Z');
INSERT INTO :"schema".:"t_limits" VALUES ('mail', 1767225600, 7);
INSERT INTO :"schema".:"t_cron" VALUES ('nightly', '{"f": "app.nightly", "k": {}, "p": 0, "a": 1, "s": 1767225600, "l": [], "u": "nightly", "q": "default", "m": {}}', '0 3 * * *', NULL, '2100-01-01 03:00Z');
INSERT INTO :"schema".:"t_workflows" VALUES ('03c00000-0000-0007-8000-0000000000f1', 'running', 'pending', '2026-01-01Z', '2026-01-01Z'),
    ('03c00000-0000-0007-8000-0000000000f2', 'over', 'completed', '2026-01-01Z', '2026-01-01Z');
INSERT INTO :"schema".:"t_steps" (workflow_id, step_id, job_data, dependencies, job_id, created_at, updated_at) VALUES
    ('03c00000-0000-0007-8000-0000000000f1', 'one', '{"f": "app.step1"}', '[]', '03c00000-0000-0007-8000-000000000008', '2026-01-01Z', '2026-01-01Z'),
    ('03c00000-0000-0007-8000-0000000000f1', 'two', '{"f": "app.step2"}', '["one"]', '03c00000-0000-0007-8000-000000000009', '2026-01-01Z', '2026-01-01Z'),
    ('03c00000-0000-0007-8000-0000000000f2', 'one', '{"f": "app.old1"}', '[]', '03c00000-0000-0007-8000-000000000010', '2026-01-01Z', '2026-01-01Z');
INSERT INTO :"schema".:"t_metrics" VALUES ('queue:default:throughput', '1min', 'py1', '{2026-01-01 01:00Z}', ARRAY['3'::jsonb], 'counter', '2026-01-01Z', '{}');
