-- leadership: for Python's plugins. extension/leadership.cpp

CREATE FUNCTION chancy.acquire_leadership(worker_id text, ttl interval)
RETURNS boolean LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_acquire_leadership';
COMMENT ON FUNCTION chancy.acquire_leadership(text, interval) IS
'Makes the worker the leader for ttl (1 s to 1 day), or renews that; false while another one leads. The server''s clock decides';

CREATE FUNCTION chancy.release_leadership(worker_id text)
RETURNS boolean LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_release_leadership';
COMMENT ON FUNCTION chancy.release_leadership(text) IS 'Ends the worker''s leadership; false when it did not lead';
