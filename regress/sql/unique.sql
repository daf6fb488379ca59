-- unique: what a push does when its key is taken (on_conflict), and for how long it is (unique_for).
\set ECHO none
\i sql/include/tools.sql
-- Pushes one job with the key k; tells whether it was created, and which job has the id.
CREATE FUNCTION push_k(func text, mode text DEFAULT 'keep', more jsonb DEFAULT '{}') RETURNS text LANGUAGE plpgsql SET chancy.push_mode = immediate AS $$
DECLARE p record; name text;
BEGIN
    SELECT * INTO p FROM chancy.push_many(jsonb_build_array(jsonb_build_object('func', func, 'unique_key', 'k', 'on_conflict', mode) || more));
    SELECT j.func INTO name FROM chancy.jobs j WHERE j.id = p.id;
    RETURN format('%s: %s', CASE WHEN p.created THEN 'created' ELSE 'met' END, name);
END $$;
CREATE FUNCTION fetch_one(worker text DEFAULT 'w') RETURNS text LANGUAGE sql AS $$ SELECT func FROM chancy.fetch_jobs('default', worker) $$;
CREATE FUNCTION finish(outcome text, more jsonb DEFAULT '{}') RETURNS text LANGUAGE plpgsql SET chancy.push_mode = immediate AS $$
DECLARE u record;
BEGIN
    SELECT a.* INTO u FROM chancy.running_jobs('w') j,
        chancy.apply_updates('w', jsonb_build_array(jsonb_build_object('id', j.id, 'started_at', j.started_at, 'outcome', outcome) || more)) a;
    RETURN format('%s %s', u.state, coalesce(u.reason, 'applied'));
END $$;
CREATE VIEW k AS
SELECT j.func, j.state, j.kwargs, j.priority, j.attempts || '/' || j.max_attempts AS attempts, j.scheduled_at <= clock_timestamp() AS due, j.rerun,
    j.next_run - 'scheduled_at' AS next_run, j.unique_until > now() AS held
FROM chancy.jobs j WHERE j.unique_key = 'k' ORDER BY j.id;
\set ECHO all
SELECT (chancy.declare_queue('default')).name;

-- keep: whatever the live job does.
SELECT push_k('a'), push_k('b');
SELECT fetch_one(), push_k('b'), finish('succeeded'), push_k('c');
TABLE k;
TRUNCATE chancy.jobs;

-- reject: an error, and nothing of the batch is pushed.
SELECT push_k('a', 'reject');
SELECT refused($$chancy.push('b', unique_key => 'k', on_conflict => 'reject')$$) ~ '23505: unique_key is taken: "k"';
SELECT refused(format('chancy.push_many(%L)', batch)) ~ message AS refused FROM (VALUES
    ('[{"func": "x"}, {"func": "y", "unique_key": "l"}, {"func": "z", "unique_key": "k", "on_conflict": "reject"}]', '23505: jobs.2..unique_key is taken: "k"'),
    ('[{"func": "x", "unique_key": "l"}, {"func": "y", "unique_key": "l", "on_conflict": "reject"}]', '23505: jobs.1..unique_key is taken: "l"')) v (batch, message);
SELECT count(*) FROM chancy.jobs;
SELECT fetch_one(), finish('succeeded'), push_k('b', 'reject');
TRUNCATE chancy.jobs;

-- replace: the waiting job becomes the new one, under its id.
SELECT push_k('a', 'replace', '{"priority": 3, "max_attempts": 5}');
SELECT push_k('b', 'replace', '{"kwargs": {"n": 1}, "scheduled_at": "2100-01-01T00:00:00Z", "meta": {"m": 1}}');
TABLE k;
SELECT push_k('c', 'replace', '{"max_attempts": 3}');
SELECT fetch_one(), finish('failed', '{"error": "broken", "retry_at": "2100-01-01T00:00:00Z"}');
TABLE k;
-- A retrying one too: the attempts begin anew, the errors stay.
SELECT push_k('d', 'replace', '{"max_attempts": 2}');
SELECT func, state, attempts, max_attempts, without_time(errors) AS errors, taken_by, started_at IS NOT NULL AS has_run FROM chancy.jobs;
-- One that runs is not touched: what is to replace it is noted, and comes after it; the last one counts.
SELECT fetch_one(), push_k('e', 'replace', '{"kwargs": {"n": 1}}'), push_k('f', 'replace', '{"kwargs": {"n": 2}, "queue": "other"}'), push_k('g'), push_k('g', 'rerun');
TABLE k;
SELECT finish('succeeded', '{"result": 7}');
TABLE k;
SELECT func, queue, result, without_time(errors) AS errors, started_at IS NULL AS never FROM chancy.jobs ORDER BY id;
TRUNCATE chancy.jobs;

