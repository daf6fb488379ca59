-- holder: who holds what back. Whoever looks need not be a member of pg_read_all_stats; a statement's text is for its members,
-- and for the session's own role. extension/holder.cpp

CREATE FUNCTION chancy.list_holders()
RETURNS TABLE (kind text, pid integer, name text, role text, application text, state text, since timestamptz, age bigint,
    locks text[], blocks integer[])
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH held AS (
        SELECT l.pid, array_agg(DISTINCT c.relname || ' ' || l.mode ORDER BY c.relname || ' ' || l.mode) AS locks
        FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
        WHERE l.granted AND l.locktype = 'relation' AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
            AND c.relnamespace = 'chancy'::regnamespace AND c.relkind = 'r'
        GROUP BY l.pid
    ), waits AS (
        SELECT b.pid, array_agg(DISTINCT w.pid ORDER BY w.pid) AS blocked
        FROM (SELECT l.pid FROM pg_locks l WHERE NOT l.granted) AS w, LATERAL unnest(pg_blocking_pids(w.pid)) AS b (pid)
        GROUP BY b.pid
    )
    SELECT 'session', a.pid, NULL, a.usename::text, a.application_name, a.state, a.xact_start, age(a.backend_xmin)::bigint,
        coalesce(h.locks, '{}'), coalesce(w.blocked, '{}')
    FROM pg_stat_activity a LEFT JOIN held h ON h.pid = a.pid LEFT JOIN waits w ON w.pid = a.pid
    WHERE a.pid <> pg_backend_pid() AND a.datname = current_database()
        AND (a.backend_xmin IS NOT NULL OR h.pid IS NOT NULL OR w.pid IS NOT NULL)
    UNION ALL
    SELECT 'prepared', NULL, p.gid, p.owner::text, NULL, NULL, p.prepared, age(p.transaction)::bigint, '{}', '{}'
    FROM pg_prepared_xacts p WHERE p.database = current_database()
    UNION ALL
    SELECT 'slot', s.active_pid, s.slot_name::text, NULL, NULL, CASE WHEN s.active THEN 'active' ELSE 'inactive' END, NULL,
        greatest(age(s.xmin), age(s.catalog_xmin))::bigint, '{}', '{}'
    FROM pg_replication_slots s WHERE s.xmin IS NOT NULL OR s.catalog_xmin IS NOT NULL
    ORDER BY 8 DESC NULLS LAST, 7 NULLS LAST;
END;
COMMENT ON FUNCTION chancy.list_holders() IS
'Who keeps dead rows from being removed (age: of the snapshot, in transactions), holds locks on the tables or blocks others; the oldest snapshot first';

CREATE FUNCTION chancy.held_jobs(queue text DEFAULT NULL)
RETURNS TABLE (queue text, transaction xid, pid integer, jobs integer, looked_at integer, due_since timestamptz)
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'chancy_held_jobs';
COMMENT ON FUNCTION chancy.held_jobs(text) IS
'Transactions that hold rows of due jobs, which fetches therefore pass by: how many of the first 1000 due jobs of each queue (looked_at); pid NULL: a prepared one';

CREATE FUNCTION chancy.list_held_jobs(queue text DEFAULT NULL)
RETURNS TABLE (queue text, jobs integer, looked_at integer, due_since timestamptz, pid integer, name text, role text, application text,
    state text, since timestamptz, query text)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT h.queue, h.jobs, h.looked_at, h.due_since, h.pid, p.gid, coalesce(a.usename, p.owner)::text, a.application_name, a.state,
        coalesce(a.xact_start, p.prepared),
        CASE WHEN pg_has_role(c.caller, 'pg_read_all_stats', 'USAGE') OR pg_has_role(c.caller, a.usesysid, 'USAGE') THEN a.query END
    FROM chancy.held_jobs(list_held_jobs.queue) h
    CROSS JOIN (SELECT CASE current_setting('role') WHEN 'none' THEN session_user ELSE current_setting('role')::name END AS caller) c
    LEFT JOIN pg_stat_activity a ON a.pid = h.pid
    LEFT JOIN pg_prepared_xacts p ON h.pid IS NULL AND p.transaction = h.transaction
    ORDER BY 10 NULLS LAST, 1, 5;
END;
COMMENT ON FUNCTION chancy.list_held_jobs(text) IS
'The sessions behind held_jobs(), those longest in their transaction first; name: of a prepared transaction; query: what the session ran last, for members of pg_read_all_stats and its own role';

CREATE FUNCTION chancy.list_tables()
RETURNS TABLE (name text, bytes bigint, index_bytes bigint, live bigint, dead bigint, last_vacuum timestamptz, last_analyze timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT s.relname::text, pg_table_size(s.relid), pg_indexes_size(s.relid), s.n_live_tup, s.n_dead_tup,
        greatest(s.last_vacuum, s.last_autovacuum), greatest(s.last_analyze, s.last_autoanalyze)
    FROM pg_stat_all_tables s WHERE s.schemaname = 'chancy' ORDER BY pg_total_relation_size(s.relid) DESC, s.relname;
END;
COMMENT ON FUNCTION chancy.list_tables() IS
'The size of each table of the schema, and how many of its rows are live and dead by the server''s statistics; the largest first';
