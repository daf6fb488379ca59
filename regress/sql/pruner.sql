-- The pruner: rules that count, the walk in segments, jobs of unfinished workflows, old metrics.
\i sql/include/tools.sql
\set ECHO all
-- An id of Chancy's layout, as old as this.
CREATE FUNCTION id_at(age interval, n int) RETURNS uuid LANGUAGE sql AS $$
    SELECT (lpad(to_hex(((extract(epoch FROM now() - age) * 1000000)::bigint * 10)), 15, '0') || '78' || lpad(to_hex(n), 15, '0'))::uuid
$$;
CREATE FUNCTION finished(queue text, func text, state text, age interval, first int, last int) RETURNS void LANGUAGE sql AS $$
    INSERT INTO chancy.jobs (id, queue, func, state, completed_at)
    SELECT id_at(age, n), queue, func, state, now() - age FROM generate_series(first, last) n
$$;
CREATE FUNCTION counts(OUT queue text, OUT func text, OUT state text, OUT count bigint) RETURNS SETOF record LANGUAGE sql AS $$
    SELECT queue, func, state, count(*) FROM chancy.jobs GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
$$;
SELECT chancy.id_time(id_at('1 day', 1)) = now() - interval '1 day' AS same;

-- keep: the newest of each queue, or of each func.
SELECT finished(queue, func, 'succeeded', '1 hour', n, n) FROM unnest('{a,b}'::text[], '{f,g}'::text[]) WITH ORDINALITY u (queue, func, ord), generate_series(1, 6) n WHERE n <= 3 * ord AND ord = 2;
SELECT finished('a', 'f', 'failed', '2 hours', 11, 14), finished('a', 'g', 'failed', '2 hours', 21, 22);
SELECT * FROM counts();
SELECT chancy.prune_jobs('{"keep": {"count": 5, "per": "func"}}'), chancy.prune_jobs('{"keep": {"count": 4, "per": "queue"}}', 1);
SELECT * FROM counts();
-- It goes on where the call before stopped.
SELECT chancy.prune_jobs('{"keep": {"count": 4, "per": "queue"}}', 1), chancy.prune_jobs('{"keep": {"count": 4, "per": "queue"}}');
SELECT chancy.prune_jobs('{"and": [{"keep": {"count": 1, "per": "queue"}}, {"keep": {"count": 1, "per": "func"}}, {"queue": "a"}]}', n) FROM unnest('{1,1,10}'::int[]) n;
SELECT * FROM counts();

-- What was rolled back has not been walked.
BEGIN;
SELECT chancy.prune_jobs('{"queue": ["a", "b"]}', 2);
ROLLBACK;
SELECT chancy.prune_jobs('{"queue": ["a", "b"]}', 2), chancy.prune_jobs('{"queue": ["a", "b"]}', 100);
SELECT * FROM counts();

-- The task walks in segments. One turn looks at 40 jobs, so a segment has 4.
CREATE FUNCTION turn(n int, OUT deleted int, OUT segments bigint, OUT again boolean) LANGUAGE plpgsql AS $$
BEGIN
    UPDATE chancy.task_runs SET last_run = '2000-01-02', again_at = NULL WHERE name = 'pruner';
    deleted := (SELECT did ->> 'deleted' FROM chancy.maintain() WHERE task = 'pruner');
    SELECT coalesce(length(memory) - 8, 0) / 24, again_at IS NOT NULL INTO segments, again FROM chancy.task_runs WHERE name = 'pruner';
END $$;
-- What a turn looks at: a segment that is not due is not walked, so a job made due behind its back is found a day later only.
SELECT chancy.set_task('pruner', settings => '{"scan": 40, "rule": {"or": [{"and": [{"state": "succeeded"}, {"age": "1 hour"}]}, {"age": "30 days"}]}}');
SELECT finished('q', 'f', 'failed', '29 days', 1, 20), finished('q', 'f', 'succeeded', '2 days', 1, 10), finished('q', 'f', 'failed', '1 day', 1, 20),
    finished('q', 'f', 'succeeded', '30 minutes', 1, 10);