-- rerun: a job that waits stays as it is, one that runs is run once more, with what the push says.
SELECT push_k('a', 'rerun'), push_k('b', 'rerun');
TABLE k;
SELECT fetch_one(), push_k('c', 'rerun', '{"kwargs": {"n": 1}}'), push_k('d', 'rerun');
TABLE k;
SELECT finish('succeeded'), fetch_one();
TABLE k;
SELECT finish('succeeded'), fetch_one();
TRUNCATE chancy.jobs;
-- However the job ends: discarded, out of attempts, cancelled.
SELECT push_k('a'), fetch_one(), push_k('b', 'rerun'), finish('discarded');
SELECT fetch_one(), push_k('c', 'rerun'), finish('failed');
SELECT fetch_one(), push_k('d', 'rerun');
SELECT chancy.cancel_job(id_of('c'));
TABLE k;
-- A cancel of the waiting job is meant for the run that the push wanted.
SELECT push_k('e', 'rerun');
SELECT chancy.cancel_job(id_of('d'));
SELECT count(*) FROM k WHERE state = 'pending';
TRUNCATE chancy.jobs;
-- If it is to run again anyway, that is the run that was wanted: retry, snooze, release, a worker that is gone.
SELECT push_k('a', 'keep', '{"max_attempts": 9}'), fetch_one(), push_k('b', 'rerun'), finish('failed', '{"retry_at": "2000-01-01T00:00:00Z"}');
TABLE k;
SELECT fetch_one(), push_k('b', 'rerun'), finish('snoozed', '{"retry_at": "2000-01-01T00:00:00Z"}');
SELECT fetch_one(), push_k('b', 'rerun'), finish('released');
TABLE k;
SELECT fetch_one(), push_k('b', 'rerun');
SELECT chancy.heartbeat('w', '{}', '{}', '1 s') IS NOT NULL;
UPDATE chancy.workers SET expires_at = now() - interval '1 s';
SELECT * FROM chancy.recover_jobs();
TABLE k;
-- With replace the new job takes the place of the attempt.
SELECT fetch_one(), push_k('b', 'replace', '{"max_attempts": 4}'), finish('failed', '{"error": "broken"}');
TABLE k;
SELECT fetch_one(), push_k('c', 'replace', '{"kwargs": {"n": 3}}');
SELECT * FROM chancy.recover_jobs();
TABLE k;
SELECT fetch_one(), push_k('d', 'replace');
-- A job that is recovered too often fails, and what comes after it comes with the next turn of maintenance.
SELECT * FROM chancy.recover_jobs(0);
TABLE k;
SELECT task, did FROM chancy.maintain() WHERE task = 'next_runs';
TABLE k;
TRUNCATE chancy.jobs, chancy.task_runs, chancy.workers;

-- Python writes results by id and knows nothing of this: maintenance sees to it. A run that is yet to come will do.
SELECT push_k('a'), fetch_one(), push_k('b', 'rerun');
UPDATE chancy.jobs SET state = 'succeeded', completed_at = now();
SELECT * FROM chancy.prune_jobs('{"state": "succeeded"}');
SELECT task, did FROM chancy.maintain() WHERE task = 'next_runs';
TABLE k;
SELECT fetch_one(), push_k('c', 'rerun');
UPDATE chancy.jobs SET state = 'succeeded', completed_at = now() WHERE state = 'running';
SELECT push_k('d');
TRUNCATE chancy.task_runs;
SELECT task, did FROM chancy.maintain() WHERE task = 'next_runs';
TABLE k;
SELECT fetch_one(), push_k('e', 'rerun');
UPDATE chancy.jobs SET state = 'succeeded', completed_at = now() WHERE state = 'running';
SELECT push_k('f'), fetch_one();
TRUNCATE chancy.task_runs;
SELECT task, did FROM chancy.maintain() WHERE task = 'next_runs';
TABLE k;
-- A retry of the job is that run too.
UPDATE chancy.jobs SET state = 'succeeded', completed_at = now() WHERE state = 'running';
SELECT func, next_run FROM k WHERE next_run IS NOT NULL;
SELECT chancy.retry_job(id_of('f'));
TABLE k;
TRUNCATE chancy.jobs, chancy.task_runs;

-- In one batch, and in one transaction.
SELECT ord, created FROM chancy.push_many('[{"func": "a", "unique_key": "k"}, {"func": "b", "unique_key": "k", "on_conflict": "replace", "priority": 2},
    {"func": "c", "unique_key": "k", "on_conflict": "rerun"}]');
TABLE k;
SELECT fetch_one();
BEGIN;
SELECT chancy.push('d', unique_key => 'k', on_conflict => 'rerun') IS NOT NULL;
SELECT j.func, u.applied FROM chancy.running_jobs('w') j,
    chancy.apply_updates('w', jsonb_build_array(jsonb_build_object('id', j.id, 'started_at', j.started_at, 'outcome', 'succeeded'))) u;
SELECT chancy.push('e', unique_key => 'k', on_conflict => 'replace') IS NOT NULL;
COMMIT;
SELECT p.ord, p.created, p.id = p.reserved AS own, j.func FROM chancy.pushed() p JOIN chancy.jobs j USING (id) ORDER BY p.ord;
TABLE k;
-- A row of the key and its live job.
BEGIN;
SELECT chancy.retry_job(id_of('b'));
SELECT chancy.push('f', unique_key => 'k', on_conflict => 'replace') IS NOT NULL;
COMMIT;
TABLE k;
-- reject at commit names the call.
\set VERBOSITY terse
BEGIN;
SELECT chancy.push('g', unique_key => 'l') IS NOT NULL;
SELECT chancy.push('g', unique_key => 'k', on_conflict => 'reject') IS NOT NULL;
COMMIT;
\set VERBOSITY default
SELECT count(*) FROM chancy.jobs WHERE unique_key = 'l';
TRUNCATE chancy.jobs;

