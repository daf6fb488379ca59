-- progress: reports, their fence, checkpoints over attempts, what a retry starts from, sweeping, events.
\set ECHO none
\i sql/include/tools.sql
-- A report for the running job of this func.
CREATE FUNCTION a_report(func text, more jsonb, ago interval = '0 s') RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object('id', j.id, 'started_at', j.started_at - ago) || more
    FROM chancy.jobs j WHERE j.func = a_report.func ORDER BY j.id DESC LIMIT 1
$$;
\set ECHO all

SELECT (chancy.declare_queue('default')).name;
SELECT count(*) FROM chancy.push_many('[{"func": "p.1", "max_attempts": 3}, {"func": "p.2"}, {"func": "p.3"}]');
SELECT func FROM chancy.fetch_jobs('default', 'w', 2);
CREATE VIEW seen AS SELECT func, state, percent, message, checkpoint FROM chancy.job_progress ORDER BY func;

-- In input order, each with its verdict. What a report leaves out stays.
SELECT r.ord, j.func, r.applied, r.reason FROM chancy.report_progress('w', jsonb_build_array(
    a_report('p.2', '{"percent": 50.5}'), a_report('p.1', '{"percent": 0, "message": "begun ü", "checkpoint": {"line": 1}}'),
    a_report('p.3', '{"started_at": "2020-01-01Z", "percent": 1}'), '{"id": "00000000-0000-0000-0000-000000000000", "started_at": "2020-01-01Z"}'::jsonb)) r
LEFT JOIN chancy.jobs j ON j.id = r.id ORDER BY ord;
SELECT * FROM seen;
SELECT applied FROM chancy.report_progress('w', jsonb_build_array(a_report('p.1', '{"percent": 10, "message": null}')));
SELECT applied FROM chancy.report_progress('w', jsonb_build_array(a_report('p.2', '{"checkpoint": false, "message": ""}')));
-- One id twice: the later one is on top.
SELECT applied FROM chancy.report_progress('w', jsonb_build_array(a_report('p.2', '{"percent": 60}'), a_report('p.2', '{"message": "twice"}')));
SELECT * FROM seen;
SELECT percent, message, checkpoint, reported_at BETWEEN now() - interval '1 min' AND now() AS now FROM chancy.get_progress(id_of('p.1'));
SELECT job_id IS NULL AS none FROM chancy.get_progress(id_of('p.3'));
SELECT count(*) FROM chancy.report_progress('w', '[]');
-- A long message is clipped, between characters.
SELECT applied FROM chancy.report_progress('w', jsonb_build_array(a_report('p.2', jsonb_build_object('message', repeat('ü', 2000)))));
SELECT octet_length(message), message = repeat('ü', 512) AS clipped FROM chancy.get_progress(id_of('p.2'));

-- The fence: another worker, another attempt, none.
SELECT applied, reason FROM chancy.report_progress('other', jsonb_build_array(a_report('p.1', '{"percent": 99}')));
SELECT applied, reason FROM chancy.report_progress('w', jsonb_build_array(a_report('p.1', '{"percent": 99}', '1 s')));
SELECT chancy.get_checkpoint('w', id_of('p.1')), chancy.get_checkpoint('other', id_of('p.1')) AS others, chancy.get_checkpoint('w', id_of('p.3')) AS not_running,
    chancy.get_checkpoint('w', '00000000-0000-0000-0000-000000000000') AS missing;

-- The next attempt finds the checkpoint; what was told of the one before is gone with its own first report.
SELECT state FROM chancy.apply_updates('w', jsonb_build_array(an_update('p.1', 'failed', jsonb_build_object('retry_at', now()))));
SELECT applied, reason FROM chancy.report_progress('w', jsonb_build_array(a_report('p.1', '{"percent": 99}')));
SELECT func, attempts FROM chancy.fetch_jobs('default', 'w2', 1);
SELECT chancy.get_checkpoint('w2', id_of('p.1'));
SELECT func, attempts FROM chancy.fetch_jobs('default', 'w2', 1);
SELECT chancy.get_checkpoint('w2', id_of('p.1'));
SELECT * FROM seen WHERE func = 'p.1';
SELECT applied FROM chancy.report_progress('w2', jsonb_build_array(a_report('p.1', '{"message": "again"}')));
SELECT * FROM seen WHERE func = 'p.1';
-- A report of the attempt before that comes late, past the fence: its row belongs to a later one.
UPDATE chancy.progress SET started_at = started_at + interval '1 s' WHERE job_id = id_of('p.1');
SELECT applied, reason FROM chancy.report_progress('w2', jsonb_build_array(a_report('p.1', '{"percent": 99}')));
UPDATE chancy.progress SET started_at = started_at - interval '1 s' WHERE job_id = id_of('p.1');

