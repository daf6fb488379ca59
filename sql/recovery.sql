-- recovery: jobs whose worker is gone run again. extension/recovery.cpp

CREATE FUNCTION chancy.recover_jobs(
    max_recoveries integer DEFAULT 3, grace interval DEFAULT '90 s', up_to integer DEFAULT 1000)
RETURNS TABLE (recovered integer, failed integer) LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_recover_jobs';
COMMENT ON FUNCTION chancy.recover_jobs(integer, interval, integer) IS
'Makes running jobs of expired workers pending again; one that was recovered max_recoveries times fails. Never waits';
