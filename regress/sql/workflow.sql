-- workflow: steps with dependencies, failure policies, cancel, retry, added steps, Python's rows.
\set ECHO none
\i sql/include/tools.sql
SET chancy.push_mode = immediate;
SELECT name FROM chancy.declare_queue('default');

-- Runs up to n due jobs, in order of func; those of the funcs that are named fail.
CREATE FUNCTION work(n int DEFAULT 1000, VARIADIC failing text[] DEFAULT '{}') RETURNS text LANGUAGE sql AS $$
    WITH f AS MATERIALIZED (SELECT * FROM chancy.fetch_jobs('default', 'w', n)),
    a AS MATERIALIZED (SELECT count(*) FROM chancy.apply_updates('w', (SELECT coalesce(jsonb_agg(jsonb_build_object('id', id, 'started_at', started_at,
        'outcome', CASE WHEN func = ANY (failing) THEN 'failed' ELSE 'succeeded' END, 'result', to_jsonb('by ' || func))), '[]') FROM f)))
    SELECT coalesce((SELECT string_agg(func, ' ' ORDER BY func) FROM f), '-') FROM a
$$;
CREATE FUNCTION steps(workflow uuid) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(step || ' ' || state, ', ') FROM chancy.get_workflow_steps(workflow)
$$;
CREATE FUNCTION status(workflow uuid) RETURNS text LANGUAGE sql AS $$
    SELECT g.status || ' (' || w.state || ') ' || g.steps || CASE WHEN g.finished_at IS NULL THEN '' ELSE ', finished' END
    FROM chancy.get_workflow(workflow) g JOIN chancy.workflows w ON w.id = g.id
$$;
\set ECHO all

-- A step runs when all that it waits for have succeeded; the order of the input does not matter.
SELECT chancy.push_workflow('diamond', '[
    {"step": "bottom", "func": "bottom", "after": ["left", "right"]},
    {"step": "top", "func": "top", "kwargs": {"n": 1}, "priority": 7, "max_attempts": 2, "meta": {"mine": true}},
    {"step": "left", "func": "left", "after": ["top"]},
    {"step": "right", "func": "right", "after": ["top"]}]') AS id \gset
SELECT step, state, after, func, queue, job_id IS NOT NULL AS has_job, attempts FROM chancy.get_workflow_steps(:'id');
SELECT kwargs, priority, max_attempts, meta - 'workflow_id' AS meta, meta ->> 'workflow_id' = :'id' AS marked FROM chancy.jobs;
-- As Python reads it.
SELECT name, state FROM chancy.workflows;
SELECT step_id, dependencies, job_data - 's' AS job_data, (job_data ->> 's')::numeric > 1.7e9 AS s FROM chancy.workflow_steps ORDER BY id;
SELECT work(), steps(:'id');
SELECT work(1), steps(:'id');
SELECT work(), steps(:'id');
-- What the step's job can read.
SELECT id AS job FROM chancy.jobs WHERE func = 'bottom' \gset
SELECT * FROM chancy.step_results(:'job');
SELECT work(), status(:'id');
SELECT work();
SELECT chancy.workflow_dot(:'id');
SELECT chancy.workflow_mermaid(:'id');
SELECT chancy.cancel_workflow(:'id'), chancy.retry_workflow(:'id');

-- A result's meta does not take the mark away; an attempt that is not the last ends nothing.
SELECT chancy.push_workflow('retries', '[{"step": "a", "func": "a", "max_attempts": 2, "meta": {"retry_settings": {"backoff": 0, "backoff_jitter": [0, 0]}}},
    {"step": "b", "func": "b", "after": ["a"]}]') AS id \gset
SELECT count(*) FROM chancy.fetch_jobs('default', 'w');
SELECT state, applied FROM chancy.apply_updates('w', jsonb_build_array(an_update('a', 'failed', '{"meta": {"mine": 2, "retry_settings": {"backoff": 0, "backoff_jitter": [0, 0]}}}')));
SELECT steps(:'id'), meta - 'workflow_id' - 'retry_settings' AS meta FROM chancy.jobs WHERE func = 'a';
SELECT work(), steps(:'id');
SELECT work(), status(:'id');

-- fail: the first failed step ends the workflow; what runs already runs on. Retry goes on from what failed.
SELECT chancy.push_workflow('fail', '[{"step": "a", "func": "a"}, {"step": "b", "func": "b"}, {"step": "c", "func": "c", "after": ["a"]},
    {"step": "d", "func": "d", "after": ["b", "c"]}]') AS id \gset
