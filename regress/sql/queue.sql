-- queue: declare, list, pause, resume, delete.
\set ECHO none
\i sql/include/tools.sql
\set ECHO all

-- The defaults are Chancy's.
SELECT clock_timestamp() AS before \gset
SELECT name, state, concurrency, tags, executor, executor_options, polling_interval, rate_limit, rate_limit_window, resume_at, eager_polling,
    created_at BETWEEN :'before' AND clock_timestamp() AS created_now
FROM chancy.declare_queue('plain') \gx
-- Every column.
SELECT name, state, concurrency, tags, executor, executor_options, polling_interval, rate_limit, rate_limit_window,
    resume_at = '2100-01-01 00:00:00Z' AS resume_at, eager_polling
FROM chancy.declare_queue(name => 'full', state => 'paused', concurrency => 3, tags => '{a=.*,b}', executor => 'chancy.executors.thread.ThreadedExecutor',
    executor_options => '{"x": 1}', polling_interval => 7, rate_limit => 10, rate_limit_window => 60, resume_at => '2100-01-01 00:00:00Z',
    eager_polling => true) \gx
SELECT tags FROM chancy.declare_queue('no tags', tags => '{}');

-- One that exists is returned as it is, and not written.
SELECT ctid AS place, xmin AS writer, created_at AS created FROM chancy.queues WHERE name = 'full' \gset
SELECT name, state, concurrency, tags, rate_limit, eager_polling FROM chancy.declare_queue('full', concurrency => 99);
SELECT ctid = :'place' AND xmin = :'writer' AS untouched FROM chancy.queues WHERE name = 'full';
-- With upsert every setting is the given or the default one; its birthday stays.
SELECT name, state, concurrency, tags, executor, executor_options, polling_interval, rate_limit, rate_limit_window, resume_at, eager_polling
FROM chancy.declare_queue('full', concurrency => 99, upsert => true) \gx
SELECT created_at = :'created' AS same_birthday FROM chancy.queues WHERE name = 'full';
SELECT name, concurrency FROM chancy.declare_queue('new', concurrency => 1, upsert => true);
-- In one transaction.
BEGIN;
SELECT concurrency FROM chancy.declare_queue('tx', concurrency => 1);
SELECT concurrency FROM chancy.declare_queue('tx', concurrency => 2);
SELECT concurrency FROM chancy.declare_queue('tx', concurrency => 2, upsert => true);
ROLLBACK;

-- By name, bytewise.
SELECT (chancy.declare_queue(n)).name FROM unnest('{Z,ä,a}'::text[]) n;
SELECT name, state, concurrency FROM chancy.list_queues();

-- Pause and resume tell whether there is such a queue.
SELECT chancy.pause_queue('plain'), chancy.pause_queue('nowhere'), chancy.resume_queue('nowhere');
SELECT state, resume_at FROM chancy.queues WHERE name = 'plain';
SELECT chancy.pause_queue('plain', '2100-01-01 00:00:00Z');
SELECT state, resume_at = '2100-01-01 00:00:00Z' AS resume_at FROM chancy.queues WHERE name = 'plain';
SELECT chancy.pause_queue('plain');
SELECT state, resume_at FROM chancy.queues WHERE name = 'plain';
SELECT chancy.resume_queue('plain'), chancy.resume_queue('plain');
SELECT state, resume_at FROM chancy.queues WHERE name = 'plain';

-- delete: with its jobs, finished ones too; others stay. Or without.
SELECT count(*) FROM chancy.push_many('[{"func": "d.pending", "queue": "plain"}, {"func": "d.later", "queue": "plain", "scheduled_at": "2100-01-01T00:00:00Z"},
    {"func": "d.done", "queue": "plain", "priority": 1}, {"func": "d.other", "queue": "full"}]');
SELECT func FROM chancy.fetch_jobs('plain', 'w');
SELECT state FROM chancy.apply_updates('w', updates('succeeded', 'd.done'));
SELECT chancy.delete_queue('plain', false);
SELECT func, queue FROM look();
SELECT chancy.delete_queue('plain', false);
SELECT (chancy.declare_queue('plain')).name;
SELECT chancy.delete_queue('plain');
SELECT func, queue FROM look();
SELECT chancy.delete_queue('plain');
SELECT func FROM chancy.fetch_jobs('plain', 'w');
-- Refused while one of its jobs runs, purge or not; nothing is gone then.
SELECT func FROM chancy.fetch_jobs('full', 'w');
SELECT count(*) FROM chancy.push_many('[{"func": "d.waits", "queue": "full"}]');
SELECT refused($$chancy.delete_queue('full')$$) \g (tuples_only format=unaligned)
SELECT refused($$chancy.delete_queue('full', false)$$) \g (tuples_only format=unaligned)
SELECT refused($$chancy.delete_queue('full', purge_jobs => NULL)$$) \g (tuples_only format=unaligned)
SELECT name FROM chancy.queues WHERE name = 'full';
SELECT func, state FROM look();
SELECT state FROM chancy.apply_updates('w', updates('released', 'd.other'));
SELECT chancy.delete_queue('full');
SELECT func, state FROM look();
-- A queue that was never declared has nothing to delete but its jobs.
SELECT chancy.push('d.undeclared', queue => 'nowhere') IS NOT NULL AS pushed;
SELECT chancy.delete_queue('nowhere', false);
SELECT func, state FROM look();
-- A deleted queue's counter does not slow down a new queue of the name.
SELECT (chancy.declare_queue('again', rate_limit => 1, rate_limit_window => 1000000000)).name;
SELECT count(*) FROM chancy.push_many('[{"func": "a.1", "queue": "again"}]');
SELECT func FROM chancy.fetch_jobs('again', 'w', 9);
SELECT chancy.cancel_job(id_of('a.1'));
SELECT chancy.delete_queue('again');
SELECT (chancy.declare_queue('again', rate_limit => 1, rate_limit_window => 1000000000)).name;
SELECT count(*) FROM chancy.push_many('[{"func": "a.2", "queue": "again"}]');
SELECT func FROM chancy.fetch_jobs('again', 'w', 9);