SELECT t.* FROM generate_series(1, 4) n, turn(n) t;
SELECT * FROM counts();
-- Nothing is due, nothing is walked but what lies behind the last segment.
UPDATE chancy.jobs SET completed_at = now() - interval '40 days' WHERE id IN (SELECT id FROM chancy.jobs ORDER BY id LIMIT 3);
SELECT * FROM turn(1);
-- Until it is due.
UPDATE chancy.task_runs SET memory = overlay(memory PLACING '\x0000000000000000'::bytea FROM 8 + 16 + 1 FOR 8) WHERE name = 'pruner';
SELECT * FROM turn(1);
-- Young ones come of age.
UPDATE chancy.jobs SET completed_at = now() - interval '2 hours', id = id_at('2 hours', ord::int) FROM (SELECT id AS old, row_number() OVER () AS ord FROM chancy.jobs WHERE state = 'succeeded') o WHERE id = old;
SELECT * FROM turn(1);
SELECT * FROM counts();
-- The memory is lost, in a crash say, or belongs to another rule: everything is looked at once more.
UPDATE chancy.jobs SET completed_at = now() - interval '40 days' WHERE id IN (SELECT id FROM chancy.jobs ORDER BY id LIMIT 3);
UPDATE chancy.task_runs SET memory = NULL WHERE name = 'pruner';
SELECT sum(deleted) FROM generate_series(1, 3) n, turn(n);
UPDATE chancy.task_runs SET memory = '\x0102' WHERE name = 'pruner';
SELECT sum(deleted) FROM generate_series(1, 3) n, turn(n);
SELECT * FROM counts();
-- A full batch: the next turn comes at once.
SELECT chancy.set_task('pruner', settings => '{"scan": 40, "up_to": 3, "rule": {"state": "failed"}}');
SELECT deleted, again FROM generate_series(1, 15) n, turn(n);
SELECT * FROM turn(1);
-- Live jobs between finished ones, and ids that Python or somebody else made.
TRUNCATE chancy.jobs;
SELECT chancy.set_task('pruner', settings => '{"scan": 40, "rule": {"age": 0}}');
INSERT INTO chancy.jobs (id, queue, func, state, completed_at) SELECT gen_random_uuid(), 'q', 'f', s, now() FROM unnest('{pending,running,retrying,succeeded,failed}'::text[]) s, generate_series(1, 30);
INSERT INTO chancy.jobs (id, queue, func, state, completed_at) SELECT ('019' || lpad(to_hex(n), 29, '0'))::uuid, 'q', 'f', s, now() FROM unnest('{pending,failed}'::text[]) WITH ORDINALITY s (s, o), generate_series(1, 30) n WHERE n % 2 = o % 2;
SELECT sum(deleted) FROM generate_series(1, 200) n, turn(n);
SELECT * FROM counts();
SELECT sum(deleted) FROM turn(1);
-- Turns with a rule that counts.
TRUNCATE chancy.jobs;
SELECT chancy.set_task('pruner', settings => '{"scan": 10, "up_to": 4, "rule": {"keep": 7}}');
SELECT finished('q1', 'f', 'failed', '1 hour', 1, 12), finished('q2', 'f', 'failed', '2 hours', 1, 20);
SELECT deleted, again FROM generate_series(1, 9) n, turn(n);
SELECT * FROM counts();

-- Never a job that an unfinished workflow refers to; when it has finished, the job is as any other.
TRUNCATE chancy.jobs;
SELECT chancy.push_workflow('w', '[{"step": "one", "func": "f"}, {"step": "two", "func": "f", "after": ["one"]}]') IS NOT NULL AS pushed;
SELECT FROM chancy.declare_queue('default');
SELECT id, started_at FROM chancy.fetch_jobs('default', 'w') \gset
SELECT applied FROM chancy.apply_updates('w', jsonb_build_array(jsonb_build_object('id', :'id', 'started_at', :'started_at', 'outcome', 'succeeded')));
SELECT chancy.prune_jobs('{"age": 0}');
UPDATE chancy.workflows SET state = 'failed', status = 'compensating';
SELECT chancy.prune_jobs('{"age": 0}');
UPDATE chancy.workflows SET state = 'completed', status = 'completed';
SELECT chancy.prune_jobs('{"age": 0}');
-- Without their index it goes too.
DROP INDEX chancy.workflow_steps_job;
UPDATE chancy.jobs SET state = 'failed', completed_at = now();
SELECT chancy.prune_jobs('{"age": 0}');

-- Old metrics, if it is set.
INSERT INTO chancy.metrics SELECT 'k', '1min', 'w' || n, '{}', '{}', 'counter', now() - interval '10 days' * n FROM generate_series(0, 3) n;
SELECT chancy.set_task('pruner', settings => '{"metrics": "15 days"}');
UPDATE chancy.task_runs SET last_run = '2000-01-02', again_at = NULL;
SELECT did FROM chancy.maintain() WHERE task = 'pruner';
SELECT worker_id FROM chancy.metrics WHERE metric_key = 'k' ORDER BY 1;

-- What is refused.
SELECT refused(format('chancy.prune_jobs(%L)', r)) FROM unnest(ARRAY['{"age": true}', '{"age": -1}', '{"age": "-1 s"}', '{"keep": {"per": "func"}}', '{"keep": {"count": 1, "per": "state"}}',
    '{"keep": {"count": 1, "of": 1}}', '{"keep": "1"}', '{"queue": 1}', '{"queue": ["a", null]}']) r \g (tuples_only format=unaligned)
SELECT refused(format('chancy.set_task(''pruner'', settings => %L)', s)) FROM unnest(ARRAY['{"scan": 1}', '{"metrics": 1}', '{"rule": 1}', '{"rule": {"keep": -1}}']) s \g (tuples_only format=unaligned)