SELECT work(1, 'a'), status(:'id');
SELECT work(), status(:'id');
SELECT chancy.retry_workflow(:'id'), status(:'id');
SELECT work(), work(), work(), status(:'id');
-- retry_job of what failed runs the workflow on, too.
SELECT chancy.push_workflow('fail', '[{"step": "a", "func": "a"}, {"step": "b", "func": "b", "after": ["a"]}]') AS id \gset
SELECT work(1, 'a'), chancy.retry_job(id_of('a')), status(:'id');
SELECT work(), work(), status(:'id');
-- So does a job that its worker discards, and one that is cancelled.
SELECT chancy.push_workflow('cancelled step', '[{"step": "a", "func": "a"}, {"step": "b", "func": "b", "after": ["a"]}]') AS id \gset
SELECT chancy.cancel_job(id_of('a')), status(:'id');

-- continue: what does not depend on the failed step goes on, and what waits for the end, however it ends.
SELECT chancy.push_workflow('continue', '[{"step": "a", "func": "a"}, {"step": "a2", "func": "a2"}, {"step": "b", "func": "b", "after": ["a"]},
    {"step": "c", "func": "c", "after": ["b"]}, {"step": "d", "func": "d", "after": ["c", "a2"], "when": "finished"}, {"step": "e", "func": "e", "after": ["a2"]}]', 'continue') AS id \gset
SELECT work(1, 'a'), steps(:'id');
SELECT work(), steps(:'id');
SELECT * FROM chancy.step_results(id_of('d'));
SELECT work(), status(:'id');
-- Retry: what was skipped waits again; what has succeeded is not run again.
SELECT chancy.retry_workflow(:'id'), steps(:'id');
SELECT work(), work(), work(), work(), status(:'id');

-- compensate: steps that have succeeded are undone, the last first, when nothing runs any more.
SELECT chancy.push_workflow('compensate', '[{"step": "a", "func": "a", "undo": {"func": "undo_a", "kwargs": {"x": 1}}}, {"step": "b", "func": "b", "after": ["a"], "undo": {"func": "undo_b"}},
    {"step": "b2", "func": "b2", "after": ["a"]}, {"step": "c", "func": "c", "after": ["b"], "undo": {"func": "undo_c"}}, {"step": "d", "func": "d", "after": ["c", "b2"]}]', 'compensate') AS id \gset
SELECT work();
SELECT count(*) FROM chancy.fetch_jobs('default', 'w', 2);
SELECT state FROM chancy.apply_updates('w', updates('succeeded', 'b'));
SELECT work(1, 'c'), status(:'id');
SELECT work(), 'b2 still runs', steps(:'id');
SELECT state FROM chancy.apply_updates('w', updates('succeeded', 'b2'));
SELECT steps(:'id');
SELECT work(), work(), work(), status(:'id');
SELECT chancy.retry_workflow(:'id');
-- An undo that fails: the others run all the same.
SELECT chancy.push_workflow('compensate', '[{"step": "a", "func": "a", "undo": {"func": "undo_a"}}, {"step": "b", "func": "b", "after": ["a"], "undo": {"func": "undo_b"}},
    {"step": "c", "func": "c", "after": ["b"]}]', 'compensate') AS id \gset
SELECT work(), work(), work(1, 'c'), work(1, 'undo_b'), work(), status(:'id');
-- Nothing to undo.
SELECT chancy.push_workflow('compensate', '[{"step": "a", "func": "a", "undo": {"func": "undo_a"}}]', 'compensate') AS id \gset
SELECT work(1, 'a'), status(:'id');

-- Cancel: live jobs end, nothing more is pushed; and retry.
SELECT chancy.push_workflow('cancel', '[{"step": "a", "func": "a"}, {"step": "b", "func": "b"}, {"step": "c", "func": "c", "after": ["a", "b"]}]') AS id \gset
SELECT work(1), chancy.cancel_workflow(:'id'), status(:'id');
SELECT work(), chancy.cancel_workflow(:'id'), chancy.cancel_workflow('00000000-0000-0000-0000-000000000000');
SELECT chancy.retry_workflow(:'id'), work(), work(), status(:'id');

-- Steps add steps, in the transaction of their result.
RESET chancy.push_mode;
SELECT chancy.push_workflow('grows', '[{"step": "plan", "func": "plan"}, {"step": "last", "func": "last", "after": ["plan"]}]') AS id \gset
SELECT count(*) FROM chancy.fetch_jobs('default', 'w');
BEGIN;
SELECT chancy.add_steps(:'id', '[{"step": "part1", "func": "part1", "after": ["plan"]}, {"step": "part2", "func": "part2", "after": ["plan"]},
    {"step": "sum", "func": "sum", "after": ["part1", "part2", "last"]}, {"step": "now", "func": "now"}]');
