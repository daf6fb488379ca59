ALTER TABLE chancy.jobs SET (fillfactor = 70);
ALTER INDEX chancy.jobs_pkey SET (fillfactor = 45);
-- Columns of concurrency limits and of token buckets; jobs_running begins with the queue.
ALTER TABLE chancy.jobs ADD COLUMN concurrency_key text COLLATE "C";
DROP INDEX chancy.jobs_running;
CREATE INDEX jobs_running ON chancy.jobs (queue, taken_by) WHERE state = 'running';
CREATE INDEX jobs_failed ON chancy.jobs (id) WHERE state = 'failed';
CREATE INDEX jobs_fetch_key ON chancy.jobs (queue, priority DESC, concurrency_key, id)
    WHERE concurrency_key IS NOT NULL AND state IN ('pending', 'retrying');
ALTER TABLE chancy.queues
    ADD COLUMN max_running integer CHECK (max_running > 0),
    ADD COLUMN max_running_per_key integer CHECK (max_running_per_key > 0),
    ADD COLUMN rate_limit_burst integer CHECK (rate_limit_burst > 0);
ALTER TABLE chancy.queue_rate_limits ADD COLUMN full_at timestamptz;
COMMENT ON COLUMN chancy.jobs.concurrency_key IS 'Whose share of the queue the job takes: see queues.max_running_per_key';
COMMENT ON COLUMN chancy.queues.max_running IS 'At most so many jobs of the queue run at once, over all workers';
COMMENT ON COLUMN chancy.queues.max_running_per_key IS 'At most so many jobs of one concurrency_key run at once; keys take turns';
COMMENT ON COLUMN chancy.queues.rate_limit_burst IS 'At most so many starts at once (a token bucket); NULL: fixed windows';
COMMENT ON COLUMN chancy.queue_rate_limits.full_at IS 'When the token bucket of the queue is full again';
-- tables: columns of uniqueness.
ALTER TABLE chancy.jobs
    ADD COLUMN rerun boolean,
    ADD COLUMN next_run jsonb,
    ADD COLUMN unique_until timestamptz,
    ADD COLUMN raised_at timestamptz;
CREATE INDEX jobs_next_run ON chancy.jobs (id) WHERE next_run IS NOT NULL;
CREATE INDEX jobs_unique_until ON chancy.jobs (unique_key, unique_until DESC) WHERE unique_until IS NOT NULL;
COMMENT ON COLUMN chancy.jobs.rerun IS 'Pushed with on_conflict rerun: a claim that passes by such pushers runs the job once more';
COMMENT ON COLUMN chancy.jobs.next_run IS 'What is to run when this job has ended, as push takes it; without func: the same once more';
COMMENT ON COLUMN chancy.jobs.unique_until IS 'Until then unique_key is taken, even if the job has ended';
COMMENT ON COLUMN chancy.jobs.raised_at IS 'When reprioritize raised its priority last';
ALTER TABLE chancy.cron
    ADD COLUMN time_zone text,
    ADD COLUMN missed text,
    ADD COLUMN grace interval,
    ADD COLUMN skipped_times text,
    ADD COLUMN repeated_times text,
    ADD COLUMN overlap boolean,
    ADD COLUMN paused boolean,
    ADD COLUMN push jsonb,
    ADD COLUMN due_at timestamptz;
CREATE INDEX cron_due ON chancy.cron ((CASE WHEN next_run < '9999-12-31 00:00:00+00' THEN next_run ELSE due_at END));
COMMENT ON TABLE chancy.cron IS 'Schedules. Written by the functions of this schema, and by Chancy''s Python plugin';
COMMENT ON COLUMN chancy.cron.next_run IS 'The next tick; 9999-12-31: Python is not to run it, due_at tells the tick';
COMMENT ON COLUMN chancy.cron.push IS 'The job as push takes it, where job cannot hold it all';
COMMENT ON COLUMN chancy.cron.due_at IS 'The next tick where next_run is 9999-12-31; NULL while paused';
