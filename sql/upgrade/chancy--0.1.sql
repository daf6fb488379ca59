\echo Use "CREATE EXTENSION chancy" to load this file. \quit
-- Tables: columns and meanings of Chancy 0.25, so that its Python code works on them.
-- Text that is compared is COLLATE "C": one byte order for index, sort and lock order, whatever
-- the database's collation, and no index to rebuild when the C library changes its tables.

CREATE TABLE chancy.jobs (
    id            uuid         PRIMARY KEY,
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
    result        jsonb
);
-- The fetch order itself: a fetch walks it from the front and never sorts the backlog.
CREATE INDEX jobs_fetch ON chancy.jobs (queue, priority DESC, id)
    WHERE state IN ('pending', 'retrying');
-- The slot of a key: whoever has an entry here is the live job of the key. Chancy's predicate, word
-- for word: its ON CONFLICT infers this index.
CREATE UNIQUE INDEX jobs_unique_key ON chancy.jobs (unique_key)
    WHERE unique_key IS NOT NULL AND state NOT IN ('succeeded', 'failed');
-- running_jobs, recovery and delete_queue look only at running jobs, however long the history.
CREATE INDEX jobs_running ON chancy.jobs (taken_by) WHERE state = 'running';

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
    eager_polling     boolean     NOT NULL DEFAULT false
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
    count        integer      NOT NULL DEFAULT 0
);

CREATE TABLE chancy.cron (
    unique_key text        COLLATE "C" PRIMARY KEY,
    job        jsonb       NOT NULL,
    cron       text        NOT NULL,
    last_run   timestamptz,
    next_run   timestamptz NOT NULL
);

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
COMMENT ON TABLE chancy.queues IS 'Declared queues and their settings';
COMMENT ON TABLE chancy.workers IS 'Workers that announced themselves and have not expired';
COMMENT ON COLUMN chancy.workers.owner IS 'The role that announced the worker; NULL: a Python worker';
COMMENT ON TABLE chancy.leader IS 'Leadership among Python workers';
COMMENT ON TABLE chancy.queue_rate_limits IS 'Jobs fetched in the current window of a rate-limited queue';
COMMENT ON TABLE chancy.cron IS 'Schedules';
COMMENT ON TABLE chancy.workflows IS 'Workflows';
COMMENT ON TABLE chancy.workflow_steps IS 'Steps of workflows';
COMMENT ON TABLE chancy.metrics IS 'History of metrics, newest first';
COMMENT ON TABLE chancy.schema_version IS 'Schema versions as Python Chancy reads them';
COMMENT ON SEQUENCE chancy.leader_id_seq IS 'Unused ids of leader';
COMMENT ON SEQUENCE chancy.workflow_steps_id_seq IS 'Ids of workflow_steps';
-- cancel: end live jobs. extension/cancel.cpp

CREATE FUNCTION chancy.cancel_job(id uuid)
RETURNS boolean LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_cancel_job';
COMMENT ON FUNCTION chancy.cancel_job(uuid) IS
'Ends a live job as failed, with an error entry; its key is free at once; false when missing or finished';

CREATE FUNCTION chancy.cancel_jobs(ids uuid[])
RETURNS TABLE (ord integer, id uuid, cancelled boolean)
LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_cancel_jobs';
COMMENT ON FUNCTION chancy.cancel_jobs(uuid[]) IS
'cancel_job for up to 100,000 jobs; one row each, in input order';
-- event: what NOTIFY tells, and where. extension/event.cpp

CREATE TABLE chancy.event_channels (
    channel text COLLATE "C" PRIMARY KEY CHECK (octet_length(channel) BETWEEN 1 AND 63)
);
INSERT INTO chancy.event_channels VALUES ('chancy_events');
COMMENT ON TABLE chancy.event_channels IS 'The NOTIFY channels that events are sent on';
SELECT pg_catalog.pg_extension_config_dump('chancy.event_channels', $$WHERE channel <> 'chancy_events'$$);

CREATE UNLOGGED TABLE chancy.watches (
    job_id uuid        PRIMARY KEY,
    until  timestamptz NOT NULL
);
COMMENT ON TABLE chancy.watches IS 'Jobs that somebody waits for: their end is told by an event';

CREATE FUNCTION chancy.event_channel()
RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT 'chancy_events'::text;
END;
COMMENT ON FUNCTION chancy.event_channel() IS 'The channel to LISTEN on for this database''s events';

