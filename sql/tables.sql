-- Tables: columns and meanings of Chancy 0.25, so that its Python code works on them.
-- Text that is compared is COLLATE "C": one byte order for index, sort and lock order, whatever
-- the database's collation, and no index to rebuild when the C library changes its tables.

-- A job's row is written three times. Room beside the first version spares WAL for the second; and room in the primary key,
-- which takes an entry for each, spares splits. Neither grows larger in the end.
CREATE TABLE chancy.jobs (
    id            uuid         PRIMARY KEY WITH (fillfactor = 45),
    queue         text         COLLATE "C" NOT NULL,
    func          text         COLLATE "C" NOT NULL,
    kwargs        jsonb        NOT NULL DEFAULT '{}',
    limits        jsonb        NOT NULL DEFAULT '[]',
    meta          jsonb        NOT NULL DEFAULT '{}',
    state         varchar(25)  COLLATE "C" NOT NULL DEFAULT 'pending',
    priority      integer      NOT NULL DEFAULT 0,
    attempts      integer      NOT NULL DEFAULT 0,
    max_attempts  integer      NOT NULL DEFAULT 1,
    taken_by      text         COLLATE "C",
    created_at    timestamptz  NOT NULL DEFAULT pg_catalog.now(),
    started_at    timestamptz,
    completed_at  timestamptz,
    scheduled_at  timestamptz  NOT NULL DEFAULT pg_catalog.now(),
    unique_key    text         COLLATE "C",
    errors        jsonb        NOT NULL DEFAULT '[]',
    recoveries    integer      NOT NULL DEFAULT 0,
    result        jsonb,
    concurrency_key text       COLLATE "C",
    rerun         boolean,
    next_run      jsonb,
    unique_until  timestamptz,
    raised_at     timestamptz
) WITH (fillfactor = 70);
-- The fetch order itself: a fetch walks it from the front and never sorts the backlog.
CREATE INDEX jobs_fetch ON chancy.jobs (queue, priority DESC, id)
    WHERE state IN ('pending', 'retrying');
-- The slot of a key: whoever has an entry here is the live job of the key. Chancy's predicate, word
-- for word: its ON CONFLICT infers this index.
CREATE UNIQUE INDEX jobs_unique_key ON chancy.jobs (unique_key)
    WHERE unique_key IS NOT NULL AND state NOT IN ('succeeded', 'failed');
-- running_jobs, recovery, delete_queue and the limits of concurrency look only at running jobs, however long the history.
CREATE INDEX jobs_running ON chancy.jobs (queue, taken_by) WHERE state = 'running';
-- What failed, to be looked at: a job that succeeds has no entry here, and so costs nothing.
CREATE INDEX jobs_failed ON chancy.jobs (id) WHERE state = 'failed';
-- The same order for each key: a fetch of a queue with a limit per key goes from key to key.
CREATE INDEX jobs_fetch_key ON chancy.jobs (queue, priority DESC, concurrency_key, id)
    WHERE concurrency_key IS NOT NULL AND state IN ('pending', 'retrying');
-- What is to run after a job, and keys that stay taken after one: nobody pays for these who does not use them.
CREATE INDEX jobs_next_run ON chancy.jobs (id) WHERE next_run IS NOT NULL;
CREATE INDEX jobs_unique_until ON chancy.jobs (unique_key, unique_until DESC) WHERE unique_until IS NOT NULL;

CREATE TABLE chancy.queues (
    name              text        COLLATE "C" PRIMARY KEY,
    state             text        NOT NULL DEFAULT 'active',
    concurrency       integer,
    tags              text[]      NOT NULL DEFAULT '{.*}',
    executor          text        NOT NULL DEFAULT 'chancy.executors.process.ProcessExecutor',
    executor_options  jsonb       NOT NULL DEFAULT '{}',
    polling_interval  integer     DEFAULT 5,
    created_at        timestamptz NOT NULL DEFAULT pg_catalog.now(),
    rate_limit        integer,
    rate_limit_window integer,
    resume_at         timestamptz,
    eager_polling     boolean     NOT NULL DEFAULT false,
    max_running         integer CHECK (max_running > 0),
    max_running_per_key integer CHECK (max_running_per_key > 0),
    rate_limit_burst    integer CHECK (rate_limit_burst > 0)
);

