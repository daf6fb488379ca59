-- bad_input, push and push_many: each refused whole, with SQLSTATE, the element's path and a hint, before anything is written.
\set ECHO none
\i sql/include/tools.sql
\pset format unaligned
\pset tuples_only
\set ECHO all

-- The batch.
SELECT refused(format('chancy.push_many(%L)', batch)) FROM unnest(ARRAY['1', '"x"', 'true', 'null', '{}', '{"func": "f"}', '[1]', '["f"]',
    '[null]', '[[]]', '[{"func": "f"}, [{"func": "f"}]]', '[{"func": "f"}, {"func": "f"}, 7]', '[{}]']) batch;
SELECT refused('chancy.push_many(NULL)');
SELECT refused('chancy.push_many(''[{]'')');

-- One element among good ones: its place is told, and nothing of the batch is there.
SELECT refused(format('chancy.push_many(%L)', jsonb_build_array('{"func": "good", "unique_key": "k"}'::jsonb, '{"func": "good"}'::jsonb,
    '{"func": "bad"}'::jsonb || field, '{"func": "good"}'::jsonb)))
FROM unnest(ARRAY['{"func": null}', '{"func": 1}', '{"func": ""}', '{"func": {}}', '{"Func": "x"}', '{"id": "x"}', '{"state": "failed"}', '{"": 1}',
    '{"nokey": null}',
    '{"kwargs": []}', '{"kwargs": "{}"}', '{"kwargs": 1}', '{"meta": []}', '{"meta": true}',
    '{"queue": ""}', '{"queue": 5}', '{"unique_key": ""}', '{"unique_key": 5}', '{"unique_key": ["k"]}',
    '{"priority": 2147483648}', '{"priority": -2147483649}', '{"priority": 1e99}', '{"priority": 1.5}', '{"priority": "1"}', '{"priority": true}',
    '{"max_attempts": 0}', '{"max_attempts": -1}', '{"max_attempts": 2147483648}', '{"max_attempts": 0.5}', '{"max_attempts": "3"}',
    '{"scheduled_at": "infinity"}', '{"scheduled_at": "-infinity"}', '{"scheduled_at": ""}', '{"scheduled_at": "soon"}', '{"scheduled_at": 1700000000}',
    '{"scheduled_at": "2030-02-30T00:00:00Z"}', '{"scheduled_at": "2030-01-01T25:00:00Z"}', '{"scheduled_at": "12:00:00"}',
    '{"scheduled_at": "300000-01-01T00:00:00Z"}',
    '{"limits": {}}', '{"limits": "time"}', '{"limits": [1]}', '{"limits": [[]]}', '{"limits": [{}]}', '{"limits": [{"t": "time"}]}', '{"limits": [{"v": 1}]}',
    '{"limits": [{"t": "cpu", "v": 1}]}', '{"limits": [{"t": 1, "v": 1}]}', '{"limits": [{"t": "time", "v": 0}]}', '{"limits": [{"t": "time", "v": -1}]}',
    '{"limits": [{"t": "time", "v": 1.5}]}', '{"limits": [{"t": "time", "v": "1"}]}', '{"limits": [{"t": "time", "v": null}]}',
    '{"limits": [{"t": "time", "v": 1}, {"t": "memory", "v": 1, "x": 1}]}',
    '{"on_conflict": "replace"}', '{"on_conflict": ""}', '{"on_conflict": 1}']::jsonb[]) field;
SELECT count(*) FROM chancy.jobs;

-- Text that is too long, counted in bytes; as long as allowed is allowed.
SELECT refused($$chancy.push_many(jsonb_build_array('{"func": "f"}'::jsonb, jsonb_build_object('func', repeat('f', 1025))))$$);
SELECT refused($$chancy.push_many(jsonb_build_array(jsonb_build_object('func', 'f', 'queue', repeat('q', 256))))$$);
SELECT refused($$chancy.push_many(jsonb_build_array(jsonb_build_object('func', 'f', 'queue', repeat('ü', 128))))$$);
SELECT refused($$chancy.push_many(jsonb_build_array(jsonb_build_object('func', 'f', 'unique_key', repeat('k', 1025))))$$);
SELECT refused($$chancy.push_many(jsonb_build_array(jsonb_build_object('func', 'f', 'on_conflict', repeat('k', 10000))))$$);
SELECT count(*) FROM chancy.jobs;
SELECT created FROM chancy.push_many(jsonb_build_array(jsonb_build_object('func', repeat('f', 1024), 'queue', repeat('ü', 127) || 'q',
    'unique_key', repeat('k', 1024))));