CREATE FUNCTION chancy.watch_jobs(ids uuid[], for_time interval DEFAULT '60 s')
RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_watch_jobs';
COMMENT ON FUNCTION chancy.watch_jobs(uuid[], interval) IS
'Asks for a job.finished event when one of these jobs ends within for_time (1 s to 1 day); commit, then look at the job, then wait';
-- fetch: claim waiting jobs, and look at jobs. extension/fetch.cpp

CREATE FUNCTION chancy.fetch_jobs(queue text, worker_id text, up_to integer DEFAULT 1)
RETURNS SETOF chancy.jobs LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_fetch_jobs';
COMMENT ON FUNCTION chancy.fetch_jobs(text, text, integer) IS
'Claims up to up_to due jobs of the queue for the worker, in (priority DESC, id) order; never waits';

CREATE FUNCTION chancy.running_jobs(worker_id text)
RETURNS SETOF chancy.jobs LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'chancy_running_jobs';
COMMENT ON FUNCTION chancy.running_jobs(text) IS
'The jobs that the server believes the worker is running, by id; of queues that the caller may work only';

CREATE FUNCTION chancy.get_job(id uuid)
RETURNS chancy.jobs LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT j FROM chancy.jobs j WHERE j.id = get_job.id;
END;
COMMENT ON FUNCTION chancy.get_job(uuid) IS 'The job with this id; a row of NULLs when there is none';

CREATE FUNCTION chancy.get_jobs(ids uuid[])
RETURNS SETOF chancy.jobs LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT j FROM unnest(get_jobs.ids) WITH ORDINALITY AS i (id, ord)
    JOIN chancy.jobs j ON j.id = i.id ORDER BY i.ord;
END;
COMMENT ON FUNCTION chancy.get_jobs(uuid[]) IS 'The jobs with these ids, in the order of the ids; missing ones are left out';

CREATE FUNCTION chancy.get_live_job(unique_key text)
RETURNS chancy.jobs LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT j FROM chancy.jobs j
    WHERE j.unique_key = get_live_job.unique_key AND j.state NOT IN ('succeeded', 'failed');
END;
COMMENT ON FUNCTION chancy.get_live_job(text) IS 'The live job of the key; a row of NULLs when there is none';

CREATE FUNCTION chancy.list_jobs(
    queue text DEFAULT NULL,
    state text DEFAULT NULL,
    func text DEFAULT NULL,
    after uuid DEFAULT NULL,
    up_to integer DEFAULT 100)
RETURNS SETOF chancy.jobs LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'chancy_list_jobs';
COMMENT ON FUNCTION chancy.list_jobs(text, text, text, uuid, integer) IS
'Jobs by descending id, filtered; after is the last id of the page before; up_to 1 to 100,000';
-- maintenance: what has to be done from time to time, by whoever calls. extension/maintenance.cpp

CREATE TABLE chancy.tasks (
    name     text     COLLATE "C" PRIMARY KEY CHECK (name IN ('recovery', 'pruner', 'workers')),
    every    interval CHECK (every >= '1 s'),
    enabled  boolean,
    settings jsonb    NOT NULL DEFAULT '{}'
);
COMMENT ON TABLE chancy.tasks IS
'What is set otherwise than by default for a task of maintain(); NULL means the default';
SELECT pg_catalog.pg_extension_config_dump('chancy.tasks', '');

CREATE UNLOGGED TABLE chancy.task_runs (
    name     text        COLLATE "C" PRIMARY KEY,
    last_run timestamptz NOT NULL
);
COMMENT ON TABLE chancy.task_runs IS
'When each task ran last; up: since when this table (and workers, unlogged too) has not been emptied by a crash';

CREATE FUNCTION chancy.maintain()
RETURNS TABLE (task text, did jsonb) LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_maintain';
COMMENT ON FUNCTION chancy.maintain() IS
'Runs the tasks that are due and that nobody else is running, and tells what each did; never waits';
-- pruner: delete finished jobs. extension/pruner.cpp

CREATE FUNCTION chancy.prune_jobs(rule jsonb, up_to integer DEFAULT 10000)
RETURNS integer LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_prune_jobs';
COMMENT ON FUNCTION chancy.prune_jobs(jsonb, integer) IS
'Deletes up to up_to finished jobs that match the rule: {"age": interval}, {"queue"|"func"|"state": text or array}, {"keep": n per queue}, {"and"|"or": [rules]}, {"not": rule}; never waits';
-- push: bring jobs in. extension/push.cpp