SELECT applied FROM chancy.apply_updates('w', updates('succeeded', 'plan'));
COMMIT;
SELECT steps(:'id');
SET chancy.push_mode = immediate;
SELECT work(), steps(:'id');
SELECT work(), status(:'id');
SELECT replace(refused('chancy.add_steps(' || quote_literal(:'id') || $$, '[{"step": "x", "func": "x"}]')$$), :'id', '…');
SELECT refused($$chancy.add_steps('00000000-0000-0000-0000-000000000000', '[{"step": "x", "func": "x"}]')$$);

-- At commit: pushed with the block, or not at all; a workflow that is cancelled in its own transaction pushes nothing.
RESET chancy.push_mode;
BEGIN;
SELECT chancy.push_workflow('block', '[{"step": "a", "func": "a", "unique_key": "k"}, {"step": "b", "func": "b", "after": ["a"]}]') AS id \gset
SAVEPOINT s;
SELECT chancy.push_workflow('taken back', '[{"step": "a", "func": "never"}]') IS NOT NULL AS reserved;
ROLLBACK TO s;
SELECT chancy.push_workflow('withdrawn', '[{"step": "a", "func": "never"}, {"step": "b", "func": "never", "unique_key": "n"}]') AS withdrawn \gset
SELECT chancy.cancel_workflow(:'withdrawn');
SELECT count(*) FROM chancy.workflows WHERE id = :'id';
COMMIT;
SELECT steps(:'id'), steps(:'withdrawn'), status(:'withdrawn'), (SELECT count(*) FROM chancy.jobs WHERE func = 'never') AS never;
-- A step whose key is live runs that job; its end is looked for, since the job does not know.
SELECT chancy.push('other', unique_key => 'k2') AS other \gset
SELECT chancy.push_workflow('shared', '[{"step": "a", "func": "a", "unique_key": "k2"}, {"step": "b", "func": "b", "after": ["a"]}]') AS shared \gset
SELECT func, job_id = :'other' AS same FROM chancy.get_workflow_steps(:'shared') WHERE step = 'a';
SET chancy.push_mode = immediate;
SELECT work(), status(:'shared');
SELECT * FROM chancy.advance_workflows();
SELECT work(), status(:'id'), status(:'shared');
SELECT count(*) FROM chancy.workflow_todo;

-- That job runs again by somebody's wish, and fails: it does not tell the workflow, so it is looked for.
SELECT chancy.push('other', unique_key => 'k3') AS other \gset
SELECT chancy.push_workflow('shared again', '[{"step": "a", "func": "a", "unique_key": "k3"}, {"step": "b", "func": "b", "queue": "elsewhere"}]') AS shared \gset
SELECT work(), (SELECT advanced FROM chancy.advance_workflows());
SELECT status(:'shared');
SELECT count(*) AS noted FROM chancy.workflow_todo;
SELECT chancy.retry_job(:'other');
SELECT work(1, 'other');
SELECT status(:'shared');
SELECT poll FROM chancy.workflow_todo WHERE workflow_id = :'shared';
SELECT advanced FROM chancy.advance_workflows();
SELECT status(:'shared');
SELECT count(*) AS noted FROM chancy.workflow_todo;
SELECT chancy.cancel_job(job_id) FROM chancy.get_workflow_steps(:'shared') WHERE step = 'b';

-- A group: a job when all have ended.
SELECT chancy.push_group('group', '[{"func": "g1"}, {"func": "g2"}, {"func": "g3"}]', '{"func": "then"}') AS id \gset
SELECT work(1000, 'g2'), steps(:'id');
SELECT * FROM chancy.step_results(id_of('then'));
SELECT work(), status(:'id');

-- Pushed by Python: maintenance takes it on. Its worker's plain UPDATE is found, too.
INSERT INTO chancy.workflows (id, name, state) VALUES ('00000000-0000-0000-0000-000000000001', 'python', 'pending');
INSERT INTO chancy.workflow_steps (workflow_id, step_id, job_data, dependencies) VALUES
    ('00000000-0000-0000-0000-000000000001', 's2', '{"f": "m.s2", "k": {"a": 1}, "p": 3, "a": 2, "s": 1700000000.25, "l": [{"t": "time", "v": 5}], "u": "py", "q": "default", "m": {"x": 1}}', '["s1"]'),
    ('00000000-0000-0000-0000-000000000001', 's1', '{"f": "m.s1", "k": {}, "p": 0, "a": 1, "s": 1700000000, "l": [], "u": null, "q": "default", "m": {}}', '[]');
