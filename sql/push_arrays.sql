-- push_arrays: push_many for clients that send typed arrays. extension/push_arrays.cpp

CREATE FUNCTION chancy.push_arrays(
    func text[],
    kwargs jsonb DEFAULT NULL,
    queue text[] DEFAULT NULL,
    priority integer[] DEFAULT NULL,
    max_attempts integer[] DEFAULT NULL,
    scheduled_at timestamptz[] DEFAULT NULL,
    unique_key text[] DEFAULT NULL,
    limits jsonb[] DEFAULT NULL,
    meta jsonb[] DEFAULT NULL,
    on_conflict text[] DEFAULT NULL,
    concurrency_key text[] DEFAULT NULL,
    unique_for interval[] DEFAULT NULL)
RETURNS TABLE (ids uuid[], created boolean[]) LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_push_arrays';
COMMENT ON FUNCTION chancy.push_arrays(text[], jsonb, text[], integer[], integer[], timestamptz[], text[], jsonb[], jsonb[], text[], text[], interval[]) IS
'push_many from an array for each of push''s parameters: as many elements as jobs, or one for all; NULL means its default. kwargs: an array of objects, or one object for all. One row, in input order';
