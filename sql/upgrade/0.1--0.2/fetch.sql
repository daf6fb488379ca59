DROP FUNCTION chancy.list_jobs(text, text, text, uuid, integer);
CREATE FUNCTION chancy.list_jobs(
    queue text DEFAULT NULL,
    state text DEFAULT NULL,
    func text DEFAULT NULL,
    after uuid DEFAULT NULL,
    up_to integer DEFAULT 100,
    since timestamptz DEFAULT NULL,
    before timestamptz DEFAULT NULL,
    unique_key text DEFAULT NULL)
RETURNS SETOF chancy.jobs LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'chancy_list_jobs';
COMMENT ON FUNCTION chancy.list_jobs(text, text, text, uuid, integer, timestamptz, timestamptz, text) IS
'Jobs by descending id, filtered; after is the last id of the page before; since and before bound the time in the id; up_to 1 to 100,000';
