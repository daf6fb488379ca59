-- rate_limit: at most so many jobs in a window. Windows are counted from the epoch by the server's clock; the tests use
-- one that began in 2001 and ends in 2033, and move the counter instead of waiting.
\set ECHO none
\i sql/include/tools.sql
\set ECHO all

SELECT (chancy.declare_queue('limited', rate_limit => 3, rate_limit_window => 1000000000)).name;
SELECT (chancy.declare_queue('free')).name;
SELECT count(*) FROM chancy.push_many((SELECT jsonb_agg(jsonb_build_object('func', 'r.' || n, 'queue', q) ORDER BY n)
    FROM generate_series(1, 9) n, unnest('{limited,free}'::text[]) q));

-- Two, then the one that is left, then none; other queues are not limited.
SELECT func FROM chancy.fetch_jobs('limited', 'w', 2);
SELECT func FROM chancy.fetch_jobs('limited', 'w', 2);
SELECT func FROM chancy.fetch_jobs('limited', 'w', 2);
SELECT count(*) FROM chancy.fetch_jobs('free', 'w', 99);
SELECT * FROM chancy.queue_rate_limits;
-- Results give nothing back: starts are counted, not running jobs.
SELECT count(*) FROM chancy.apply_updates('w', (SELECT jsonb_agg(jsonb_build_object('id', id, 'started_at', started_at,
    'outcome', 'succeeded')) FROM chancy.running_jobs('w')));
SELECT func FROM chancy.fetch_jobs('limited', 'w', 2);

-- The next window: a new count. A stale counter of an earlier window does not matter.
UPDATE chancy.queue_rate_limits SET window_start = 0, count = 99;
SELECT func FROM chancy.fetch_jobs('limited', 'w', 99);
SELECT * FROM chancy.queue_rate_limits;
SELECT func FROM chancy.fetch_jobs('limited', 'w', 99);

-- A higher limit counts at once, with what has been started already; a lower one too.
SELECT rate_limit FROM chancy.declare_queue('limited', rate_limit => 4, rate_limit_window => 1000000000, upsert => true);
SELECT func FROM chancy.fetch_jobs('limited', 'w', 99);
SELECT rate_limit FROM chancy.declare_queue('limited', rate_limit => 1, rate_limit_window => 1000000000, upsert => true);
SELECT func FROM chancy.fetch_jobs('limited', 'w', 99);
-- Without a limit nothing is counted.
SELECT rate_limit FROM chancy.declare_queue('limited', upsert => true);
SELECT func FROM chancy.fetch_jobs('limited', 'w', 1);
SELECT count FROM chancy.queue_rate_limits;

-- A fetch that is rolled back has started nothing; one that finds no jobs counts none; two of one transaction add up.
SELECT rate_limit FROM chancy.declare_queue('tx', rate_limit => 2, rate_limit_window => 1000000000);
SELECT func FROM chancy.fetch_jobs('tx', 'w', 99);
SELECT count(*) FROM chancy.push_many('[{"func": "t.1", "queue": "tx"}, {"func": "t.2", "queue": "tx"}, {"func": "t.3", "queue": "tx"}]');
BEGIN;
SELECT func FROM chancy.fetch_jobs('tx', 'w', 99);
ROLLBACK;
BEGIN;
SELECT func FROM chancy.fetch_jobs('tx', 'w');
SELECT func FROM chancy.fetch_jobs('tx', 'w');
SELECT func FROM chancy.fetch_jobs('tx', 'w');
COMMIT;
SELECT queue, count FROM chancy.queue_rate_limits ORDER BY queue;

-- exchange obeys it too, and tells that nobody is in the way.
UPDATE chancy.queue_rate_limits SET count = 1 WHERE queue = 'tx';
UPDATE chancy.jobs SET state = 'pending' WHERE queue = 'tx';
SELECT kind, ord, reason, passed, (job).func FROM chancy.exchange('w', '[]', 'tx', 99);
SELECT kind, ord, reason, passed, (job).func FROM chancy.exchange('w', '[]', 'tx', 99);

-- As Python writes it: a row for a queue, both columns or none.
UPDATE chancy.queues SET rate_limit = 1, rate_limit_window = NULL WHERE name = 'tx';
SELECT count(*) FROM chancy.fetch_jobs('tx', 'w', 99);

