DROP FUNCTION chancy.push(text, jsonb, text, integer, integer, timestamptz, text, jsonb, jsonb, text);
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
    on_conflict text DEFAULT 'keep',
    concurrency_key text DEFAULT NULL,
    unique_for interval DEFAULT NULL)
RETURNS uuid LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_push';
COMMENT ON FUNCTION chancy.push(text, jsonb, text, integer, integer, timestamptz, text, jsonb, jsonb, text, text, interval) IS
'Pushes one job; returns its id, or the id of the job that has unique_key. on_conflict: keep, replace, reject, rerun; unique_for: for so long after it is due the key is taken, after the job''s end too';
