-- push: one job and batches; ids, defaults, keys, transactions.
\set ECHO none
\i sql/include/tools.sql
\set ECHO all

-- One job, with all the defaults.
SELECT clock_timestamp() AS before \gset
SELECT chancy.push('mod.plain') AS id \gset
SELECT func, queue, kwargs, limits, meta, state, priority, attempts, max_attempts, taken_by, started_at, completed_at,
    unique_key, errors, recoveries, result
FROM chancy.jobs WHERE id = :'id' \gx
SELECT created_at = scheduled_at AS same_time, created_at BETWEEN :'before' AND clock_timestamp() AS now_ish
FROM chancy.jobs WHERE id = :'id';

-- Its id is Chancy's: 60 bits of 100 ns ticks, 7, the variant. RFC 9562's sort before all of them.
SELECT :'id' ~ '^0[0-9a-f]{7}-[0-9a-f]{4}-[0-9a-f]{3}7-[89ab][0-9a-f]{3}-[0-9a-f]{12}$' AS layout,
    chancy.id_time(:'id') BETWEEN :'before' AND clock_timestamp() AS id_time,
    ('x' || left(replace(:'id', '-', ''), 15))::bit(60)::bigint / 10
        = (extract(epoch FROM chancy.id_time(:'id')) * 1000000)::bigint AS ticks_since_1970,
    :'id' > '01900000-0000-7000-8000-000000000000' AS after_rfc_ids;
SELECT chancy.id_time('01900000-0000-7000-8000-000000000000') AS rfc_v7, chancy.id_time(gen_random_uuid()) AS v4,
    chancy.id_time(NULL) AS none, chancy.id_time('03c71f9b-af43-0007-8000-000000000000') = '2023-11-30 22:00:00Z' AS exact;

-- One job, with everything given.
SELECT chancy.push(func => 'mod.full', kwargs => '{"a": [1, {"b": "ü"}]}', queue => 'other', priority => -2147483648,
    max_attempts => 2147483647, scheduled_at => '2030-01-31 12:00:00.123456+02', unique_key => 'k''1',
    limits => '[{"t": "time", "v": 10}, {"t": "memory", "v": 8589934592}]', meta => '{"m": null}', on_conflict => 'keep') AS id \gset
SELECT func, queue, kwargs, limits, meta, state, priority, max_attempts, scheduled_at AT TIME ZONE 'UTC' AS utc, unique_key
FROM chancy.jobs WHERE id = :'id' \gx

-- The same in a batch. JSON null means absent.
SELECT ord, id AS pushed, created FROM chancy.push_many('[
    {"func": "mod.batch", "kwargs": {"a": [1, {"b": "ü"}]}, "queue": "other", "priority": 2147483647, "max_attempts": 1.0,
     "scheduled_at": "2030-01-31T12:00:00.123456+02:00", "unique_key": "k2", "limits": [{"t": "time", "v": 1e2}],
     "meta": {"m": null}, "on_conflict": "keep"}]') \gset
SELECT :ord AS ord, :'created' AS created, func, queue, kwargs, limits, meta, state, priority, max_attempts,
    scheduled_at AT TIME ZONE 'UTC' AS utc, unique_key
FROM chancy.jobs WHERE id = :'pushed' \gx
SELECT ord, created FROM chancy.push_many('[{"func": "mod.nulls", "kwargs": null, "queue": null, "priority": null, "max_attempts": null,
    "scheduled_at": null, "unique_key": null, "limits": null, "meta": null, "on_conflict": null}]');
SELECT a.queue = b.queue AND a.kwargs = b.kwargs AND a.limits = b.limits AND a.meta = b.meta AND a.priority = b.priority
    AND a.max_attempts = b.max_attempts AND b.unique_key IS NULL AND b.scheduled_at = b.created_at AS like_the_default
FROM chancy.jobs a, chancy.jobs b WHERE a.func = 'mod.plain' AND b.func = 'mod.nulls';

-- No jobs, no rows.
SELECT * FROM chancy.push_many('[]');