SELECT advanced, busy FROM chancy.advance_workflows();
SELECT work(), steps('00000000-0000-0000-0000-000000000001');
SELECT kwargs, priority, max_attempts, scheduled_at = to_timestamp(1700000000.25) AS scheduled, limits, unique_key, queue, meta - 'workflow_id' AS meta FROM chancy.jobs WHERE func = 'm.s2';
UPDATE chancy.jobs SET state = 'succeeded', completed_at = now() WHERE func = 'm.s2';
SELECT status('00000000-0000-0000-0000-000000000001');
SELECT advanced, busy FROM chancy.advance_workflows();
SELECT status('00000000-0000-0000-0000-000000000001');
-- As Python's plugin pushes a step itself: nothing is pushed twice.
INSERT INTO chancy.workflows (id, name, state) VALUES ('00000000-0000-0000-0000-000000000002', 'python', 'pending');
INSERT INTO chancy.jobs (id, queue, func, meta) VALUES (repeat('a', 32)::uuid, 'default', 'm.p1', '{"workflow_id": "00000000-0000-0000-0000-000000000002"}');
INSERT INTO chancy.workflow_steps (workflow_id, step_id, job_data, dependencies, job_id) VALUES
    ('00000000-0000-0000-0000-000000000002', 'p1', '{"f": "m.p1", "k": {}, "p": 0, "a": 1, "s": 1700000000, "l": [], "u": null, "q": "default", "m": {}}', '[]', repeat('a', 32)::uuid),
    ('00000000-0000-0000-0000-000000000002', 'p2', '{"f": "m.p2", "k": {}, "p": 0, "a": 1, "s": 1700000000, "l": [], "u": null, "q": "default", "m": {}}', '["p1"]', NULL);
SELECT work(), work(), status('00000000-0000-0000-0000-000000000002');

-- Its plugin does not end what goes on, nor its clean-up delete what is being compensated; a workflow that failed under its hands can be retried.
SELECT chancy.push_workflow('goes on', '[{"step": "a", "func": "a"}, {"step": "b", "func": "b"}]', 'continue') AS id \gset
SELECT work(1, 'a');
INSERT INTO chancy.workflows (id, name, state) VALUES (:'id', 'goes on', 'failed') ON CONFLICT (id) DO UPDATE SET state = EXCLUDED.state, updated_at = now();
SELECT status(:'id'), work(), status(:'id') AS afterwards;
SELECT chancy.push_workflow('is undone', '[{"step": "a", "func": "a", "undo": {"func": "u"}}, {"step": "b", "func": "b", "after": ["a"]}]', 'compensate') AS id \gset
SELECT work(1), work(1, 'b');
DELETE FROM chancy.workflows WHERE state NOT IN ('pending', 'running') AND id = :'id';
SELECT status(:'id'), work();
-- Its guard is for its own triggers.
SELECT chancy.workflow_guard();
CREATE TABLE elsewhere (id uuid, name text, state text);
CREATE TRIGGER guard BEFORE UPDATE ON elsewhere FOR EACH ROW EXECUTE FUNCTION chancy.workflow_guard();
INSERT INTO elsewhere VALUES (NULL, 'a', 'b');
UPDATE elsewhere SET state = 'c';
DROP TABLE elsewhere;
INSERT INTO chancy.workflows (id, name, state) VALUES ('00000000-0000-0000-0000-000000000003', 'python', 'failed');
INSERT INTO chancy.jobs (id, queue, func, state, attempts) VALUES (repeat('c', 32)::uuid, 'default', 'm.c1', 'failed', 1);
INSERT INTO chancy.workflow_steps (workflow_id, step_id, job_data, dependencies, job_id) VALUES
    ('00000000-0000-0000-0000-000000000003', 'c1', '{"f": "m.c1", "q": "default"}', '[]', repeat('c', 32)::uuid),
    ('00000000-0000-0000-0000-000000000003', 'c2', '{"f": "m.c2", "q": "default"}', '["c1"]', NULL);
SELECT chancy.retry_workflow('00000000-0000-0000-0000-000000000003');
SELECT work(), (SELECT advanced FROM chancy.advance_workflows()), work(), status('00000000-0000-0000-0000-000000000003');

