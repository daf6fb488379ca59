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
