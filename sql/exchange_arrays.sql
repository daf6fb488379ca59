-- exchange_arrays: exchange for clients that send typed arrays. extension/exchange_arrays.cpp

CREATE FUNCTION chancy.exchange_arrays(
    worker_id text,
    queue text,
    up_to integer,
    id uuid[] DEFAULT NULL,
    started_at timestamptz[] DEFAULT NULL,
    outcome text[] DEFAULT NULL,
    error text[] DEFAULT NULL,
    retry_at timestamptz[] DEFAULT NULL,
    meta jsonb[] DEFAULT NULL,
    result jsonb[] DEFAULT NULL,
    on_locked text DEFAULT 'skip')
RETURNS TABLE (kind text, ord integer, reason text, passed integer,
    job_id uuid, job_queue text, func text, kwargs jsonb, limits jsonb, job_meta jsonb, priority integer, attempts integer, max_attempts integer,
    created_at timestamptz, job_started_at timestamptz, scheduled_at timestamptz, unique_key text, errors jsonb, recoveries integer,
    concurrency_key text)
LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_exchange_arrays';
COMMENT ON FUNCTION chancy.exchange_arrays(text, text, integer, uuid[], timestamptz[], text[], text[], timestamptz[], jsonb[], jsonb[], text) IS
'exchange from an array for each field of an update: as many elements as updates, or one for all. A row of kind job has the columns that its worker needs';
