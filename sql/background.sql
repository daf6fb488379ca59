-- background: the optional background worker, which calls maintain(). extension/launcher.cpp

CREATE FUNCTION chancy.wake_maintenance()
RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_wake_maintenance';
COMMENT ON FUNCTION chancy.wake_maintenance() IS
'Asks the background worker, at commit, to look at this database now; does nothing where chancy is not in shared_preload_libraries';
-- The database has the extension from now on.
SELECT chancy.wake_maintenance();
