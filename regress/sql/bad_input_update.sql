-- bad_input, apply_updates and exchange: each refused whole, before a result is written.
\set ECHO none
\i sql/include/tools.sql
\pset format unaligned
\pset tuples_only
SELECT (chancy.declare_queue('default')).name;
SELECT count(*) FROM chancy.push_many('[{"func": "good"}, {"func": "bad"}, {"func": "after"}]');
SELECT count(*) FROM chancy.fetch_jobs('default', 'w', 3);
-- How the call is refused, without the call, in which ids and times differ each time.
CREATE FUNCTION why(call text) RETURNS text LANGUAGE sql AS $$ SELECT substr(public.refused(call), length(call) + 2) $$;
-- The job "bad" with a field of its update replaced, between two good ones.
CREATE FUNCTION batch(field jsonb) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_array(public.an_update('good', 'succeeded'), public.an_update('bad', 'succeeded') || field, public.an_update('after', 'succeeded'))
$$;
\set ECHO all

SELECT refused(format('chancy.apply_updates(%L, %L)', 'w', batch)) FROM unnest(ARRAY['1', '"x"', 'null', '{}', '{"id": "x"}', '[1]', '[null]', '[[]]', '[{}]']) batch;
SELECT refused('chancy.apply_updates(''w'', NULL)');

-- What is said of one element; the place is told.
SELECT field, E'\n' || why(format('chancy.apply_updates(%L, %L)', 'w', batch(field)))
FROM unnest(ARRAY['{"id": null}', '{"id": 7}', '{"id": ""}', '{"id": "x"}', '{"id": "03c71f9b-af43-0007-8000-00000000000"}',
    '{"id": "03c71f9b-af43-0007-8000-0000000000000"}', '{"id": "03c71f9b-af43-0007-8000-00000000000g"}', '{"id": "03c71f9baf-43-0007-8000-000000000000"}',
    '{"started_at": null}', '{"started_at": 1700000000}', '{"started_at": ""}', '{"started_at": "yesterdayish"}', '{"started_at": "infinity"}',
    '{"outcome": null}', '{"outcome": 1}', '{"outcome": ""}', '{"outcome": "success"}', '{"outcome": "Succeeded"}', '{"outcome": "running"}',
    '{"outcome": "failed", "error": 5}', '{"outcome": "failed", "error": {"m": 1}}', '{"error": "but it succeeded"}', '{"outcome": "snoozed", "error": "x"}',
    '{"outcome": "snoozed"}', '{"outcome": "snoozed", "retry_at": null}', '{"outcome": "snoozed", "retry_at": "infinity"}',
    '{"outcome": "failed", "retry_at": "-infinity"}', '{"outcome": "failed", "retry_at": 5}', '{"outcome": "failed", "retry_at": "later"}',
    '{"retry_at": "2100-01-01T00:00:00Z"}', '{"outcome": "released", "retry_at": "2100-01-01T00:00:00Z"}',
    '{"outcome": "discarded", "retry_at": "2100-01-01T00:00:00Z"}',
    '{"meta": []}', '{"meta": "x"}', '{"meta": 1}', '{"state": "succeeded"}', '{"worker_id": "w"}', '{"Outcome": null}']::jsonb[]) field;
SELECT why(format('chancy.apply_updates(%L, %L)', 'w', batch('{}') #- ARRAY['1', key])) FROM unnest('{id,started_at,outcome}'::text[]) key;

-- Twice in one batch, however it is written.
SELECT why(format('chancy.apply_updates(%L, %L)', 'w', batch('{}') || an_update('good', 'failed')));
SELECT why(format('chancy.apply_updates(%L, %L)', 'w',
    batch(jsonb_build_object('id', upper(id_of('after')::text)))));
SELECT why($$chancy.apply_updates('w', (SELECT jsonb_agg(a) FROM generate_series(1, 3),
    (VALUES ('{"id": "00000000-0000-0000-0000-000000000000", "started_at": "2020-01-01", "outcome": "succeeded"}'::jsonb)) v (a)))$$);

-- The other arguments.
SELECT refused(format('chancy.apply_updates(%s)', arguments)) FROM unnest(ARRAY[$$NULL, '[]'$$, $$'', '[]'$$, $$repeat('w', 1025), '[]'$$,
    $$'w', '[]', NULL$$, $$'w', '[]', ''$$, $$'w', '[]', 'nowait'$$]) arguments;
SELECT refused(format('chancy.exchange(%s)', arguments)) FROM unnest(ARRAY[$$NULL, '[]', 'default', 1$$, $$'', '[]', 'default', 1$$,
    $$'w', NULL, 'default', 1$$, $$'w', '{}', 'default', 1$$, $$'w', '[{}]', 'default', 1$$, $$'w', '[]', NULL, 1$$, $$'w', '[]', '', 1$$,
    $$'w', '[]', repeat('q', 256), 1$$, $$'w', '[]', 'default', NULL$$, $$'w', '[]', 'default', -1$$, $$'w', '[]', 'default', 100001$$,
    $$'w', '[]', 'default', 1, NULL$$, $$'w', '[]', 'default', 1, 'both'$$]) arguments;
-- exchange refuses before it applies or fetches.
SELECT why(format('chancy.exchange(%L, %L, %L, 5)', 'w', batch('{"outcome": "x"}'), 'default'));
SELECT why(format('chancy.exchange(%L, %L, %L, -5)', 'w', batch('{}'), 'default'));

-- NUL, and the size of a batch.
SELECT refused($$chancy.apply_updates('w', '[{"error": "\u0000"}]')$$);
SELECT count(*) FROM chancy.apply_updates('w', '[]');
SELECT count(*) FROM chancy.exchange('w', '[]', NULL, 0);
SELECT refused($$chancy.apply_updates('w', (SELECT jsonb_agg('{}'::jsonb) FROM generate_series(1, 100001)))$$);
SELECT refused($$chancy.exchange('w', (SELECT jsonb_agg('{}'::jsonb) FROM generate_series(1, 100001)), NULL, 0)$$);
SELECT count(*), count(*) FILTER (WHERE reason = 'missing') FROM chancy.apply_updates('w', (SELECT jsonb_agg(jsonb_build_object('id', gen_random_uuid(),
    'started_at', '2020-01-01T00:00:00Z', 'outcome', 'succeeded')) FROM generate_series(1, 100000)));

-- After all this nothing has changed, and a result of that size is written.
SELECT func, state, attempts, errors FROM look();
SELECT count(*) FROM chancy.push_many((SELECT jsonb_agg('{"func": "f"}'::jsonb) FROM generate_series(1, 100000)));
SELECT count(*) FROM chancy.fetch_jobs('default', 'many', 100000);
SELECT count(*) FILTER (WHERE applied), count(*) FROM chancy.apply_updates('many', (SELECT jsonb_agg(jsonb_build_object('id', id,
    'started_at', started_at, 'outcome', 'succeeded')) FROM chancy.running_jobs('many')));
SELECT state, count(*) FROM chancy.jobs GROUP BY state ORDER BY state;
