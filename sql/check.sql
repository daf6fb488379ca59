-- check: what is wrong with this installation, and what to do. extension/role.cpp, extension/version.cpp

CREATE FUNCTION chancy.library_version()
RETURNS text LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'chancy_library_version';
COMMENT ON FUNCTION chancy.library_version() IS 'The version of the library that this connection has loaded';

CREATE FUNCTION chancy.kind_functions(kind text)
RETURNS text LANGUAGE c IMMUTABLE STRICT AS 'MODULE_PATHNAME', 'chancy_kind_functions';
COMMENT ON FUNCTION chancy.kind_functions(text) IS
'The functions that grant_producer, grant_worker and grant_reader give, with their arguments; NULL for an admin, who gets all';

-- As text, since it is to work, and can be replaced, while the rest of the schema is of another version.
-- Reads catalogs, statistics and the live jobs, never the history; calls nothing that a version drift refuses. A standby has no
-- unlogged tables, and refuses the plan that reads one: they are read in functions only, which are not called there.
CREATE FUNCTION chancy.check_installation(long interval DEFAULT '10 min')
RETURNS TABLE (finding text, severity text, what text, hint text)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    WITH server AS (
        SELECT pg_is_in_recovery() AS standby
    ), ours AS (
        SELECT c.oid, c.relname, c.reloptions FROM pg_class c WHERE c.relnamespace = 'chancy'::regnamespace AND c.relkind = 'r'
    ), indexes (name) AS (
        VALUES ('jobs_pkey'), ('jobs_fetch'), ('jobs_unique_key'), ('jobs_running'), ('jobs_failed'), ('jobs_fetch_key'), ('jobs_next_run'), ('jobs_unique_until')
    ), due AS (
        SELECT j.queue, count(*) AS jobs, min(j.scheduled_at) AS since FROM chancy.jobs j
        WHERE j.state IN ('pending', 'retrying') AND j.scheduled_at <= clock_timestamp() GROUP BY j.queue
    ), workers AS (
        SELECT w.* FROM chancy.list_workers() w WHERE (SELECT NOT s.standby FROM server s)
    ), tasks AS (
        SELECT t.* FROM chancy.list_tasks() t WHERE t.enabled AND (SELECT NOT s.standby FROM server s)
            AND (SELECT e.extversion = chancy.library_version() FROM pg_extension e WHERE e.extname = 'chancy')  -- else it is refused
    ), held AS (
        SELECT h.* FROM chancy.list_held_jobs() h WHERE h.since < clock_timestamp() - least(long, interval '10 s') AND (SELECT NOT s.standby FROM server s)
            AND (SELECT e.extversion = chancy.library_version() FROM pg_extension e WHERE e.extname = 'chancy')
    ), found (finding, severity, what, hint) AS (
        SELECT 'version', 'error', format('the library is of version %s, the extension in this database of version %s', chancy.library_version(), e.extversion),
            'ALTER EXTENSION chancy UPDATE; or connect again. Where the library is in shared_preload_libraries, restart the server.'
        FROM pg_extension e WHERE e.extname = 'chancy' AND e.extversion <> chancy.library_version()
        UNION ALL
        SELECT 'version', 'warning', format('version %s is on the server''s disk, %s in this database', a.default_version, a.installed_version),
            'ALTER EXTENSION chancy UPDATE.'
        FROM pg_available_extensions a WHERE a.name = 'chancy' AND a.default_version <> a.installed_version
        UNION ALL
        SELECT 'standby', l.severity, l.what, l.hint FROM server s CROSS JOIN LATERAL (VALUES
            ('notice', 'this server is a standby: what workers, tasks and the jobs without a worker are like, the primary knows',
                'Ask the primary, too, and run there what the other findings say. Clients find it by all hosts'' names and target_session_attrs=read-write.'),
            ('warning', CASE WHEN s.standby AND pg_is_wal_replay_paused() THEN 'replay is paused on this standby' END,
                'SELECT pg_wal_replay_resume(); at the target of a restore that ends recovery, so look before.'),
            ('warning', CASE WHEN NOT EXISTS (SELECT FROM pg_stat_wal_receiver) THEN 'the standby is not connected to its primary' END,
                'Its log says why: primary_conninfo, a slot that is gone, WAL that is gone. In a restore from an archive it is as it should be.'),
            ('warning', CASE WHEN pg_last_wal_receive_lsn() > pg_last_wal_replay_lsn() AND pg_last_xact_replay_timestamp() < clock_timestamp() - long
                THEN format('the standby is behind what it has received, by %s', date_trunc('second', clock_timestamp() - pg_last_xact_replay_timestamp())) END,
                'End what reads there for long, or lower max_standby_streaming_delay, which lets it wait.')) AS l (severity, what, hint)
        WHERE s.standby AND l.what IS NOT NULL
        UNION ALL
        SELECT 'grants', 'error', format('role %s was granted %s, but may not call %s', g.role, g.kind, string_agg(f.proc::text, ', ' ORDER BY f.proc::text)),
            format('SELECT chancy.grant_%s(%L%s);', g.kind, g.role::text, coalesce(', ' || quote_literal(g.queues::text), ''))
        FROM chancy.grants g JOIN pg_roles r ON r.oid = g.role
        CROSS JOIN LATERAL (
            SELECT to_regprocedure(s.name) AS proc FROM regexp_split_to_table(chancy.kind_functions(g.kind), '(?<=\)), ') AS s (name)
            UNION ALL
            SELECT p.oid::regprocedure FROM pg_proc p WHERE g.kind = 'admin' AND p.prokind = 'f' AND p.pronamespace = 'chancy'::regnamespace) f
        WHERE NOT (has_schema_privilege(g.role, 'chancy', 'USAGE') AND has_function_privilege(g.role, f.proc, 'EXECUTE'))
        GROUP BY g.role, g.kind, g.queues
        UNION ALL
        SELECT 'grants', 'notice', format('a role that is gone (%s) is still listed as %s', g.role, g.kind),
            format('DELETE FROM chancy.grants WHERE role = %s;', g.role::oid)
        FROM chancy.grants g WHERE NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = g.role)
        UNION ALL
        SELECT 'index', 'error', format('index chancy.%s is missing', i.name), 'Restore it from the extension''s script: fetches or keys are slow, or unsafe, without it.'
        FROM indexes i WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = 'chancy'::regnamespace AND c.relname = i.name)
        UNION ALL
        SELECT 'index', 'error', format('index %s is %s', x.indexrelid::regclass, CASE WHEN x.indisvalid THEN 'not ready' ELSE 'invalid' END),
            CASE WHEN c.relname ~ '_ccnew\d*$' THEN format('DROP INDEX CONCURRENTLY %s; it is what is left of a REINDEX that failed.', x.indexrelid::regclass)
                ELSE format('REINDEX INDEX CONCURRENTLY %s;', x.indexrelid::regclass) END
        FROM pg_index x JOIN ours o ON o.oid = x.indrelid JOIN pg_class c ON c.oid = x.indexrelid WHERE NOT (x.indisvalid AND x.indisready AND x.indislive)
        UNION ALL
        SELECT 'index', 'notice', format('index %s on jobs is not chancy''s', x.indexrelid::regclass),
            'Every push writes it too, and every change of a column in it is no longer HOT. Drop it if nobody needs it.'
        FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid
        WHERE x.indrelid = 'chancy.jobs'::regclass AND c.relname NOT IN (SELECT i.name FROM indexes i) AND c.relname !~ '_ccnew\d*$'
        UNION ALL
        SELECT 'trigger', 'warning', format('trigger %s on %s is not chancy''s', quote_ident(t.tgname), t.tgrelid::regclass),
            'A trigger on jobs may be refused (55000), and runs while rows are locked. Use events, or middleware of the worker.'
        FROM pg_trigger t JOIN ours o ON o.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid
        WHERE NOT t.tgisinternal AND p.pronamespace <> 'chancy'::regnamespace
        UNION ALL
        SELECT 'bloat', 'warning', format('%s has %s dead tuples beside %s live ones; last vacuumed %s', s.relid::regclass, s.n_dead_tup, s.n_live_tup,
                coalesce(greatest(s.last_vacuum, s.last_autovacuum)::text, 'never')),
            format('See what holds a snapshot back (snapshot, prepared, slot); then VACUUM %s;', s.relid::regclass)
        FROM pg_stat_all_tables s JOIN ours o ON o.oid = s.relid WHERE s.n_dead_tup > 10000 AND s.n_dead_tup > s.n_live_tup
        UNION ALL
        SELECT 'snapshot', 'warning', format('process %s (%s, %s) has been in one transaction for %s, and holds VACUUM back', a.pid, coalesce(a.usename, a.backend_type),
                coalesce(nullif(a.application_name, ''), 'no application_name'), date_trunc('second', clock_timestamp() - a.xact_start)),
            format('End what it does, or SELECT pg_terminate_backend(%s); idle_in_transaction_session_timeout ends those that only idle.', a.pid)
        FROM pg_stat_activity a
        WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.backend_type <> 'autovacuum worker'
            AND (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL) AND a.xact_start < clock_timestamp() - long
            AND (current_setting('hot_standby_feedback')::boolean OR NOT (SELECT s.standby FROM server s))
        UNION ALL
        SELECT 'prepared', 'warning', format('transaction %L has been prepared for %s, and holds VACUUM and its locks', p.gid, date_trunc('second', clock_timestamp() - p.prepared)),
            format('Ask its coordinator; then COMMIT PREPARED %L or ROLLBACK PREPARED %L, in database %I.', p.gid, p.gid, p.database)
        FROM pg_prepared_xacts p WHERE p.prepared < clock_timestamp() - long
        UNION ALL
        SELECT 'slot', 'warning', format('replication slot %s is %s and holds %s', s.slot_name, CASE WHEN s.active THEN 'active' ELSE 'not used' END,
                concat_ws(' and ', CASE WHEN s.xmin IS NOT NULL OR s.catalog_xmin IS NOT NULL THEN
                    format('dead tuples for %s transactions', greatest(age(s.xmin), age(s.catalog_xmin))) END,
                    CASE WHEN s.restart_lsn IS NOT NULL AND NOT s.active THEN 'the WAL since ' || s.restart_lsn END)),
            format('Bring its reader back, or SELECT pg_drop_replication_slot(%L);', s.slot_name)
        FROM pg_replication_slots s
        WHERE NOT s.active AND (s.restart_lsn IS NOT NULL OR s.xmin IS NOT NULL) OR greatest(age(s.xmin), age(s.catalog_xmin)) > 1000000
        UNION ALL
        SELECT 'worker', 'warning', format('worker %s expired %s ago and has not been seen since', w.worker_id, date_trunc('second', clock_timestamp() - w.expires_at)),
            'It died, or cannot reach the server; its jobs are run again when maintain() has recovered them.'
        FROM workers w WHERE w.expires_at < clock_timestamp()
        UNION ALL
        SELECT 'queue', 'error', format('%s jobs of queue %s are due since %s, and no worker serves it', d.jobs, d.queue, date_trunc('second', d.since)),
            format('Start one: chancy worker --queue %s …', CASE WHEN d.queue ~ '^[[:alnum:]_.:-]+$' THEN d.queue ELSE '''' || replace(d.queue, '''', '''\''''') || '''' END)
        FROM due d LEFT JOIN chancy.queues q ON q.name = d.queue
        WHERE d.since < clock_timestamp() - least(long, interval '1 min') AND q.state IS DISTINCT FROM 'paused' AND NOT (SELECT s.standby FROM server s)
            AND NOT EXISTS (SELECT FROM workers w WHERE d.queue = ANY (w.queues) AND w.expires_at > clock_timestamp())
        UNION ALL
        SELECT 'queue', 'notice', format('queue %s is paused with %s jobs due', d.queue, d.jobs), format('SELECT chancy.resume_queue(%L);', d.queue)
        FROM due d JOIN chancy.queues q ON q.name = d.queue WHERE q.state = 'paused'
        UNION ALL
        SELECT 'held', CASE WHEN h.jobs = h.looked_at AND h.due_since < clock_timestamp() - least(long, interval '1 min') THEN 'error' ELSE 'warning' END,
            format('%s (%s) has held %s of the first %s due jobs of queue %s since %s: fetches pass them by',
                coalesce('process ' || h.pid, format('prepared transaction %L', h.name)), concat_ws(', ', h.role, nullif(h.application, ''), h.state),
                h.jobs, h.looked_at, h.queue, date_trunc('second', h.since)),
            CASE WHEN h.pid IS NULL THEN format('COMMIT PREPARED %L; or ROLLBACK PREPARED %1$L;', h.name)
                ELSE format('End its transaction, or SELECT pg_terminate_backend(%s);%s', h.pid,
                    ' Its last statement: ' || left(regexp_replace(btrim(h.query), '\s+', ' ', 'g'), 300)) END
        FROM held h
        UNION ALL
        SELECT 'task', 'error', format('task %s is due since %s, and nobody runs maintain()', t.name, date_trunc('second', t.next_due)),
            'Run a worker, or chancy in shared_preload_libraries, or chancy maintain by a timer.'
        FROM tasks t WHERE t.next_due < clock_timestamp() - long
        UNION ALL
        SELECT 'task', 'error', format('no task has run since the server started or crashed, %s ago: nobody runs maintain()',
                date_trunc('second', clock_timestamp() - pg_postmaster_start_time())),
            'Run a worker, or chancy in shared_preload_libraries, or chancy maintain by a timer.'
        FROM tasks t HAVING count(*) > 0 AND count(t.last_run) = 0 AND pg_postmaster_start_time() < clock_timestamp() - long
        UNION ALL
        SELECT 'task', 'error', format('task %s failed: %s', t.name, t.error), 'Mend what the message says; the task is tried again by itself.'
        FROM tasks t WHERE t.failed_at = t.last_run
        UNION ALL
        SELECT 'autovacuum', 'error', format('autovacuum is off for %s', o.oid::regclass), format('ALTER TABLE %s RESET (autovacuum_enabled);', o.oid::regclass)
        FROM ours o, pg_options_to_table(o.reloptions) p WHERE p.option_name = 'autovacuum_enabled' AND NOT p.option_value::boolean
        UNION ALL
        SELECT CASE WHEN s.name IN ('autovacuum', 'track_counts') THEN 'autovacuum' ELSE 'setting' END, x.severity, format('%s is %s', s.name, s.setting), x.hint
        FROM (VALUES ('autovacuum', 'off', 'error', 'Set it on: a queue leaves a dead tuple for every change of a job.'),
            ('track_counts', 'off', 'error', 'Set it on: autovacuum works by these counts.'),
            ('fsync', 'off', 'error', 'Set it on: a crash of the machine may lose everything.'),
            ('full_page_writes', 'off', 'error', 'Set it on, unless the file system itself never tears a page.'),
            ('synchronous_commit', 'off', 'notice', 'A crash may lose the last moments: jobs run again, and pushes that were told as done are gone.'),
            ('chancy.push_mode', 'immediate', 'notice', 'A transaction that pushes and takes other locks may deadlock: see the promise in the README.')
            ) AS x (name, setting, severity, hint)
        JOIN pg_settings s ON s.name = x.name AND s.setting = x.setting
    )
    SELECT f.finding, f.severity, f.what, f.hint FROM found f
    ORDER BY array_position('{error,warning,notice}', f.severity), f.finding, f.what;
$$;
COMMENT ON FUNCTION chancy.check_installation(interval) IS
'What is wrong with this installation and what to do, the worst first; long: for how long a transaction, or a task that is due, is no matter';
