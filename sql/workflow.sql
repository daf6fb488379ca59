-- workflow: jobs that wait for other jobs. extension/workflow.cpp, graph.cpp, advance.cpp

-- The columns that Chancy's tables do not have. Its Python code leaves them at their defaults.
ALTER TABLE chancy.workflows
    ADD COLUMN on_failure  text        COLLATE "C" NOT NULL DEFAULT 'fail',
    ADD COLUMN status      text        COLLATE "C",
    ADD COLUMN waits_for   integer,
    ADD COLUMN waits_at    integer,
    ADD COLUMN doomed      boolean     NOT NULL DEFAULT false,
    ADD COLUMN finished_at timestamptz;
COMMENT ON COLUMN chancy.workflows.state IS 'As Python reads it: pending, completed or failed';
COMMENT ON COLUMN chancy.workflows.on_failure IS 'fail, continue or compensate';
COMMENT ON COLUMN chancy.workflows.status IS
'running, completed, failed, cancelled, compensating or compensated; NULL: pushed by Python, and not looked at yet';
COMMENT ON COLUMN chancy.workflows.waits_for IS 'A step that has not ended: who ends it looks for the next one';
COMMENT ON COLUMN chancy.workflows.waits_at IS 'All steps with a higher id have ended';
COMMENT ON COLUMN chancy.workflows.doomed IS 'One of the steps that have ended failed';

ALTER TABLE chancy.workflow_steps
    ADD COLUMN run_when       text    COLLATE "C" NOT NULL DEFAULT 'succeeded',
    ADD COLUMN undo           jsonb,
    ADD COLUMN dependency_ids integer[],
    ADD COLUMN waits_for      integer,
    ADD COLUMN waits_at       integer,
    ADD COLUMN doomed         boolean NOT NULL DEFAULT false,
    ADD COLUMN skipped        boolean NOT NULL DEFAULT false,
    ADD COLUMN undoes         integer;
COMMENT ON COLUMN chancy.workflow_steps.job_data IS 'The job to push, as Python packs it';
COMMENT ON COLUMN chancy.workflow_steps.run_when IS 'succeeded: when all dependencies have succeeded; finished: when all have ended';
COMMENT ON COLUMN chancy.workflow_steps.undo IS 'The job that undoes the step, packed';
COMMENT ON COLUMN chancy.workflow_steps.dependency_ids IS 'The ids of dependencies; NULL: pushed by Python, and not looked at yet';
COMMENT ON COLUMN chancy.workflow_steps.waits_for IS 'A dependency that has not ended: who ends it looks for the next one';
COMMENT ON COLUMN chancy.workflow_steps.waits_at IS 'All dependencies behind this index have ended';
COMMENT ON COLUMN chancy.workflow_steps.doomed IS 'One of the dependencies that have ended failed';
COMMENT ON COLUMN chancy.workflow_steps.skipped IS 'Will not run, since a dependency failed';
COMMENT ON COLUMN chancy.workflow_steps.undoes IS 'The step that this one undoes';

CREATE INDEX workflows_new ON chancy.workflows (created_at)
    WHERE status IS NULL AND state IN ('pending', 'running');
CREATE INDEX workflow_steps_workflow ON chancy.workflow_steps (workflow_id, id);
CREATE INDEX workflow_steps_job ON chancy.workflow_steps (job_id) WHERE job_id IS NOT NULL;
CREATE INDEX workflow_steps_waits_for ON chancy.workflow_steps (waits_for) WHERE waits_for IS NOT NULL;
CREATE INDEX workflow_steps_new ON chancy.workflow_steps (workflow_id) WHERE dependency_ids IS NULL;

-- Python's plugin writes its own idea of the state, and deletes old workflows that have failed in its eyes.
CREATE FUNCTION chancy.workflow_guard()
RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_workflow_guard';
COMMENT ON FUNCTION chancy.workflow_guard() IS 'Keeps the state of a workflow under way as it is, and the workflow while it is being compensated';
CREATE TRIGGER chancy_guard BEFORE UPDATE OF state ON chancy.workflows
    FOR EACH ROW WHEN (OLD.status IN ('running', 'compensating') AND NEW.status = OLD.status) EXECUTE FUNCTION chancy.workflow_guard();
COMMENT ON TRIGGER chancy_guard ON chancy.workflows IS 'For statements of Python; cancel_workflow ends a workflow';
CREATE TRIGGER chancy_keep BEFORE DELETE ON chancy.workflows
    FOR EACH ROW WHEN (OLD.status = 'compensating') EXECUTE FUNCTION chancy.workflow_guard();
COMMENT ON TRIGGER chancy_keep ON chancy.workflows IS 'For statements of Python; cancel_workflow ends a workflow';