-- Rows come in input order, whatever the order of the keys, and ids rise strictly with it.
SELECT jsonb_agg(jsonb_build_object('func', 'mod.many', 'kwargs', jsonb_build_object('n', n),
    'unique_key', CASE WHEN n % 3 > 0 THEN md5(n::text) END) ORDER BY n) AS batch FROM generate_series(1, 1000) n \gset
WITH pushed AS MATERIALIZED (SELECT row_number() OVER () AS place, p.* FROM chancy.push_many(:'batch') p)
SELECT count(*), bool_and(place = ord) AS in_order, bool_and(created) AS created,
    bool_and(id > before) AS rising, count(DISTINCT id) AS distinct_ids
FROM (SELECT *, lag(id) OVER (ORDER BY place) AS before FROM pushed) p;
SELECT array_agg((kwargs ->> 'n')::int ORDER BY id) = array_agg(n ORDER BY n) AS jobs_in_input_order
FROM chancy.jobs, LATERAL (SELECT (kwargs ->> 'n')::int AS n) k WHERE func = 'mod.many';
-- Also from call to call, and across the kinds of call.
SELECT chancy.push('mod.rising') AS a \gset
SELECT id AS b FROM chancy.push_many('[{"func": "mod.rising"}]') \gset
SELECT chancy.push('mod.rising') AS c \gset
SELECT bool_and(:'a' > id) AS above_the_batch, :'a'::uuid < :'b' AND :'b'::uuid < :'c' AS rising
FROM chancy.jobs WHERE func = 'mod.many';
DELETE FROM chancy.jobs;

-- A key: the live job is kept as it is, in whatever queue, and its id told. The row is not written again.
SELECT chancy.push('mod.first', '{"n": 1}', unique_key => 'key') AS id \gset
SELECT ctid AS place, xmin AS writer FROM chancy.jobs WHERE id = :'id' \gset
SELECT chancy.push('mod.second', '{"n": 2}', queue => 'other', priority => 9, unique_key => 'key') = :'id' AS same;
SELECT ord, id = :'id' AS same, created FROM chancy.push_many('[{"func": "mod.third", "unique_key": "key"},
    {"func": "mod.new", "unique_key": "another"}, {"func": "mod.fourth", "unique_key": "key", "queue": "other"}]');
SELECT func, queue, kwargs, priority, unique_key, ctid = :'place' AND xmin = :'writer' AS untouched FROM chancy.jobs WHERE unique_key = 'key';
SELECT * FROM look();

