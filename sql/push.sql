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