-- No key: an insert never meets anybody.
CREATE TABLE chancy.workflow_todo (
    workflow_id uuid    NOT NULL,
    step        integer,
    poll        boolean NOT NULL
);
COMMENT ON TABLE chancy.workflow_todo IS
'Ended steps whose consequences were busy, or workflows to be looked at whole (step NULL): the next fetch or advance_workflows does it';
COMMENT ON COLUMN chancy.workflow_todo.poll IS 'The step runs a job that was live before, which does not know of it';
SELECT pg_catalog.pg_extension_config_dump('chancy.workflow_todo', '');

CREATE FUNCTION chancy.push_workflow(name text, steps jsonb, on_failure text DEFAULT 'fail')
RETURNS uuid LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_push_workflow';
COMMENT ON FUNCTION chancy.push_workflow(text, jsonb, text) IS
'Pushes a workflow of up to 100,000 steps, objects {"step", "after": [steps], "when", "undo": {job}, and push''s keys}; returns its id. on_failure: fail, continue or compensate';

CREATE FUNCTION chancy.add_steps(workflow_id uuid, steps jsonb)
RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_add_steps';
COMMENT ON FUNCTION chancy.add_steps(uuid, jsonb) IS
'Adds steps to a workflow that runs; they may depend on each other and on the steps that are there';

CREATE FUNCTION chancy.push_group(name text, jobs jsonb, then_push jsonb)
RETURNS uuid LANGUAGE sql
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT chancy.push_workflow(push_group.name,
        (SELECT coalesce(jsonb_agg(CASE WHEN jsonb_typeof(j.job) = 'object'
                THEN j.job || jsonb_build_object('step', j.n::text) ELSE j.job END ORDER BY j.n), '[]')
         FROM jsonb_array_elements(push_group.jobs) WITH ORDINALITY AS j (job, n))
        || jsonb_build_array(push_group.then_push || jsonb_build_object('step', 'then', 'when', 'finished', 'after',
            (SELECT coalesce(jsonb_agg(n.n::text ORDER BY n.n), '[]') FROM generate_series(1, jsonb_array_length(push_group.jobs)) AS n))),
        'continue');
END;
COMMENT ON FUNCTION chancy.push_group(text, jsonb, jsonb) IS
'Pushes jobs, and then_push once all of them have ended, however they ended; returns the workflow''s id';

CREATE FUNCTION chancy.cancel_workflow(workflow_id uuid)
RETURNS boolean LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_cancel_workflow';
COMMENT ON FUNCTION chancy.cancel_workflow(uuid) IS
'Ends a workflow that runs: its live jobs are cancelled, nothing more is pushed; false when missing or finished';

CREATE FUNCTION chancy.retry_workflow(workflow_id uuid)
RETURNS boolean LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_retry_workflow';
COMMENT ON FUNCTION chancy.retry_workflow(uuid) IS
'Runs a failed or cancelled workflow on from its failed steps; false when missing, not failed, or compensated';

CREATE FUNCTION chancy.advance_workflows(up_to integer DEFAULT 1000)
RETURNS TABLE (advanced integer, busy integer) LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_advance_workflows';
COMMENT ON FUNCTION chancy.advance_workflows(integer) IS
'Pushes the steps that results had to leave, and takes on workflows that Python pushed; never waits';

CREATE FUNCTION chancy.prune_workflows(age interval DEFAULT '7 days', up_to integer DEFAULT 1000)
RETURNS integer LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_prune_workflows';
COMMENT ON FUNCTION chancy.prune_workflows(interval, integer) IS
'Deletes up to up_to workflows that finished longer than age ago, not their jobs; never waits';

CREATE FUNCTION chancy.get_workflow_steps(workflow_id uuid)
RETURNS TABLE (step text, state text, after jsonb, func text, queue text, job_id uuid, attempts integer,
    started_at timestamptz, completed_at timestamptz, result jsonb, error text)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT s.step_id,
        CASE WHEN s.skipped THEN 'skipped' WHEN s.job_id IS NULL THEN 'waiting' ELSE coalesce(j.state, 'missing') END,
        s.dependencies, coalesce(j.func, s.job_data ->> 'f'), coalesce(j.queue, s.job_data ->> 'q'), s.job_id, j.attempts,
        j.started_at, j.completed_at, j.result, j.errors -> -1 ->> 'traceback'
    FROM chancy.workflow_steps s LEFT JOIN chancy.jobs j ON j.id = s.job_id
    WHERE s.workflow_id = get_workflow_steps.workflow_id ORDER BY s.id;
END;
COMMENT ON FUNCTION chancy.get_workflow_steps(uuid) IS
'The steps of a workflow, dependencies first; state: waiting, skipped, missing (its job was deleted), or the job''s';

