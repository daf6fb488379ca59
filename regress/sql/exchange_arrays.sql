\i sql/include/tools.sql
SELECT chancy.declare_queue('default') IS NOT NULL AS declared;
SELECT count(*) FROM chancy.push_many('[{"func": "a", "kwargs": {"n": 1}, "limits": [{"t": "time", "v": 9}], "meta": {"m": 1}, "max_attempts": 2},
    {"func": "b", "unique_key": "k", "concurrency_key": "c"}, {"func": "c", "max_attempts": 2}, {"func": "d"}, {"func": "e"}, {"func": "f"}]');

-- The columns that a worker needs are those of the job.
CREATE TEMP TABLE got AS SELECT * FROM chancy.exchange_arrays('w', 'default', 9);
SELECT e.kind, e.ord, e.reason, e.passed, (e.job_id, e.job_queue, e.func, e.kwargs, e.limits, e.job_meta, e.priority, e.attempts, e.max_attempts, e.created_at,
    e.job_started_at, e.scheduled_at, e.unique_key, e.errors, e.recoveries, e.concurrency_key)
    IS NOT DISTINCT FROM (j.id, j.queue, j.func, j.kwargs, j.limits, j.meta, j.priority, j.attempts, j.max_attempts, j.created_at,
    j.started_at, j.scheduled_at, j.unique_key, j.errors, j.recoveries, j.concurrency_key) AS same, j.state, j.taken_by
FROM got e LEFT JOIN chancy.jobs j ON j.id = e.job_id;
SELECT func, state FROM look();

-- Every outcome, and what belongs to it.
SELECT array_agg(id ORDER BY func) AS ids, array_agg(started_at ORDER BY func) AS starts FROM chancy.running_jobs('w') \gset
SELECT kind, ord, reason FROM chancy.exchange_arrays('w', 'default', 0, :'ids', :'starts', '{succeeded,discarded,failed,snoozed,released,failed}',
    error => '{NULL,no,later,NULL,NULL,end}', retry_at => '{NULL,NULL,2100-01-01,2100-01-02,NULL,NULL}',
    meta => ARRAY['{"x": 1}', NULL, NULL, NULL, NULL, NULL]::jsonb[], result => ARRAY['7', NULL, NULL, NULL, NULL, NULL]::jsonb[]);
SELECT func, state, attempts, due, errors FROM look();
SELECT meta, result FROM chancy.jobs WHERE func = 'a';
-- One outcome for all, a worker that is not theirs, and a job that is not there.
SELECT func FROM chancy.exchange_arrays('w', 'default', 9) WHERE kind = 'job';
SELECT kind, ord, reason FROM chancy.jobs j, chancy.exchange_arrays('other', 'default', 0, ARRAY[id, '00000000-0000-0000-0000-000000000001'], ARRAY[started_at],
    '{succeeded}') WHERE j.func = 'e';
SELECT kind, ord, reason FROM chancy.jobs j, chancy.exchange_arrays('w', 'default', 1, ARRAY[id], ARRAY[started_at], '{succeeded}') WHERE j.func = 'e';
SELECT func, state FROM look();
SELECT * FROM chancy.exchange_arrays('w', 'default', 0);

-- Refused whole.
SELECT refused($$chancy.exchange_arrays(NULL, 'default', 1)$$);
SELECT refused($$chancy.exchange_arrays('w', NULL, 1)$$);
SELECT refused($$chancy.exchange_arrays('w', 'default', -1)$$);
SELECT refused($$chancy.exchange_arrays('w', 'default', NULL)$$);
SELECT refused($$chancy.exchange_arrays('w', 'default', 1, on_locked => 'maybe')$$);
SELECT refused($$chancy.exchange_arrays('w', 'default', 0, ARRAY[NULL]::uuid[], '{now}', '{succeeded}')$$);
SELECT refused($$chancy.exchange_arrays('w', 'default', 0, '{00000000-0000-0000-0000-000000000001}', NULL, '{succeeded}')$$);
SELECT refused($$chancy.exchange_arrays('w', 'default', 0, '{00000000-0000-0000-0000-000000000001}', '{now}')$$);
SELECT refused($$chancy.exchange_arrays('w', 'default', 0, '{00000000-0000-0000-0000-000000000001}', '{now}', '{done}')$$);
SELECT refused($$chancy.exchange_arrays('w', 'default', 0, '{00000000-0000-0000-0000-000000000001,00000000-0000-0000-0000-000000000001}', '{now}', '{succeeded}')$$);
SELECT refused($$chancy.exchange_arrays('w', 'default', 0, '{00000000-0000-0000-0000-000000000001,00000000-0000-0000-0000-000000000002}', '{now,now,now}', '{succeeded}')$$);
SELECT refused($$chancy.exchange_arrays('w', 'default', 0, '{00000000-0000-0000-0000-000000000001}', '{now}', '{snoozed}')$$);
SELECT refused($$chancy.exchange_arrays('w', 'default', 0, '{00000000-0000-0000-0000-000000000001}', '{now}', '{succeeded}', error => '{no}')$$);
SELECT refused($$chancy.exchange_arrays('w', 'default', 0, '{00000000-0000-0000-0000-000000000001}', '{now}', '{failed}', retry_at => '{infinity}')$$);
SELECT refused($$chancy.exchange_arrays('w', 'default', 0, '{00000000-0000-0000-0000-000000000001}', '{now}', '{succeeded}', meta => ARRAY['[]']::jsonb[])$$);