-- A job that was deleted counts as failed. A worker that dies too often fails its step.
SELECT chancy.push_workflow('lost', '[{"step": "a", "func": "lost"}, {"step": "b", "func": "b", "after": ["a"]}]') AS id \gset
DELETE FROM chancy.jobs WHERE func = 'lost';
SELECT advanced FROM chancy.advance_workflows();
SELECT status(:'id');
SELECT chancy.push_workflow('poison', '[{"step": "a", "func": "poison"}, {"step": "b", "func": "b", "after": ["a"]}]') AS id \gset
SELECT count(*) FROM chancy.fetch_jobs('default', 'dead');
INSERT INTO chancy.workers VALUES ('dead', '{}', '{}', now(), now() - interval '1 h');
SELECT * FROM chancy.recover_jobs(0);
SELECT status(:'id');

-- Jobs of a workflow under way are not pruned; workflows go with their steps, not their jobs.
SELECT chancy.push_workflow('under way', '[{"step": "a", "func": "kept"}, {"step": "b", "func": "b", "after": ["a"]}]') AS id \gset
SELECT work();
SELECT chancy.prune_jobs('{"keep": 0}') > 0 AS pruned;
SELECT func, state FROM chancy.jobs ORDER BY func;
SELECT name, status FROM chancy.list_workflows(up_to => 3);
SELECT count(*) FROM chancy.list_workflows('completed');
SELECT chancy.prune_workflows('1 h'), chancy.prune_workflows('0 s', 3), chancy.prune_workflows('0 s') > 3 AS more;
SELECT name, (SELECT count(*) FROM chancy.workflow_steps s) AS steps FROM chancy.workflows;
SELECT task, did FROM chancy.maintain() WHERE task = 'workflows';
SELECT chancy.set_task('workflows', settings => '{"keep": "1 d", "up_to": 10}') IS NOT NULL AS set;

-- Ten thousand steps, from one to many to one.
SELECT chancy.push_workflow('wide', jsonb_build_array('{"step": "z", "func": "one"}'::jsonb)
    || (SELECT jsonb_agg(jsonb_build_object('step', i, 'func', 'many', 'after', '["z"]'::jsonb)) FROM (SELECT 's' || generate_series(1, 10000)) g (i))
    || jsonb_build_array(jsonb_build_object('step', 'a', 'func', 'last', 'after', (SELECT jsonb_agg('s' || g) FROM generate_series(1, 10000) g)))) AS id \gset
SELECT work(), count(*) FILTER (WHERE func = 'many') FROM chancy.jobs;
SELECT work() IS NOT NULL AS worked, (SELECT count(*) FROM chancy.fetch_jobs('default', 'w', 100000)) AS fetched;
SELECT count(*) FROM chancy.apply_updates('w', (SELECT jsonb_agg(jsonb_build_object('id', id, 'started_at', started_at, 'outcome', 'succeeded')) FROM chancy.running_jobs('w')));
SELECT work(), status(:'id');
SELECT count(*) FROM chancy.workflow_todo;

-- A group is pruned as any workflow: none of its jobs as long as it is under way, and it with its steps when it has ended.
SELECT chancy.prune_workflows('0 s', 100000) > 0 AS workflows, chancy.prune_jobs('{"keep": 0}', 100000) > 0 AS jobs;
SELECT chancy.push_group('group', '[{"func": "g1"}, {"func": "g2"}]', '{"func": "then"}') AS id \gset
SELECT work(1), chancy.prune_jobs('{"keep": 0}'), chancy.prune_workflows('0 s');
SELECT work(1, 'g2'), chancy.prune_jobs('{"keep": 0}'), chancy.prune_workflows('0 s');
SELECT steps(:'id'), work();
SELECT status(:'id'), chancy.prune_jobs('{"keep": 0}');
SELECT steps(:'id'), chancy.prune_workflows('0 s');
SELECT count(*) FROM chancy.workflow_steps;
-- What Python has finished counts from its last change; what it has under way stays.
INSERT INTO chancy.workflows (id, name, state, updated_at) VALUES ('00000000-0000-0000-0000-000000000011', 'old', 'failed', now() - interval '2 days'),
    ('00000000-0000-0000-0000-000000000012', 'new', 'completed', now() - interval '1 hour'), ('00000000-0000-0000-0000-000000000013', 'under way', 'running', now() - interval '2 days');
SELECT chancy.prune_workflows('1 day');
SELECT name FROM chancy.workflows ORDER BY name;
-- The task does the same, if it is set.
UPDATE chancy.workflows SET updated_at = now() - interval '2 days' WHERE name = 'new';
UPDATE chancy.task_runs SET last_run = '2000-01-01', again_at = NULL WHERE name = 'workflows';
SELECT did ->> 'deleted' AS deleted FROM chancy.maintain() WHERE task = 'workflows';
SELECT name FROM chancy.workflows ORDER BY name;
