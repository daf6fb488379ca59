-- interop: Python Chancy's own clients and workers on these tables. extension/interop.cpp

CREATE FUNCTION chancy.python_guard()
RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_python_guard';
COMMENT ON FUNCTION chancy.python_guard() IS
'Trigger function: turns away results of attempts that are over, while Python''s channel is on; never an error';

CREATE FUNCTION chancy.python_wake()
RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_python_wake';
COMMENT ON FUNCTION chancy.python_wake() IS
'Trigger function: tells this extension''s workers of jobs that Python inserted, while Python''s channel is on';

-- Always there, since a dump does not keep triggers of an extension's table; whether they do anything stands in
-- event_channels, which it keeps. The functions of this schema write past triggers.
CREATE TRIGGER chancy_guard BEFORE UPDATE OF state ON chancy.jobs
FOR EACH ROW EXECUTE FUNCTION chancy.python_guard();
COMMENT ON TRIGGER chancy_guard ON chancy.jobs IS
'Keeps jobs against stale results of Python workers, once enable_python_interop() has been called';

CREATE TRIGGER chancy_wake AFTER INSERT ON chancy.jobs
FOR EACH ROW WHEN (NEW.state IN ('pending', 'retrying') AND NEW.scheduled_at <= clock_timestamp())
EXECUTE FUNCTION chancy.python_wake();
COMMENT ON TRIGGER chancy_wake ON chancy.jobs IS
'Wakes workers for jobs that Python inserts, once enable_python_interop() has been called';

CREATE FUNCTION chancy.enable_python_interop(role regrole DEFAULT NULL)
RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_enable_python_interop';
COMMENT ON FUNCTION chancy.enable_python_interop(regrole) IS
'Sends events on Python''s channel too and guards jobs against stale Python results; role: gets what a Python client needs';

CREATE FUNCTION chancy.disable_python_interop()
RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_disable_python_interop';
COMMENT ON FUNCTION chancy.disable_python_interop() IS
'Undoes enable_python_interop: the channel, the guard, and what the roles were given';

CREATE FUNCTION chancy.interop_status(OUT enabled boolean, OUT roles text[])
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT EXISTS (SELECT FROM chancy.event_channels c WHERE c.channel = 'events'),
           ARRAY(SELECT a.grantee::regrole::text
                 FROM pg_namespace n, aclexplode(n.nspacl) a
                 WHERE n.nspname = 'chancy_client' AND a.privilege_type = 'CREATE' AND a.grantee <> n.nspowner
                 ORDER BY a.grantee::regrole::text COLLATE "C");
END;
COMMENT ON FUNCTION chancy.interop_status() IS
'Whether enable_python_interop() is in force, and the roles that it was given';