-- A failed job that is retried goes on from its checkpoint; one that has succeeded begins anew.
SELECT state FROM chancy.apply_updates('w2', jsonb_build_array(an_update('p.1', 'discarded'), an_update('p.3', 'discarded')));
SELECT state FROM chancy.apply_updates('w', jsonb_build_array(an_update('p.2', 'succeeded')));
SELECT chancy.retry_job(id_of('p.1')), chancy.retry_job(id_of('p.2'));
SELECT func, state, message, checkpoint FROM seen;
-- In a block too, and undone with it.
SELECT func FROM chancy.fetch_jobs('default', 'w', 1);
SELECT state FROM chancy.apply_updates('w', jsonb_build_array(an_update('p.1', 'succeeded')));
BEGIN; SELECT chancy.retry_job(id_of('p.1')); ROLLBACK;
SELECT count(*) FROM seen;
BEGIN; SELECT chancy.retry_job(id_of('p.1')); COMMIT;
SELECT count(*) FROM seen;

-- A report in a block is written at once, and undone with it.
SELECT func FROM chancy.fetch_jobs('default', 'w', 9);
BEGIN; SELECT applied FROM chancy.report_progress('w', jsonb_build_array(a_report('p.1', '{"percent": 5}'))); ROLLBACK;
SELECT count(*) FROM seen;

-- Sweeping: rows of jobs that are gone, and of those that succeeded some time ago; not of live and failed ones. In steps.
SELECT count(*) FROM chancy.report_progress('w', jsonb_build_array(a_report('p.1', '{"percent": 5}'), a_report('p.2', '{"percent": 5}')));
INSERT INTO chancy.progress (job_id, started_at, reported_at) SELECT gen_random_uuid(), now(), now() FROM generate_series(1, 5);
SELECT state FROM chancy.apply_updates('w', jsonb_build_array(an_update('p.2', 'succeeded')));
SELECT chancy.set_task('progress', settings => '{"up_to": 3}');
CREATE FUNCTION sweep() RETURNS jsonb LANGUAGE sql AS $$
    UPDATE chancy.task_runs SET last_run = now() - interval '1 h' WHERE name = 'progress';
    SELECT did FROM chancy.maintain() WHERE task = 'progress'
$$;
SELECT sweep() -> 'deleted' > '0' AS some;
SELECT count(*) > 2 AS not_all FROM chancy.progress;
SELECT sum((sweep() ->> 'deleted')::int) > 0 AS some FROM generate_series(1, 3);
SELECT func FROM seen;
SELECT count(*) FROM chancy.progress;
SELECT chancy.set_task('progress', settings => '{"keep": 0}');
SELECT sweep(), sweep();
SELECT func FROM seen;
-- HOT: no index entry, and the pages are cleaned as they are written.
SELECT count(*) FROM generate_series(1, 500) n, LATERAL chancy.report_progress('w', jsonb_build_array(a_report('p.1', jsonb_build_object('percent', n / 5.0)))) r WHERE r.applied;
SELECT pg_relation_size('chancy.progress') <= 5 * 8192 AS small;

-- bad_input: refused whole.
SELECT refused(c) FROM unnest(ARRAY[
    $$chancy.report_progress(NULL, '[]')$$,
    $$chancy.report_progress('', '[]')$$,
    $$chancy.report_progress('w', NULL)$$,
    $$chancy.report_progress('w', '{}')$$,
    $$chancy.report_progress('w', '[1]')$$,
    $$chancy.report_progress('w', '[{"started_at": "2020-01-01Z"}]')$$,
    $$chancy.report_progress('w', '[{"id": "00000000-0000-0000-0000-000000000000"}]')$$,
    $$chancy.report_progress('w', '[{"id": "00000000-0000-0000-0000-000000000000", "started_at": "2020-01-01Z", "percent": 101}]')$$,
    $$chancy.report_progress('w', '[{"id": "00000000-0000-0000-0000-000000000000", "started_at": "2020-01-01Z", "percent": -1e-9}]')$$,
    $$chancy.report_progress('w', '[{"id": "00000000-0000-0000-0000-000000000000", "started_at": "2020-01-01Z", "percent": "1"}]')$$,
    $$chancy.report_progress('w', '[{"id": "00000000-0000-0000-0000-000000000000", "started_at": "2020-01-01Z", "message": 1}]')$$,
    $$chancy.report_progress('w', '[{"id": "00000000-0000-0000-0000-000000000000", "started_at": "soon"}]')$$,
    $$chancy.report_progress('w', '[{"id": "00000000-0000-0000-0000-000000000000", "started_at": "2020-01-01Z", "progress": 1}]')$$,
    $$chancy.get_checkpoint(NULL, '00000000-0000-0000-0000-000000000000')$$,
    $$chancy.get_checkpoint('w', NULL)$$]) c \g (tuples_only format=unaligned)
