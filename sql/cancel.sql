-- cancel: end live jobs. extension/cancel.cpp

CREATE FUNCTION chancy.cancel_job(id uuid)
RETURNS boolean LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_cancel_job';
COMMENT ON FUNCTION chancy.cancel_job(uuid) IS
'Ends a live job as failed, with an error entry; its key is free at once; false when missing or finished';

CREATE FUNCTION chancy.cancel_jobs(ids uuid[])
RETURNS TABLE (ord integer, id uuid, cancelled boolean)
LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_cancel_jobs';
COMMENT ON FUNCTION chancy.cancel_jobs(uuid[]) IS
'cancel_job for up to 100,000 jobs; one row each, in input order';
