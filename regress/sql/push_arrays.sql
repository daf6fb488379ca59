\i sql/include/tools.sql
SELECT chancy.declare_queue('default') IS NOT NULL AS declared;

-- An element for each job, or one for all; NULL is the default.
SELECT cardinality(ids) AS ids, created FROM chancy.push_arrays('{a,b,c}');
SELECT cardinality(ids) AS ids, created FROM chancy.push_arrays(
    func => '{d,e}', kwargs => '[{"n": 1}, null]', queue => '{other}', priority => '{3,NULL}', max_attempts => '{2}',
    scheduled_at => '{2040-01-01 00:00:00+00}', unique_key => '{k1,k2}', limits => ARRAY['[{"t": "time", "v": 5}]']::jsonb[],
    meta => ARRAY[NULL, '{"m": 2}']::jsonb[], on_conflict => '{keep,replace}', concurrency_key => '{tenant}', unique_for => '{NULL,1 day}');
SELECT func, kwargs, queue, priority, max_attempts, scheduled_at AT TIME ZONE 'UTC' > '2039-12-31' AS later, unique_key, limits, meta,
    concurrency_key, unique_until - scheduled_at AS unique_for FROM chancy.jobs ORDER BY id;
SELECT created FROM chancy.push_arrays('{h}', kwargs => '{"for": "all"}', priority => '{1,2}');
SELECT kwargs, priority FROM chancy.jobs WHERE func = 'h' ORDER BY id;
SELECT ids, created FROM chancy.push_arrays('{}', priority => '{1,2}');

-- Duplicates, of what is there and of each other: the ids are those of the live jobs.
SELECT ids[1] = id_of('d') AS first, ids[2] = ids[3] AS same, created FROM chancy.push_arrays('{x}', unique_key => '{k1,k3,k3}');
SELECT cardinality(ids) AS ids FROM chancy.push_arrays(array_fill('f'::text, '{1000}'), priority => (SELECT array_agg(n ORDER BY n) FROM generate_series(1, 1000) n));
SELECT count(*), bool_and(priority = rank) AS in_order FROM (SELECT priority, rank() OVER (ORDER BY id) FROM chancy.jobs WHERE func = 'f') f;

-- In a block it is buffered as push_many is.
BEGIN;
SELECT cardinality(ids) AS ids, created FROM chancy.push_arrays('{g}', unique_key => '{NULL,k4}', kwargs => '[{"x": 1}, {"x": 2}]');
SELECT func, kwargs FROM chancy.jobs WHERE func = 'g';
COMMIT;
SELECT ord, reserved = id AS same, created FROM chancy.pushed();
SELECT func, kwargs FROM chancy.jobs WHERE func = 'g' ORDER BY id;

-- Refused whole.
SELECT refused($$chancy.push_arrays(NULL)$$);
SELECT refused($$chancy.push_arrays('{a,NULL}')$$);
SELECT refused($$chancy.push_arrays('{a,""}')$$);
SELECT refused($$chancy.push_arrays('{a,b}', priority => '{1,2,3}')$$);
SELECT refused($$chancy.push_arrays('{{a},{b}}')$$);
SELECT refused($$chancy.push_arrays('{a,b}', kwargs => '[{}, [1]]')$$);
SELECT refused($$chancy.push_arrays('{a,b}', kwargs => '7')$$);
SELECT refused($$chancy.push_arrays('{a,b}', kwargs => '[{}]', priority => '{1,2}', queue => '{1,2,3}')$$);
SELECT refused($$chancy.push_arrays('{a,b}', meta => ARRAY['1']::jsonb[])$$);
SELECT refused($$chancy.push_arrays('{a,b}', max_attempts => '{1,0}')$$);
SELECT refused($$chancy.push_arrays('{a,b}', scheduled_at => '{infinity}')$$);
SELECT refused($$chancy.push_arrays('{a,b}', limits => ARRAY['[{"t": "sun"}]']::jsonb[])$$);
SELECT refused($$chancy.push_arrays('{a,b}', on_conflict => '{keep,maybe}', unique_key => '{k5,k6}')$$);
SELECT refused($$chancy.push_arrays('{a,b}', on_conflict => '{replace}')$$);
SELECT refused($$chancy.push_arrays('{a,b}', unique_for => '{1 s}')$$);
SELECT refused($$chancy.push_arrays('{a}', unique_for => '{0 s}', unique_key => '{k7}')$$);
SELECT refused($$chancy.push_arrays(array_fill('f'::text, '{100001}'))$$);
SELECT count(*) FROM chancy.jobs WHERE func IN ('a', 'b');
