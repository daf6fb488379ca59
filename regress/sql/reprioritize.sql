-- reprioritize: once per interval and job, to a ceiling, and then it ends.
\i sql/include/tools.sql
\set ECHO all
CREATE FUNCTION id_at(age interval, n int) RETURNS uuid LANGUAGE sql AS $$
    SELECT (lpad(to_hex(((extract(epoch FROM now() - age) * 1000000)::bigint * 10)), 15, '0') || '78' || lpad(to_hex(n), 15, '0'))::uuid
$$;
CREATE FUNCTION waiting(queue text, func text, priority int, age interval, n int, state text DEFAULT 'pending') RETURNS void LANGUAGE sql AS $$
    INSERT INTO chancy.jobs (id, queue, func, state, priority, created_at, scheduled_at) VALUES (id_at(age, n), queue, func, state, priority, now() - age, now() - age)
$$;
CREATE FUNCTION pass(age interval) RETURNS void LANGUAGE sql AS $$
    UPDATE chancy.jobs SET created_at = created_at - age, scheduled_at = scheduled_at - age, raised_at = raised_at - age
$$;
CREATE VIEW jobs AS SELECT func, queue, state, priority, raised_at IS NOT NULL AS raised FROM chancy.jobs ORDER BY func;
SELECT waiting('a', 'a.old', 0, '10 min', 1), waiting('a', 'a.young', 0, '1 min', 2), waiting('a', 'a.high', 5, '10 min', 3), waiting('a', 'a.top', 6, '1 hour', 4),
    waiting('b', 'b.low', -3, '20 min', 5), waiting('b', 'b.retrying', 0, '20 min', 6, 'retrying'), waiting('b', 'b.later', 0, '20 min', 7),
    waiting('b', 'b.running', 0, '20 min', 8, 'running'), waiting('c', 'c.done', 0, '20 min', 9, 'failed'), waiting('c', 'c.exhausted', 0, '20 min', 10);
UPDATE chancy.jobs SET scheduled_at = now() + interval '1 hour' WHERE func = 'b.later';
UPDATE chancy.jobs SET attempts = 1 WHERE func = 'c.exhausted';
-- Only jobs that are due for so long, and are below the ceiling.
SELECT chancy.reprioritize(6);
TABLE jobs;
-- Once per interval.
SELECT chancy.reprioritize(6);
SELECT pass('299 s');
SELECT chancy.reprioritize(6);
SELECT pass('1 s');
-- Not above the ceiling; it ends.
SELECT chancy.reprioritize(6, raise_by => 4);
TABLE jobs;
SELECT pass('5 min');
SELECT chancy.reprioritize(6, raise_by => 4);
SELECT pass('5 min');
SELECT chancy.reprioritize(6, raise_by => 4);
SELECT pass('5 min');
SELECT chancy.reprioritize(6, raise_by => 4);
TABLE jobs;
SELECT chancy.reprioritize(2147483647, raise_by => 2147483647, up_to => 2);
SELECT func, priority FROM chancy.jobs WHERE priority > 6 ORDER BY func;
-- By a rule, of which age counts from when a job was due; a claim takes the raised one first.
TRUNCATE chancy.jobs;
SELECT waiting(q, q || '.' || f || '.' || a, 0, a, (row_number() OVER ())::int) FROM unnest('{a,b}'::text[]) q, unnest('{f,g}'::text[]) f, unnest('{10 min,20 min}'::interval[]) a;
SELECT chancy.reprioritize(9, rule => '{"and": [{"queue": "b"}, {"age": "15 min"}, {"not": {"func": "b.g.@ 20 mins"}}]}');
SELECT func FROM chancy.jobs WHERE priority > 0;
SELECT FROM chancy.declare_queue('b');
SELECT func FROM chancy.fetch_jobs('b', 'w');
-- A job that somebody holds is passed by (see the isolation spec). In parts, each goes on behind the part before.
SELECT chancy.set_task('reprioritize', settings => '{"ceiling": 2, "interval": "5 min", "scan": 10, "up_to": 3}');
TRUNCATE chancy.jobs;
SELECT count(waiting(q, q, n % 2, '10 min', n + 100 * ascii(q))) FROM unnest('{a,b}'::text[]) q, generate_series(1, 12) n;
CREATE FUNCTION turn(n int, OUT raised int, OUT again boolean) LANGUAGE plpgsql AS $$
BEGIN
    UPDATE chancy.task_runs SET last_run = '2000-01-02', again_at = NULL WHERE name = 'reprioritize';
    raised := (SELECT did ->> 'raised' FROM chancy.maintain() WHERE task = 'reprioritize');
    SELECT again_at IS NOT NULL INTO again FROM chancy.task_runs WHERE name = 'reprioritize';
END $$;
SELECT t.* FROM generate_series(1, 13) n, turn(n) t;
SELECT queue, priority, count(*) FROM chancy.jobs GROUP BY 1, 2 ORDER BY 1, 2;
SELECT sum(raised) FROM generate_series(1, 20) n, turn(n);
SELECT pass('5 min');
SELECT sum(raised) FROM generate_series(1, 20) n, turn(n);
SELECT queue, priority, count(*) FROM chancy.jobs GROUP BY 1, 2 ORDER BY 1, 2;
-- Nothing without a ceiling.
SELECT chancy.reset_task('reprioritize');
SELECT raised FROM turn(1);
-- What is refused.
SELECT refused(c) FROM unnest(ARRAY['chancy.reprioritize(NULL)', 'chancy.reprioritize(1, 0)', $$chancy.reprioritize(1, every => '0 s')$$, 'chancy.reprioritize(1, up_to => 0)',
    $$chancy.reprioritize(1, rule => '{"state": "failed"}')$$, $$chancy.reprioritize(1, rule => '{"keep": 1}')$$, $$chancy.reprioritize(1, rule => '[]')$$,
    $$chancy.set_task('reprioritize', settings => '{"by": 0}')$$, $$chancy.set_task('reprioritize', settings => '{"rule": {"keep": 1}}')$$]) c \g (tuples_only format=unaligned)