DELETE FROM chancy.jobs;

-- A message quotes no more of a bad value than one can read.
CREATE FUNCTION message_size(batch jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM chancy.push_many(batch);
    RETURN 'NOT REFUSED';
EXCEPTION WHEN OTHERS THEN
    RETURN CASE WHEN length(SQLERRM) <= 2000 THEN 'short' ELSE length(SQLERRM) || ' characters' END;
END $$;
SELECT message_size(jsonb_build_array(jsonb_build_object('func', 'f', 'scheduled_at', repeat('9', 1000000))));
SELECT message_size(jsonb_build_array(jsonb_build_object('func', 'f', repeat('k', 1000000), 1)));

-- NUL: no text can hold it; kwargs, meta and all the rest neither.
SELECT refused($$chancy.push_many('[{"func": "a\u0000b"}]')$$);
SELECT refused($$chancy.push_many('[{"func": "f", "kwargs": {"a": "\u0000"}}]')$$);
SELECT refused($$chancy.push('f', '{"a": "\u0000"}')$$);
SELECT refused($$chancy.push('f', unique_key => 'a' || chr(0))$$);

-- The size of a batch: none, the largest, one more.
SELECT count(*) FROM chancy.push_many('[]');
SELECT refused($$chancy.push_many((SELECT jsonb_agg('{"func": "f"}'::jsonb) FROM generate_series(1, 100001)))$$);
SELECT refused($$chancy.push_many((SELECT jsonb_agg(n) FROM generate_series(1, 100001) n))$$);
SELECT count(*) FROM chancy.jobs;
SELECT count(*), bool_and(created), min(ord), max(ord) FROM chancy.push_many((SELECT jsonb_agg('{"func": "f"}'::jsonb) FROM generate_series(1, 100000)));
SELECT count(*) FROM chancy.jobs;
TRUNCATE chancy.jobs;
SELECT count(*), count(DISTINCT id), count(*) FILTER (WHERE created) FROM chancy.push_many((SELECT jsonb_agg(jsonb_build_object('func', 'f',
    'unique_key', 'k' || n % 7)) FROM generate_series(1, 100000) n));
SELECT count(*) FROM chancy.jobs;
TRUNCATE chancy.jobs;

-- The single push: the same rules, by parameter.
SELECT refused(format('chancy.push(%s)', arguments)) FROM unnest(ARRAY[
    $$NULL$$, $$''$$, $$repeat('f', 1025)$$,
    $$'f', kwargs => '[]'$$, $$'f', kwargs => '1'$$, $$'f', kwargs => 'null'$$, $$'f', kwargs => NULL$$,
    $$'f', meta => '[]'$$, $$'f', meta => '"x"'$$, $$'f', meta => NULL$$,
    $$'f', queue => ''$$, $$'f', queue => repeat('q', 256)$$, $$'f', queue => NULL$$,
    $$'f', unique_key => ''$$, $$'f', unique_key => repeat('k', 1025)$$,
    $$'f', priority => NULL$$, $$'f', priority => '2147483648'$$, $$'f', priority => '1.5'$$,
    $$'f', max_attempts => 0$$, $$'f', max_attempts => -2147483648$$, $$'f', max_attempts => NULL$$, $$'f', max_attempts => '2147483648'$$,
    $$'f', scheduled_at => 'infinity'$$, $$'f', scheduled_at => '-infinity'$$, $$'f', scheduled_at => NULL$$,
    $$'f', limits => '{}'$$, $$'f', limits => 'null'$$, $$'f', limits => '1'$$, $$'f', limits => NULL$$, $$'f', limits => '[{"t": "time", "v": 1}, 5]'$$,
    $$'f', limits => '[{"t": "time", "v": 0}]'$$, $$'f', limits => '[{"t": "time", "v": 1}, {"t": "disk", "v": 1}]'$$,
    $$'f', limits => '[{"t": "time", "v": 1, "w": 2}]'$$,
    $$'f', on_conflict => 'rerun'$$, $$'f', on_conflict => NULL$$]) arguments;
SELECT count(*) FROM chancy.jobs;
-- A queue that was never declared is allowed, as in Chancy.
SELECT chancy.push('f', queue => 'never declared') IS NOT NULL;
SELECT count(*) FROM chancy.jobs;