CREATE FUNCTION chancy.push(
    func text,
    kwargs jsonb DEFAULT '{}',
    queue text DEFAULT 'default',
    priority integer DEFAULT 0,
    max_attempts integer DEFAULT 1,
    scheduled_at timestamptz DEFAULT pg_catalog.now(),
    unique_key text DEFAULT NULL,
    limits jsonb DEFAULT '[]',
    meta jsonb DEFAULT '{}',
    on_conflict text DEFAULT 'keep')
RETURNS uuid LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_push';
COMMENT ON FUNCTION chancy.push(text, jsonb, text, integer, integer, timestamptz, text, jsonb, jsonb, text) IS
'Pushes one job; returns its id, or the id of the live job that already has unique_key';

CREATE FUNCTION chancy.push_many(jobs jsonb)
RETURNS TABLE (ord integer, id uuid, created boolean)
LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_push_many';
COMMENT ON FUNCTION chancy.push_many(jsonb) IS
'Pushes up to 100,000 jobs, objects with push''s parameter names as keys; one row each, in input order';

CREATE FUNCTION chancy.id_time(id uuid)
RETURNS timestamptz LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'chancy_id_time';
COMMENT ON FUNCTION chancy.id_time(uuid) IS
'The time in a job''s id (Chancy''s layout: 100 ns ticks since 1970); NULL for another kind of uuid';

CREATE FUNCTION chancy.push_at_commit(jobs jsonb)
RETURNS TABLE (ord integer, id uuid) LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_push_at_commit';
COMMENT ON FUNCTION chancy.push_at_commit(jsonb) IS
'push_many at commit, whatever chancy.push_mode says; the ids are reserved: pushed() tells what became of them';

CREATE FUNCTION chancy.pushed()
RETURNS TABLE (ord integer, reserved uuid, id uuid, created boolean)
LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_pushed';
COMMENT ON FUNCTION chancy.pushed() IS
'What this connection''s last commit that pushed made of its reserved ids, in the order of the pushes; id NULL: withdrawn';

CREATE FUNCTION chancy.flush()
RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_flush';
COMMENT ON FUNCTION chancy.flush() IS
'Makes the buffered writes of this transaction now; 40001 where it would have to wait while it holds locks of the queue';
-- queue: declare, list, pause, resume, delete. extension/queue.cpp

CREATE FUNCTION chancy.declare_queue(
    name text,
    state text DEFAULT 'active',
    concurrency integer DEFAULT NULL,
    tags text[] DEFAULT '{.*}',
    executor text DEFAULT 'chancy.executors.process.ProcessExecutor',
    executor_options jsonb DEFAULT '{}',
    polling_interval integer DEFAULT 5,
    rate_limit integer DEFAULT NULL,
    rate_limit_window integer DEFAULT NULL,
    resume_at timestamptz DEFAULT NULL,
    eager_polling boolean DEFAULT false,
    upsert boolean DEFAULT false)
RETURNS chancy.queues LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_declare_queue';
COMMENT ON FUNCTION chancy.declare_queue(text, text, integer, text[], text, jsonb, integer, integer, integer, timestamptz, boolean, boolean) IS
'Declares a queue and returns its row; an existing one is returned as it is, or overwritten with upsert';

CREATE FUNCTION chancy.list_queues()
RETURNS SETOF chancy.queues LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT q FROM chancy.queues q ORDER BY q.name;
END;
COMMENT ON FUNCTION chancy.list_queues() IS 'All declared queues, by name';

CREATE FUNCTION chancy.pause_queue(name text, resume_at timestamptz DEFAULT NULL)
RETURNS boolean LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_pause_queue';
COMMENT ON FUNCTION chancy.pause_queue(text, timestamptz) IS
'Nothing is fetched from the queue until resume_queue, or until resume_at; false when there is no such queue';

CREATE FUNCTION chancy.resume_queue(name text)
RETURNS boolean LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_resume_queue';
COMMENT ON FUNCTION chancy.resume_queue(text) IS 'Ends a pause; false when there is no such queue';

