-- bad_input: all other functions; push and update have files of their own.
\set ECHO none
\i sql/include/tools.sql
\pset format unaligned
\pset tuples_only
SELECT (chancy.declare_queue('q')).name;
SELECT chancy.push('f', queue => 'q') IS NOT NULL;
\set ECHO all

-- fetch_jobs.
SELECT refused(format('chancy.fetch_jobs(%s)', arguments)) FROM unnest(ARRAY[$$NULL, 'w'$$, $$'', 'w'$$, $$repeat('q', 256), 'w'$$, $$'q', NULL$$, $$'q', ''$$,
    $$'q', repeat('w', 1025)$$, $$'q', 'w', NULL$$, $$'q', 'w', 0$$, $$'q', 'w', -1$$, $$'q', 'w', 100001$$, $$'q', 'w', '2147483648'$$]) arguments;

-- cancel and retry.
SELECT refused(format('chancy.%s', call)) FROM unnest(ARRAY[$$cancel_job(NULL)$$, $$cancel_job('x')$$, $$retry_job(NULL)$$, $$retry_job('x')$$, $$retry_job('00000000-0000-0000-0000-000000000000', '[]')$$,
    $$cancel_jobs(NULL)$$, $$cancel_jobs('{NULL}')$$, $$cancel_jobs('{00000000-0000-0000-0000-000000000000,NULL}')$$, $$cancel_jobs('{x}')$$,
    $$cancel_jobs(array_fill('00000000-0000-0000-0000-000000000000'::uuid, '{100001}'))$$]) call;
SELECT count(*), bool_or(cancelled) FROM chancy.cancel_jobs(array_fill('00000000-0000-0000-0000-000000000000'::uuid, '{100000}'));

-- list_jobs.
SELECT refused(format('chancy.list_jobs(%s)', arguments)) FROM unnest(ARRAY[$$up_to => NULL$$, $$up_to => 0$$, $$up_to => -1$$, $$up_to => 100001$$,
    $$state => ''$$, $$state => 'cancelled'$$, $$state => 'Pending'$$, $$after => 'x'$$]) arguments;

-- declare_queue.
SELECT refused(format('chancy.declare_queue(%s)', arguments)) FROM unnest(ARRAY[$$NULL$$, $$''$$, $$repeat('q', 256)$$, $$repeat('ü', 128)$$,
    $$'n', state => NULL$$, $$'n', state => 'on'$$, $$'n', state => ''$$, $$'n', concurrency => 0$$, $$'n', concurrency => -1$$,
    $$'n', tags => NULL$$, $$'n', tags => '{a,NULL}'$$, $$'n', executor => NULL$$, $$'n', executor => ''$$, $$'n', executor => repeat('e', 1025)$$,
    $$'n', executor => 'threads'$$, $$'n', executor => '.threads'$$, $$'n', executor => 'threads.'$$,
    $$'n', executor_options => NULL$$, $$'n', executor_options => '[]'$$, $$'n', executor_options => 'null'$$,
    $$'n', polling_interval => 0$$, $$'n', polling_interval => -5$$, $$'n', rate_limit => 0, rate_limit_window => 1$$,
    $$'n', rate_limit => 1, rate_limit_window => 0$$, $$'n', rate_limit => 1$$, $$'n', rate_limit_window => 1$$,
    $$'n', resume_at => 'infinity'$$, $$'n', resume_at => '-infinity'$$, $$'n', eager_polling => NULL$$, $$'n', upsert => NULL$$]) arguments;
-- Settings that say nothing are refused even where the queue exists.
SELECT refused($$chancy.declare_queue('q', concurrency => 0)$$);

-- The other queue functions.
SELECT refused(format('chancy.%s', call)) FROM unnest(ARRAY[$$pause_queue(NULL)$$, $$pause_queue('')$$, $$pause_queue(repeat('q', 256))$$,
    $$pause_queue('q', 'infinity')$$, $$pause_queue('q', '-infinity')$$, $$resume_queue(NULL)$$, $$resume_queue('')$$, $$resume_queue(repeat('q', 256))$$,
    $$delete_queue(NULL)$$, $$delete_queue('')$$, $$delete_queue(repeat('q', 256))$$, $$delete_queue('q', NULL)$$]) call;

-- Workers.
SELECT refused(format('chancy.heartbeat(%s)', arguments)) FROM unnest(ARRAY[$$NULL, '{}', '{}'$$, $$'', '{}', '{}'$$, $$repeat('w', 1025), '{}', '{}'$$,
    $$'w', NULL, '{}'$$, $$'w', '{}', NULL$$, $$'w', '{NULL}', '{}'$$, $$'w', '{}', '{NULL}'$$, $$'w', '{}', '{}', NULL$$, $$'w', '{}', '{}', '0 s'$$,
    $$'w', '{}', '{}', '0.9 s'$$, $$'w', '{}', '{}', '-90 s'$$, $$'w', '{}', '{}', '1 day 1 s'$$, $$'w', '{}', '{}', '1 month'$$,
    $$'w', '{}', '{}', '213503983 days'$$, $$'w', '{}', '{}', '178000000 years'$$]) arguments;
SELECT refused(format('chancy.retire_worker(%s)', arguments)) FROM unnest(ARRAY[$$NULL$$, $$''$$, $$repeat('w', 1025)$$]) arguments;

-- watch_jobs.
SELECT refused(format('chancy.watch_jobs(%s)', arguments)) FROM unnest(ARRAY[$$NULL$$, $$'{NULL}'$$, $$'{x}'$$, $$'{}', NULL$$, $$'{}', '0 s'$$, $$'{}', '-1 s'$$,
    $$'{}', '25 hours'$$, $$'{}', '213503983 days'$$, $$array_fill('00000000-0000-0000-0000-000000000000'::uuid, '{100001}')$$]) arguments;

-- The grants.
SELECT refused(format('chancy.%s', call)) FROM unnest(ARRAY[$$grant_producer(NULL)$$, $$grant_worker(NULL)$$, $$grant_admin(NULL)$$,
    $$grant_producer('regress_nobody')$$, $$grant_producer(4000000000)$$, $$grant_producer(0)$$, $$grant_producer('pg_monitor', '{NULL}')$$,
    $$grant_worker('pg_monitor', '{a,NULL}')$$, $$grant_worker('pg_monitor', ARRAY[''])$$, $$grant_producer('pg_monitor', ARRAY[repeat('q', 256)])$$]) call;

-- Nothing was written by any of them.
SELECT (SELECT count(*) FROM chancy.jobs WHERE state = 'pending'), (SELECT count(*) FROM chancy.jobs), (SELECT count(*) FROM chancy.queues),
    (SELECT count(*) FROM chancy.workers), (SELECT count(*) FROM chancy.watches), (SELECT count(*) FROM chancy.grants);