-- A token bucket: two at once, then one for each token. 10 in 1000 s, two at once: a token every 1000 / 9 s.
SELECT rate_limit_burst FROM chancy.declare_queue('bucket', rate_limit => 10, rate_limit_window => 1000, rate_limit_burst => 2);
SELECT count(*) FROM chancy.push_many((SELECT jsonb_agg(jsonb_build_object('func', 'b.' || n, 'queue', 'bucket') ORDER BY n) FROM generate_series(1, 20) n));
SELECT func FROM chancy.fetch_jobs('bucket', 'w', 99);
SELECT func FROM chancy.fetch_jobs('bucket', 'w', 99);
SELECT kind, ord, reason, passed BETWEEN 100000 AND 111112 AS ms FROM chancy.exchange('w', '[]', 'bucket', 99);
SELECT count, full_at - now() BETWEEN '220 s' AND '222.3 s' AS empty FROM chancy.queue_rate_limits WHERE queue = 'bucket';
-- Time passes: half a token, one, more than the bucket holds. (full_at is moved instead of waiting.)
UPDATE chancy.queue_rate_limits SET full_at = full_at - interval '55 s' WHERE queue = 'bucket';
SELECT count(*) FROM chancy.fetch_jobs('bucket', 'w', 99);
UPDATE chancy.queue_rate_limits SET full_at = full_at - interval '57 s' WHERE queue = 'bucket';
SELECT count(*) FROM chancy.fetch_jobs('bucket', 'w', 99);
UPDATE chancy.queue_rate_limits SET full_at = full_at - interval '9 hours' WHERE queue = 'bucket';
SELECT count(*) FROM chancy.fetch_jobs('bucket', 'w', 99);
-- A clock that was set back closes the bucket for no longer than it takes to fill: a token comes after 112 s all the same.
UPDATE chancy.queue_rate_limits SET full_at = now() + interval '1 year' WHERE queue = 'bucket';
SELECT count(*) FROM chancy.fetch_jobs('bucket', 'w', 99);
SELECT kind, passed BETWEEN 100000 AND 111112 AS ms FROM chancy.exchange('w', '[]', 'bucket', 99);
-- A burst of rate_limit: all at once, and then nothing for a window. Of 1: evenly spaced.
SELECT rate_limit_burst FROM chancy.declare_queue('bucket', rate_limit => 3, rate_limit_window => 1000, rate_limit_burst => 3, upsert => true);
UPDATE chancy.queue_rate_limits SET full_at = NULL WHERE queue = 'bucket';
SELECT count(*) FROM chancy.fetch_jobs('bucket', 'w', 99);
SELECT kind, passed BETWEEN 990000 AND 1000001 AS ms FROM chancy.exchange('w', '[]', 'bucket', 99);
SELECT rate_limit_burst FROM chancy.declare_queue('bucket', rate_limit => 4, rate_limit_window => 1000, rate_limit_burst => 1, upsert => true);
UPDATE chancy.queue_rate_limits SET full_at = NULL WHERE queue = 'bucket';
SELECT count(*) FROM chancy.fetch_jobs('bucket', 'w', 99);
SELECT kind, passed BETWEEN 240000 AND 250001 AS ms FROM chancy.exchange('w', '[]', 'bucket', 99);
-- A fixed window tells when it ends, too, as long as jobs may wait for that.
SELECT rate_limit_burst FROM chancy.declare_queue('bucket', rate_limit => 4, rate_limit_window => 1000000000, upsert => true);
SELECT kind, passed > 1000000 AS ms, (job).func IS NOT NULL AS job FROM chancy.exchange('w', '[]', 'bucket', 99);
SELECT kind, passed > 1000000 AS ms FROM chancy.exchange('w', '[]', 'bucket', 99);
DELETE FROM chancy.jobs WHERE queue = 'bucket';
UPDATE chancy.queue_rate_limits SET count = 0 WHERE queue = 'bucket';
SELECT kind FROM chancy.exchange('w', '[]', 'bucket', 99);
-- In any 1000 s, wherever they begin, no more than ten start, whatever the burst, and however greedy the workers: an hour
-- in steps of 10 s, with a pause in the middle that fills the bucket.
CREATE TABLE starts (burst int, at int, n int);
DO $$
BEGIN
    FOR burst IN 1 .. 10 LOOP
        PERFORM chancy.declare_queue('any', rate_limit => 10, rate_limit_window => 1000, rate_limit_burst => burst, upsert => true);
        DELETE FROM chancy.jobs WHERE queue = 'any';
        DELETE FROM chancy.queue_rate_limits WHERE queue = 'any';
        INSERT INTO chancy.jobs (id, queue, func) SELECT gen_random_uuid(), 'any', 'f' FROM generate_series(1, 40);
        FOR step IN 0 .. 360 LOOP
            UPDATE chancy.queue_rate_limits SET full_at = full_at - interval '10 s' WHERE queue = 'any' AND step > 0;
            CONTINUE WHEN step BETWEEN 100 AND 239;
            INSERT INTO starts SELECT burst, step * 10, count(*) FROM chancy.fetch_jobs('any', 'w', 99);
        END LOOP;
    END LOOP;
END $$;
SELECT burst, max(n) AS at_once, max(in_window) AS in_any_window, sum(n) FILTER (WHERE at < 1000) AS in_the_first
FROM (SELECT *, sum(n) OVER (PARTITION BY burst ORDER BY at RANGE BETWEEN CURRENT ROW AND 999 FOLLOWING) AS in_window FROM starts) s
GROUP BY burst ORDER BY burst;

-- Refused.
SELECT refused($$chancy.declare_queue('x', rate_limit => 4, rate_limit_window => 10, rate_limit_burst => 5)$$);
SELECT refused($$chancy.declare_queue('x', rate_limit => 4, rate_limit_window => 10, rate_limit_burst => 0)$$);
SELECT refused($$chancy.declare_queue('x', rate_limit_burst => 1)$$);
