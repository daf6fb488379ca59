-- What the SQL tests share. Included with \i sql/include/tools.sql, since psql runs in regress/.
-- Neither ids nor times are ever printed: tests compare them.
SET client_min_messages = warning;
\pset null NULL

-- Runs the call and tells how it was refused. A refused call may not have written anything: whoever writes gets a
-- transaction id, and it stays assigned when the failed part is rolled back.
-- Inside an exception block calls would be buffered, hence the mode; commit.sql has refusals of buffered calls.
CREATE FUNCTION public.refused(call text) RETURNS text LANGUAGE plpgsql SET chancy.push_mode = immediate AS $$
DECLARE
    code text; message text; hint text;
    clean boolean := pg_catalog.pg_current_xact_id_if_assigned() IS NULL;
BEGIN
    BEGIN
        EXECUTE 'SELECT * FROM ' || call;
        RETURN call || E'\n  NOT REFUSED';
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
    END;
    IF clean AND pg_catalog.pg_current_xact_id_if_assigned() IS NOT NULL THEN
        hint := hint || E'\n  BUT IT WROTE SOMETHING FIRST';
    END IF;
    RETURN pg_catalog.format(E'%s\n  %s: %s\n  %s', call, code, message, coalesce(nullif(hint, ''), '(no hint)'));
END $$;

-- Errors without their times, each of which must be one of the last minutes.
CREATE FUNCTION public.without_time(errors jsonb) RETURNS jsonb LANGUAGE sql AS $$
    SELECT coalesce(pg_catalog.jsonb_agg(CASE WHEN (e ->> 'at')::timestamptz OPERATOR(pg_catalog.>) (pg_catalog.now() OPERATOR(pg_catalog.-) interval '10 min')
        THEN e OPERATOR(pg_catalog.-) 'at' ELSE e END), '[]') FROM pg_catalog.jsonb_array_elements(errors) e
$$;

-- The state of every job, without ids and times: what is compared is told as a boolean.
CREATE FUNCTION public.look(OUT func text, OUT queue text, OUT state text, OUT priority int, OUT attempts text,
    OUT taken_by text, OUT started boolean, OUT completed boolean, OUT due boolean, OUT unique_key text, OUT errors jsonb)
RETURNS SETOF record LANGUAGE sql AS $$
    SELECT j.func, j.queue, j.state, j.priority, j.attempts || '/' || j.max_attempts, j.taken_by,
        j.started_at IS NOT NULL, j.completed_at IS NOT NULL, j.scheduled_at <= pg_catalog.clock_timestamp(),
        j.unique_key, public.without_time(j.errors)
    FROM chancy.jobs j ORDER BY j.func, j.id
$$;

-- The id of the newest job of this func.
CREATE FUNCTION public.id_of(func text) RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT j.id FROM chancy.jobs j WHERE j.func = id_of.func ORDER BY j.id DESC LIMIT 1
$$;

-- One update for the running job of this func, as a worker would write it, with more merged in.
CREATE FUNCTION public.an_update(func text, outcome text, more jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object('id', j.id, 'started_at', j.started_at, 'outcome', outcome) || more
    FROM chancy.jobs j WHERE j.func = an_update.func ORDER BY j.id DESC LIMIT 1
$$;

-- A batch of updates for the jobs of these funcs, in this order.
CREATE FUNCTION public.updates(outcome text, VARIADIC funcs text[]) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT coalesce(jsonb_agg(public.an_update(f, outcome) ORDER BY ord), '[]') FROM unnest(funcs) WITH ORDINALITY AS u (f, ord)
$$;