-- unique_for: the key stays taken after the job has ended.
SELECT push_k('a', 'keep', '{"unique_for": "1 hour"}'), fetch_one(), finish('succeeded');
SELECT unique_until = created_at + interval '1 hour' AS from_creation FROM chancy.jobs;
SELECT push_k('b'), push_k('b', 'keep', '{"unique_for": "1 s"}');
SELECT refused($$chancy.push('b', unique_key => 'k', on_conflict => 'reject')$$) ~ '23505: unique_key is taken: "k"';
-- A run that must not be missed waits for the end of the period; further ones meet it.
SELECT push_k('b', 'rerun'), push_k('c', 'rerun'), push_k('d', 'replace', '{"unique_for": "1 hour"}');
SELECT func, state, scheduled_at > now() + interval '50 min' AS later FROM chancy.jobs ORDER BY id;
TRUNCATE chancy.jobs;
SELECT push_k('a', 'keep', '{"unique_for": "1 hour"}'), fetch_one(), finish('succeeded');
SELECT push_k('d', 'replace', '{"unique_for": "1 hour"}');
SELECT func, state, (scheduled_at = lag(unique_until) OVER w) AS when_over, unique_until = scheduled_at + interval '1 hour' AS from_then
FROM chancy.jobs WINDOW w AS (ORDER BY id);
-- What is noted while the job runs, too.
TRUNCATE chancy.jobs;
SELECT push_k('a', 'keep', '{"unique_for": "1 hour"}'), fetch_one(), push_k('b', 'rerun'), finish('succeeded'), fetch_one();
TABLE k;
-- When it is over the key is free, and the history may go.
UPDATE chancy.jobs SET unique_until = now() - interval '1 s' WHERE func = 'a';
SELECT chancy.cancel_job(id_of('b'));
SELECT push_k('c', 'keep', '{"unique_for": "1 hour"}'), fetch_one(), finish('succeeded'), push_k('d');
SELECT chancy.prune_jobs('{"state": ["succeeded", "failed"]}');
TABLE k;
-- From when the job is due.
TRUNCATE chancy.jobs;
SELECT push_k('a', 'keep', '{"unique_for": "1 hour", "scheduled_at": "2100-01-01T00:00:00Z"}');
SELECT unique_until = scheduled_at + interval '1 hour' AS from_due FROM chancy.jobs;
SELECT chancy.push('z', unique_key => 'z', unique_for => '90 min') IS NOT NULL;
SELECT unique_until = created_at + interval '90 min' AS by_parameter FROM chancy.jobs WHERE func = 'z';
TRUNCATE chancy.jobs;

-- Bad input.
SELECT refused(format('chancy.push_many(%L)', '[{"func": "f"}, ' || bad || ']')) FROM unnest(ARRAY[
    '{"func": "f", "unique_key": "k", "on_conflict": "Replace"}', '{"func": "f", "unique_key": "k", "on_conflict": 1}',
    '{"func": "f", "on_conflict": "rerun"}', '{"func": "f", "unique_for": "1 hour"}',
    '{"func": "f", "unique_key": "k", "unique_for": 3600}', '{"func": "f", "unique_key": "k", "unique_for": "an hour"}',
    '{"func": "f", "unique_key": "k", "unique_for": "0.5 s"}', '{"func": "f", "unique_key": "k", "unique_for": "11 years"}',
    '{"func": "f", "unique_key": "k", "unique_for": "1 hour", "scheduled_at": "294276-12-31T23:30:00Z"}']) bad;
SELECT refused(format('chancy.push(%s)', arguments)) FROM unnest(ARRAY[
    $$'f', unique_key => 'k', unique_for => '0'$$, $$'f', unique_key => 'k', unique_for => '-1 hour'$$, $$'f', unique_for => '1 hour'$$,
    $$'f', on_conflict => 'reject'$$, $$'f', unique_key => 'k', on_conflict => ''$$]) arguments;
SELECT count(*) FROM chancy.jobs;

-- A role that is limited to queues replaces no job of another one; it may follow one that runs.
SELECT push_k('a', 'keep', '{"queue": "secret"}');
CREATE ROLE unique_producer;
SELECT chancy.grant_producer('unique_producer', '{default}');
SET ROLE unique_producer;
SELECT chancy.push('b', unique_key => 'k') IS NOT NULL;
SELECT chancy.push('b', unique_key => 'k', on_conflict => 'replace');
BEGIN;
SELECT chancy.push('b', unique_key => 'k', on_conflict => 'replace') IS NOT NULL;
COMMIT;
RESET ROLE;
TABLE k;
TRUNCATE chancy.jobs, chancy.grants;
DROP OWNED BY unique_producer;
DROP ROLE unique_producer;