CREATE UNLOGGED TABLE chancy.workers (
    worker_id  text        COLLATE "C" PRIMARY KEY,
    tags       text[],
    queues     text[],
    last_seen  timestamptz NOT NULL DEFAULT pg_catalog.now(),
    expires_at timestamptz NOT NULL,
    owner      text        COLLATE "C"
);

CREATE UNLOGGED TABLE chancy.leader (
    id         bigserial   PRIMARY KEY,
    worker_id  text        NOT NULL CONSTRAINT leader_worker_id_unique UNIQUE,
    first_seen timestamptz NOT NULL DEFAULT pg_catalog.now(),
    expires_at timestamptz NOT NULL
);

CREATE UNLOGGED TABLE chancy.queue_rate_limits (
    queue        varchar(255) COLLATE "C" PRIMARY KEY,
    window_start integer      NOT NULL,
    count        integer      NOT NULL DEFAULT 0,
    full_at      timestamptz
);

CREATE TABLE chancy.cron (
    unique_key text        COLLATE "C" PRIMARY KEY,
    job        jsonb       NOT NULL,
    cron       text        NOT NULL,
    last_run   timestamptz,
    next_run   timestamptz NOT NULL,
    time_zone      text,
    missed         text,
    grace          interval,
    skipped_times  text,
    repeated_times text,
    overlap        boolean,
    paused         boolean,
    push           jsonb,
    due_at         timestamptz
);
-- The next tick of each schedule. What Python could not honour has a next_run that never comes, and its own in due_at.
CREATE INDEX cron_due ON chancy.cron ((CASE WHEN next_run < '9999-12-31 00:00:00+00' THEN next_run ELSE due_at END));

CREATE TABLE chancy.workflows (
    id         uuid        PRIMARY KEY,
    name       text        NOT NULL,
    state      text        NOT NULL,
    created_at timestamptz DEFAULT pg_catalog.now(),
    updated_at timestamptz DEFAULT pg_catalog.now()
);
CREATE INDEX workflows_state_idx ON chancy.workflows (state);

CREATE TABLE chancy.workflow_steps (
    id           serial      PRIMARY KEY,
    workflow_id  uuid        REFERENCES chancy.workflows (id) ON DELETE CASCADE,
    step_id      text        NOT NULL,
    job_data     jsonb       NOT NULL,
    dependencies jsonb       NOT NULL,
    job_id       uuid,
    created_at   timestamptz DEFAULT pg_catalog.now(),
    updated_at   timestamptz DEFAULT pg_catalog.now()
);
CREATE UNIQUE INDEX workflow_steps_unique_idx ON chancy.workflow_steps (workflow_id, step_id);

CREATE TABLE chancy.metrics (
    metric_key  varchar(255)  NOT NULL,
    resolution  varchar(10)   NOT NULL,
    worker_id   varchar(255)  NOT NULL,
    timestamps  timestamptz[] NOT NULL,
    values      jsonb[]       NOT NULL,
    metric_type varchar(20)   NOT NULL,
    updated_at  timestamptz   NOT NULL DEFAULT pg_catalog.now(),
    metadata    jsonb         NOT NULL DEFAULT '{}',
    PRIMARY KEY (metric_key, resolution, worker_id)
);
CREATE INDEX metrics_updated_idx ON chancy.metrics (updated_at);

CREATE TABLE chancy.schema_version (
    version_of varchar(255) PRIMARY KEY,
    version    integer      NOT NULL
);
INSERT INTO chancy.schema_version
VALUES ('chancy', 6), ('cron', 2), ('workflow', 2), ('metrics', 1);

