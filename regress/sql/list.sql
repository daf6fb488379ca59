-- list: looking at jobs: running_jobs, get_job, get_jobs, get_live_job, list_jobs.
\set ECHO none
\i sql/include/tools.sql
\set ECHO all

SELECT (chancy.declare_queue('default')).name;
-- running_jobs: what the server believes the worker runs.
SELECT count(*) FROM chancy.push_many('[{"func": "r.1"}, {"func": "r.2"}, {"func": "r.3"}, {"func": "r.4"}]');
SELECT func FROM chancy.fetch_jobs('default', 'a', 2);
SELECT func FROM chancy.fetch_jobs('default', 'b', 1);
SELECT func, state, taken_by FROM chancy.running_jobs('a');
SELECT state FROM chancy.apply_updates('a', updates('succeeded', 'r.1'));
SELECT func FROM chancy.running_jobs('a');
SELECT func FROM chancy.running_jobs('b');
SELECT func FROM chancy.running_jobs('nobody');
SELECT func FROM chancy.running_jobs(NULL);

-- get_job, get_jobs, get_live_job.
SELECT func, state FROM chancy.get_job(id_of('r.1'));
SELECT j IS NULL AS row_of_nulls FROM chancy.get_job('00000000-0000-0000-0000-000000000000') j;
SELECT j IS NULL AS row_of_nulls FROM chancy.get_job(NULL) j;
SELECT func FROM chancy.get_jobs(ARRAY[id_of('r.3'), '00000000-0000-0000-0000-000000000000', NULL, id_of('r.1'), id_of('r.2'), id_of('r.3')]);
SELECT count(*) FROM chancy.get_jobs('{}');
SELECT count(*) FROM chancy.get_jobs(NULL);
SELECT chancy.push('live.1', unique_key => 'live') IS NOT NULL AS pushed;
SELECT func, state FROM chancy.get_live_job('live');
SELECT chancy.cancel_job(id) FROM chancy.get_live_job('live');
SELECT j IS NULL AS row_of_nulls FROM chancy.get_live_job('live') j;
SELECT j IS NULL AS row_of_nulls FROM chancy.get_live_job(NULL) j;
DELETE FROM chancy.jobs;

-- list_jobs: the newest first, in pages, filtered.
SELECT count(*) FROM chancy.push_many((SELECT jsonb_agg(jsonb_build_object('func', 'l.' || n % 3, 'queue', 'q' || n % 2,
    'kwargs', jsonb_build_object('n', n)) ORDER BY n) FROM generate_series(1, 120) n));
SELECT count(*), min((kwargs ->> 'n')::int), max((kwargs ->> 'n')::int) FROM chancy.list_jobs();
SELECT kwargs FROM chancy.list_jobs(up_to => 3);
SELECT id AS last FROM chancy.list_jobs(up_to => 3) ORDER BY id LIMIT 1 \gset
SELECT kwargs FROM chancy.list_jobs(after => :'last', up_to => 3);
SELECT kwargs FROM chancy.list_jobs(queue => 'q1', func => 'l.0', up_to => 3);
SELECT kwargs FROM chancy.list_jobs('q1', 'pending', 'l.0', :'last', 3);
SELECT count(*) FROM chancy.list_jobs(queue => 'q1', up_to => 100000);
SELECT count(*) FROM chancy.list_jobs(state => 'running');
SELECT (chancy.declare_queue('q1')).name;
SELECT kwargs FROM chancy.fetch_jobs('q1', 'w', 2);
SELECT kwargs FROM chancy.list_jobs(state => 'running');
SELECT count(*) FROM chancy.list_jobs(queue => 'no such queue');
SELECT count(*) FROM chancy.list_jobs(func => '');
-- Page after page: every job once, in order.
WITH RECURSIVE page AS (
    SELECT array_agg(id) AS ids FROM chancy.list_jobs(up_to => 50)
    UNION ALL
    SELECT (SELECT array_agg(id) FROM chancy.list_jobs(after => p.ids[50], up_to => 50)) FROM page p WHERE p.ids[50] IS NOT NULL
)
SELECT array_agg(cardinality(ids)) AS pages,
    (SELECT array_agg(i) FROM page p, unnest(p.ids) i) = (SELECT array_agg(id ORDER BY id DESC) FROM chancy.jobs) AS all_in_order
FROM page;
-- By time and key; what failed has an index, and leaves it when it runs again.
SELECT (chancy.push('t.1', unique_key => 'timed') IS NOT NULL) AS pushed;
SELECT clock_timestamp() AS middle \gset
SELECT count(*) FROM chancy.push_many('[{"func": "t.2"}, {"func": "t.3"}]');
SELECT func FROM chancy.list_jobs(since => :'middle');
SELECT func FROM chancy.list_jobs(before => :'middle', up_to => 1);
SELECT count(*) FROM chancy.list_jobs(since => '-infinity', before => 'infinity', up_to => 1000);
SELECT count(*) FROM chancy.list_jobs(since => 'infinity');
SELECT count(*) FROM chancy.list_jobs(before => '1900-01-01');
SELECT func FROM chancy.list_jobs(unique_key => 'timed');
SELECT count(*) FROM chancy.list_jobs('default', 'pending', NULL, NULL, 10, :'middle', 'infinity', 'timed');
SELECT count(*) FROM chancy.cancel_jobs((SELECT array_agg(id) FROM chancy.list_jobs('default')));
SELECT func, state FROM chancy.list_jobs(state => 'failed');
SELECT func FROM chancy.list_jobs('default', 'failed', since => :'middle', up_to => 1);
SELECT chancy.retry_job(id) FROM chancy.list_jobs(state => 'failed', func => 't.2');
SELECT func FROM chancy.list_jobs(state => 'failed');