-- Twice in one batch: one job, both get its id. Keys are bytes: case and trailing blanks count.
WITH pushed AS MATERIALIZED (SELECT * FROM chancy.push_many('[{"func": "b.1", "unique_key": "z"}, {"func": "b.2", "unique_key": "y"},
    {"func": "b.3", "unique_key": "z"}, {"func": "b.4"}, {"func": "b.5", "unique_key": "Z"}, {"func": "b.6", "unique_key": "z "},
    {"func": "b.7", "unique_key": "y"}]'))
SELECT ord, created, (SELECT min(o.ord) FROM pushed o WHERE o.id = p.id) AS same_as FROM pushed p ORDER BY ord;
SELECT func, unique_key FROM chancy.jobs WHERE func LIKE 'b._' ORDER BY id;
DELETE FROM chancy.jobs;

-- The key of a job that waits, runs or retries is taken; that of a finished one is free.
SELECT (chancy.declare_queue('default')).name;
SELECT count(*) FROM chancy.push_many('[{"func": "k.succeeds", "unique_key": "s"}, {"func": "k.fails", "unique_key": "f"},
    {"func": "k.retries", "unique_key": "r", "max_attempts": 2}, {"func": "k.runs", "unique_key": "u"}]');
SELECT count(*) FROM chancy.fetch_jobs('default', 'w', 4);
SELECT ord, state FROM chancy.apply_updates('w', jsonb_build_array(an_update('k.succeeds', 'succeeded'), an_update('k.fails', 'failed'),
    an_update('k.retries', 'failed')));
SELECT chancy.push('k.cancelled', unique_key => 'c') AS id \gset
SELECT chancy.cancel_job(:'id');
SELECT unique_key, created FROM chancy.push_many('[{"func": "k.again", "unique_key": "s"}, {"func": "k.again", "unique_key": "f"},
    {"func": "k.again", "unique_key": "r"}, {"func": "k.again", "unique_key": "u"}, {"func": "k.again", "unique_key": "c"}]') p
JOIN chancy.jobs j ON p.id = j.id ORDER BY ord;
SELECT func, state, unique_key FROM look() ORDER BY unique_key, state;
DELETE FROM chancy.jobs;

-- What is rolled back was never there, and its key is free. At once here; calls at commit are in commit.sql.
SET chancy.push_mode = immediate;
BEGIN;
SELECT chancy.push('tx.a', unique_key => 'a') AS id \gset
SAVEPOINT s;
SELECT created FROM chancy.push_many('[{"func": "tx.b", "unique_key": "b"}, {"func": "tx.a", "unique_key": "a"}]');
ROLLBACK TO s;
SELECT id = :'id' AS same, created FROM chancy.push_many('[{"func": "tx.c", "unique_key": "a"}, {"func": "tx.c", "unique_key": "b"}]');
COMMIT;
SELECT func, unique_key FROM look();
BEGIN;
SELECT chancy.push('tx.d', unique_key => 'd') IS NOT NULL AS pushed;
ROLLBACK;
SELECT created FROM chancy.push_many('[{"func": "tx.e", "unique_key": "d"}]');
DELETE FROM chancy.jobs;
RESET chancy.push_mode;

-- From a function, a query over rows, a trigger, a cursor.
CREATE TABLE orders (n int);
CREATE FUNCTION on_order() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM chancy.push('order.new', jsonb_build_object('n', NEW.n), unique_key => 'order:' || NEW.n % 3);
    RETURN NULL;
END $$;
CREATE TRIGGER on_order AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION on_order();
INSERT INTO orders SELECT generate_series(1, 5);
SELECT kwargs, unique_key FROM chancy.jobs ORDER BY id;
SELECT count(DISTINCT chancy.push('rows.' || n)) FROM generate_series(1, 3) n;
SELECT func FROM chancy.jobs WHERE func LIKE 'rows%' ORDER BY id;
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT ord, created FROM chancy.push_many('[{"func": "c.1"}, {"func": "c.2"}]');
FETCH ALL FROM c;
FETCH BACKWARD 1 FROM c;
COMMIT;
PREPARE p AS SELECT created FROM chancy.push_many($1);
EXECUTE p('[{"func": "p.1"}]');
EXECUTE p('[{"func": "p.2", "unique_key": "p"}, {"func": "p.3", "unique_key": "p"}]');
SELECT func FROM chancy.jobs WHERE func ~ '^[cp]\.' ORDER BY id;

-- Large payloads come back as they went in, through every state.
SELECT string_agg(md5(n::text), '') AS big FROM generate_series(1, 40000) n \gset
SELECT chancy.push('big.job', jsonb_build_object('v', :'big'), queue => 'big', priority => 5, max_attempts => 2) AS id \gset
SELECT (chancy.declare_queue('big')).name;
SELECT length(kwargs ->> 'v'), md5(kwargs ->> 'v') = md5(:'big') AS same FROM chancy.fetch_jobs('big', 'w');
SELECT state FROM chancy.apply_updates('w', jsonb_build_array(an_update('big.job', 'failed',
    jsonb_build_object('error', :'big', 'retry_at', now(), 'meta', jsonb_build_object('v', :'big')))));
SELECT attempts, md5(kwargs ->> 'v') = md5(:'big') AS kwargs, md5(meta ->> 'v') = md5(:'big') AS meta FROM chancy.fetch_jobs('big', 'w');
SELECT state FROM chancy.apply_updates('w', jsonb_build_array(an_update('big.job', 'succeeded', jsonb_build_object('result', :'big'))));
SELECT state, md5(kwargs ->> 'v') = md5(:'big') AS kwargs, md5(result #>> '{}') = md5(:'big') AS result,
    octet_length(errors -> 0 ->> 'traceback') BETWEEN 65536 AND 65600 AS clipped,
    starts_with(:'big', split_part(errors -> 0 ->> 'traceback', E'\n… (', 1)) AND :'big' LIKE '%' || split_part(errors -> 0 ->> 'traceback', E' bytes clipped)\n', 2) AS both_ends
FROM chancy.get_job(:'id');