SELECT pg_catalog.pg_extension_config_dump('chancy.jobs', '');
SELECT pg_catalog.pg_extension_config_dump('chancy.queues', '');
SELECT pg_catalog.pg_extension_config_dump('chancy.cron', '');
SELECT pg_catalog.pg_extension_config_dump('chancy.workflows', '');
SELECT pg_catalog.pg_extension_config_dump('chancy.workflow_steps', '');
SELECT pg_catalog.pg_extension_config_dump('chancy.workflow_steps_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('chancy.metrics', '');
SELECT pg_catalog.pg_extension_config_dump('chancy.schema_version',
    $$WHERE version_of NOT IN ('chancy', 'cron', 'workflow', 'metrics')$$);

COMMENT ON TABLE chancy.jobs IS 'Every job, live and finished. Written by the functions of this schema only';
COMMENT ON COLUMN chancy.jobs.id IS 'Chancy''s time-ordered uuid; id_time() tells the time in it';
COMMENT ON COLUMN chancy.jobs.state IS 'pending, running, retrying, succeeded or failed (cancelled is failed)';
COMMENT ON COLUMN chancy.jobs.priority IS 'Higher runs first';
COMMENT ON COLUMN chancy.jobs.attempts IS 'Finished runs';
COMMENT ON COLUMN chancy.jobs.started_at IS 'With taken_by the fencing token of an attempt: strictly rises with each claim';
COMMENT ON COLUMN chancy.jobs.unique_key IS 'At most one live job per key, over all queues';
COMMENT ON COLUMN chancy.jobs.errors IS 'Array of {"attempt": from 0, "traceback": text}';
COMMENT ON COLUMN chancy.jobs.recoveries IS 'How often in a row a worker died with this job';
COMMENT ON COLUMN chancy.jobs.result IS 'What the handler returned';
COMMENT ON COLUMN chancy.jobs.concurrency_key IS 'Whose share of the queue the job takes: see queues.max_running_per_key';
COMMENT ON COLUMN chancy.jobs.rerun IS 'Pushed with on_conflict rerun: a claim that passes by such pushers runs the job once more';
COMMENT ON COLUMN chancy.jobs.next_run IS 'What is to run when this job has ended, as push takes it; without func: the same once more';
COMMENT ON COLUMN chancy.jobs.unique_until IS 'Until then unique_key is taken, even if the job has ended';
COMMENT ON COLUMN chancy.jobs.raised_at IS 'When reprioritize raised its priority last';
COMMENT ON TABLE chancy.queues IS 'Declared queues and their settings';
COMMENT ON COLUMN chancy.queues.max_running IS 'At most so many jobs of the queue run at once, over all workers';
COMMENT ON COLUMN chancy.queues.max_running_per_key IS 'At most so many jobs of one concurrency_key run at once; keys take turns';
COMMENT ON COLUMN chancy.queues.rate_limit_burst IS 'At most so many starts at once (a token bucket); NULL: fixed windows';
COMMENT ON TABLE chancy.workers IS 'Workers that announced themselves and have not expired';
COMMENT ON COLUMN chancy.workers.owner IS 'The role that announced the worker; NULL: a Python worker';
COMMENT ON TABLE chancy.leader IS 'Leadership among Python workers';
COMMENT ON TABLE chancy.queue_rate_limits IS 'Jobs fetched in the current window of a rate-limited queue';
COMMENT ON COLUMN chancy.queue_rate_limits.full_at IS 'When the token bucket of the queue is full again';
COMMENT ON TABLE chancy.cron IS 'Schedules. Written by the functions of this schema, and by Chancy''s Python plugin';
COMMENT ON COLUMN chancy.cron.next_run IS 'The next tick; 9999-12-31: Python is not to run it, due_at tells the tick';
COMMENT ON COLUMN chancy.cron.push IS 'The job as push takes it, where job cannot hold it all';
COMMENT ON COLUMN chancy.cron.due_at IS 'The next tick where next_run is 9999-12-31; NULL while paused';
COMMENT ON TABLE chancy.workflows IS 'Workflows';
COMMENT ON TABLE chancy.workflow_steps IS 'Steps of workflows';
COMMENT ON TABLE chancy.metrics IS 'History of metrics, newest first';
COMMENT ON TABLE chancy.schema_version IS 'Schema versions as Python Chancy reads them';
COMMENT ON SEQUENCE chancy.leader_id_seq IS 'Unused ids of leader';
COMMENT ON SEQUENCE chancy.workflow_steps_id_seq IS 'Ids of workflow_steps';