CREATE FUNCTION chancy.delete_queue(name text, purge_jobs boolean DEFAULT true)
RETURNS boolean LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_delete_queue';
COMMENT ON FUNCTION chancy.delete_queue(text, boolean) IS
'Deletes a queue, and with purge_jobs all its jobs; refused (55006) while one of them runs or is held';
-- recovery: jobs whose worker is gone run again. extension/recovery.cpp

CREATE FUNCTION chancy.recover_jobs(
    max_recoveries integer DEFAULT 3, grace interval DEFAULT '90 s', up_to integer DEFAULT 1000)
RETURNS TABLE (recovered integer, failed integer) LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_recover_jobs';
COMMENT ON FUNCTION chancy.recover_jobs(integer, interval, integer) IS
'Makes running jobs of expired workers pending again; one that was recovered max_recoveries times fails. Never waits';
-- retry: run finished jobs again. extension/retry.cpp

CREATE FUNCTION chancy.retry_job(id uuid)
RETURNS boolean LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_retry_job';
COMMENT ON FUNCTION chancy.retry_job(uuid) IS
'Makes a finished job pending again, attempts 0, errors kept; false when missing, unfinished, or its key is live';
-- role: who may do what. extension/role.cpp

CREATE TABLE chancy.grants (
    role   regrole NOT NULL,
    kind   text    COLLATE "C" NOT NULL CHECK (kind IN ('producer', 'worker', 'admin')),
    queues text[],
    PRIMARY KEY (role, kind)
);
COMMENT ON TABLE chancy.grants IS 'What grant_producer, grant_worker and grant_admin gave; queues NULL means all';
SELECT pg_catalog.pg_extension_config_dump('chancy.grants', '');

CREATE FUNCTION chancy.grant_producer(role regrole, queues text[] DEFAULT NULL)
RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_grant_producer';
COMMENT ON FUNCTION chancy.grant_producer(regrole, text[]) IS
'Lets the role push, to these queues only if given, and read nothing';

CREATE FUNCTION chancy.grant_worker(role regrole, queues text[] DEFAULT NULL)
RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_grant_worker';
COMMENT ON FUNCTION chancy.grant_worker(regrole, text[]) IS
'Lets the role fetch and write results, of these queues only if given';

CREATE FUNCTION chancy.grant_admin(role regrole)
RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_grant_admin';
COMMENT ON FUNCTION chancy.grant_admin(regrole) IS
'Lets the role use every function, and read and write the tables';
-- update: write the results of attempts. extension/update.cpp

CREATE FUNCTION chancy.apply_updates(worker_id text, updates jsonb, on_locked text DEFAULT 'wait')
RETURNS TABLE (ord integer, id uuid, state text, applied boolean, reason text)
LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_apply_updates';
COMMENT ON FUNCTION chancy.apply_updates(text, jsonb, text) IS
'Writes results of the worker''s attempts, fenced by id and started_at; one row each, in input order';

CREATE FUNCTION chancy.exchange(
    worker_id text, updates jsonb, queue text, up_to integer, on_locked text DEFAULT 'skip')
RETURNS TABLE (kind text, ord integer, reason text, passed integer, job chancy.jobs)
LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_exchange';
COMMENT ON FUNCTION chancy.exchange(text, jsonb, text, integer, text) IS
'apply_updates, then fetch_jobs: rows of kind refused (ord, reason), passed (how many due jobs others held), job';
-- worker: announce, list, retire. extension/worker.cpp

CREATE FUNCTION chancy.heartbeat(
    worker_id text, tags text[], queues text[], timeout interval DEFAULT '90 s')
RETURNS timestamptz LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_heartbeat';
COMMENT ON FUNCTION chancy.heartbeat(text, text[], text[], interval) IS
'Announces or renews a worker and returns when it expires; its running jobs are recovered after that. timeout 1 s to 1 day';

CREATE FUNCTION chancy.retire_worker(worker_id text)
RETURNS boolean LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_retire_worker';
COMMENT ON FUNCTION chancy.retire_worker(text) IS 'Takes a worker off the list; false when it was not on it';

CREATE FUNCTION chancy.list_workers()
RETURNS SETOF chancy.workers LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT w FROM chancy.workers w ORDER BY w.worker_id;
END;
COMMENT ON FUNCTION chancy.list_workers() IS 'All announced workers, by worker_id';
-- Last: nothing of ours is for everybody; the grant functions give what a role needs.
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA chancy FROM PUBLIC;
