-- bad_input: workflows. Refused whole, with SQLSTATE, the path of the element and a hint.
\set ECHO none
\i sql/include/tools.sql
\set ECHO all

SELECT refused(c) FROM unnest(ARRAY[
    $$chancy.push_workflow(NULL, '[]')$$,
    $$chancy.push_workflow('w', NULL)$$,
    $$chancy.push_workflow('', '[{"step": "a", "func": "f"}]')$$,
    $$chancy.push_workflow(repeat('x', 1025), '[{"step": "a", "func": "f"}]')$$,
    $$chancy.push_workflow('w', '{}')$$,
    $$chancy.push_workflow('w', '[]')$$,
    $$chancy.push_workflow('w', '[1]')$$,
    $$chancy.push_workflow('w', '[{"step": "a", "func": "f"}]', 'ignore')$$,
    $$chancy.push_workflow('w', '[{"step": "a", "func": "f"}]', NULL)$$,
    $$chancy.push_workflow('w', '[{"func": "f"}]')$$,
    $$chancy.push_workflow('w', '[{"step": null, "func": "f"}]')$$,
    $$chancy.push_workflow('w', '[{"step": "", "func": "f"}]')$$,
    $$chancy.push_workflow('w', '[{"step": 1, "func": "f"}]')$$,
    $$chancy.push_workflow('w', '[{"step": "undo:a", "func": "f"}]')$$,
    $$chancy.push_workflow('w', '[{"step": "a"}]')$$,
    $$chancy.push_workflow('w', '[{"step": "a", "func": "f", "job": {}}]')$$,
    $$chancy.push_workflow('w', '[{"step": "a", "func": "f", "priority": "high"}]')$$,
    $$chancy.push_workflow('w', '[{"step": "a", "func": "f"}, {"step": "b", "func": "f"}, {"step": "a", "func": "f"}]')$$,
    $$chancy.push_workflow('w', '[{"step": "a", "func": "f", "after": "b"}]')$$,
    $$chancy.push_workflow('w', '[{"step": "a", "func": "f", "after": {"b": 1}}]')$$,
    $$chancy.push_workflow('w', '[{"step": "a", "func": "f", "after": [1]}]')$$,
    $$chancy.push_workflow('w', '[{"step": "b", "func": "f"}, {"step": "a", "func": "f", "after": ["b", "c"]}]')$$,
    $$chancy.push_workflow('w', '[{"step": "b", "func": "f"}, {"step": "a", "func": "f", "after": ["b", "b"]}]')$$,
    $$chancy.push_workflow('w', '[{"step": "a", "func": "f", "after": ["a"]}]')$$,
    $$chancy.push_workflow('w', '[{"step": "d", "func": "f"}, {"step": "a", "func": "f", "after": ["b", "d"]}, {"step": "b", "func": "f", "after": ["c"]}, {"step": "c", "func": "f", "after": ["a"]}, {"step": "e", "func": "f", "after": ["c"]}]')$$,
    $$chancy.push_workflow('w', '[{"step": "a", "func": "f", "when": "never"}]')$$,
    $$chancy.push_workflow('w', '[{"step": "a", "func": "f", "undo": "g"}]')$$,
    $$chancy.push_workflow('w', '[{"step": "a", "func": "f", "undo": {}}]')$$,
    $$chancy.push_workflow('w', '[{"step": "a", "func": "f", "undo": {"func": "g", "step": "b"}}]')$$,
    $$chancy.push_workflow('w', '[{"step": "a", "func": "f", "undo": {"func": "g", "limits": [{"t": "time", "v": 0}]}}]')$$,
    $$chancy.push_workflow('w', '[{"step": "a", "func": "f", "unique_key": "k", "on_conflict": "replace"}]')$$,
    $$chancy.push_workflow('w', '[{"step": "a", "func": "f", "unique_key": "k", "unique_for": "1 h"}]')$$,
    $$chancy.push_group('g', '[]', '{}')$$,
    $$chancy.push_group('g', '[{"func": "f", "after": ["x"]}]', '{"func": "g"}')$$,
    $$chancy.add_steps(NULL, '[]')$$,
    $$chancy.add_steps('00000000-0000-0000-0000-000000000000', '[]')$$,
    $$chancy.cancel_workflow(NULL)$$,
    $$chancy.retry_workflow(NULL)$$,
    $$chancy.advance_workflows(0)$$,
    $$chancy.prune_workflows('-1 s')$$,
    $$chancy.prune_workflows('1 s', 0)$$,
    $$chancy.step_results(NULL)$$]) AS c;
-- Long ways round are told shortly.
SELECT left(m, 300) FROM (SELECT refused('chancy.push_workflow(''w'', ''' || (SELECT jsonb_agg(jsonb_build_object('step', 's' || i, 'func', 'f', 'after', jsonb_build_array('s' || i % 1000 + 1)))
    FROM generate_series(1, 1000) i)::text || ''')')) r (t), LATERAL (SELECT substring(t FROM '22023.*')) s (m);
-- Too many dependencies.
SELECT left(m, 200) FROM (SELECT refused('chancy.push_workflow(''w'', (SELECT jsonb_agg(jsonb_build_object(''step'', ''s'' || i, ''func'', ''f'')) FROM generate_series(1, 10001) i)
    || (SELECT jsonb_agg(jsonb_build_object(''step'', ''t'' || i, ''func'', ''f'', ''after'', a)) FROM generate_series(1, 100) i, (SELECT jsonb_agg(''s'' || k) FROM generate_series(1, 10001) k) d (a)))')) r (t), LATERAL (SELECT substring(t FROM '54000.*')) s (m);
-- A workflow that exists: the steps that are there are known, and count.
SET chancy.push_mode = immediate;
SELECT chancy.push_workflow('w', '[{"step": "a", "func": "f"}]') AS id \gset
SELECT regexp_replace(refused('chancy.add_steps(' || quote_literal(:'id') || ', ''' || s || ''')'), '^[^\n]*\n', '') FROM unnest(ARRAY[
    '[{"step": "a", "func": "f"}]', '[{"step": "b", "func": "f", "after": ["x"]}]', '[{"step": "b", "func": "f", "after": ["c"]}, {"step": "c", "func": "f", "after": ["b"]}]']) s;
SELECT step FROM chancy.get_workflow_steps(:'id');