CREATE FUNCTION chancy.get_workflow(workflow_id uuid)
RETURNS TABLE (id uuid, name text, status text, on_failure text, steps jsonb, created_at timestamptz, finished_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT w.id, w.name, coalesce(w.status, CASE w.state WHEN 'pending' THEN 'running' ELSE w.state END), w.on_failure,
        (SELECT coalesce(jsonb_object_agg(c.state, c.count), '{}') FROM (
            SELECT s.state, count(*) AS count FROM chancy.get_workflow_steps(w.id) s GROUP BY s.state) AS c),
        w.created_at, w.finished_at
    FROM chancy.workflows w WHERE w.id = get_workflow.workflow_id;
END;
COMMENT ON FUNCTION chancy.get_workflow(uuid) IS 'A workflow, with how many of its steps are in each state; no row when there is none';

CREATE FUNCTION chancy.list_workflows(state text DEFAULT NULL, before timestamptz DEFAULT 'infinity', up_to integer DEFAULT 100)
RETURNS TABLE (id uuid, name text, status text, on_failure text, created_at timestamptz, finished_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT * FROM (
        SELECT w.id, w.name, coalesce(w.status, CASE w.state WHEN 'pending' THEN 'running' ELSE w.state END) AS status,
            w.on_failure, w.created_at, w.finished_at
        FROM chancy.workflows w) AS l
    WHERE (list_workflows.state IS NULL OR l.status = list_workflows.state) AND l.created_at < list_workflows.before
    ORDER BY l.created_at DESC, l.id DESC LIMIT list_workflows.up_to;
END;
COMMENT ON FUNCTION chancy.list_workflows(text, timestamptz, integer) IS
'Workflows, the newest first, filtered; before is the last created_at of the page before';

CREATE FUNCTION chancy.step_results(job_id uuid)
RETURNS TABLE (step text, state text, result jsonb) LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'chancy_step_results';
COMMENT ON FUNCTION chancy.step_results(uuid) IS
'How the dependencies of the step that this job runs ended, and what they returned, in the order of dependencies';

CREATE FUNCTION chancy.workflow_dot(workflow_id uuid)
RETURNS text LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT format(E'digraph "%s" {\n  rankdir=TB;\n  node [shape=box, style="rounded,filled"];\n  label="%1$s\\n%s";\n%s%s}\n',
        replace(replace(w.name, '\', '\\'), '"', '\"'), w.status,
        (SELECT coalesce(string_agg(format(E'  "%s" [label="%1$s\\n%s", fillcolor=%s];\n',
                replace(replace(s.step, '\', '\\'), '"', '\"'), s.state,
                CASE s.state WHEN 'succeeded' THEN 'palegreen' WHEN 'failed' THEN 'lightpink' WHEN 'missing' THEN 'lightpink'
                    WHEN 'running' THEN 'yellow' WHEN 'waiting' THEN 'white' WHEN 'skipped' THEN 'lightgray' ELSE 'lightblue' END),
            '' ORDER BY s.n), '')
         FROM chancy.get_workflow_steps(w.id) WITH ORDINALITY
            AS s (step, state, after, func, queue, job_id, attempts, started_at, completed_at, result, error, n)),
        (SELECT coalesce(string_agg(format(E'  "%s" -> "%s";\n', replace(replace(d.name, '\', '\\'), '"', '\"'),
                replace(replace(s.step, '\', '\\'), '"', '\"')), '' ORDER BY s.n, d.n), '')
         FROM chancy.get_workflow_steps(w.id) WITH ORDINALITY
            AS s (step, state, after, func, queue, job_id, attempts, started_at, completed_at, result, error, n)
         CROSS JOIN jsonb_array_elements_text(s.after) WITH ORDINALITY AS d (name, n)))
    FROM chancy.get_workflow(workflow_dot.workflow_id) AS w;
END;
COMMENT ON FUNCTION chancy.workflow_dot(uuid) IS 'The workflow as a graph for Graphviz, steps coloured by state; NULL when there is none';

CREATE FUNCTION chancy.workflow_mermaid(workflow_id uuid)
RETURNS text LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH s AS (
        SELECT l.n, l.step, l.state, l.after FROM chancy.get_workflow_steps(workflow_mermaid.workflow_id) WITH ORDINALITY
            AS l (step, state, after, func, queue, job_id, attempts, started_at, completed_at, result, error, n))
    SELECT E'flowchart TD\n'
        || coalesce((SELECT string_agg(format(E'  s%s["%s<br/>%s"]:::%3$s\n', s.n, replace(s.step, '"', '#quot;'), s.state), '' ORDER BY s.n) FROM s), '')
        || coalesce((SELECT string_agg(format(E'  s%s --> s%s\n', d.n, s.n), '' ORDER BY s.n, a.n)
            FROM s CROSS JOIN jsonb_array_elements_text(s.after) WITH ORDINALITY AS a (step, n) JOIN s AS d ON d.step = a.step), '')
        || E'  classDef succeeded fill:#9f9\n  classDef failed fill:#f99\n  classDef missing fill:#f99\n  classDef running fill:#ff9\n'
        || E'  classDef skipped fill:#ddd\n  classDef waiting fill:#fff\n'
    FROM chancy.workflows w WHERE w.id = workflow_mermaid.workflow_id;
END;
COMMENT ON FUNCTION chancy.workflow_mermaid(uuid) IS 'The workflow as a Mermaid flowchart; NULL when there is none';
