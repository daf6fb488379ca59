-- Columns of concurrency limits and of token buckets; jobs_running begins with the queue.
ALTER TABLE chancy.jobs ADD COLUMN concurrency_key text COLLATE "C";
DROP INDEX chancy.jobs_running;
CREATE INDEX jobs_running ON chancy.jobs (queue, taken_by) WHERE state = 'running';
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
