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
    on_conflict text DEFAULT 'keep',
    concurrency_key text DEFAULT NULL,
    unique_for interval DEFAULT NULL)
RETURNS uuid LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_push';
COMMENT ON FUNCTION chancy.push(text, jsonb, text, integer, integer, timestamptz, text, jsonb, jsonb, text, text, interval) IS
'Pushes one job; returns its id, or the id of the job that has unique_key. on_conflict: keep, replace, reject, rerun; unique_for: for so long after it is due the key is taken, after the job''s end too';

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
