-- worker: heartbeat, list, retire.
\set ECHO none
\i sql/include/tools.sql
\set ECHO all

-- Announced for 90 s; renewed with what it says now.
SELECT clock_timestamp() AS before \gset
SELECT chancy.heartbeat('w1', '{*,host=a}', '{default,other}') AS expires \gset
SELECT :'expires' BETWEEN :'before'::timestamptz + interval '90 s' AND clock_timestamp() + interval '90 s' AS in_90_s;
SELECT worker_id, tags, queues, expires_at = :'expires' AS as_told, last_seen + interval '90 s' = expires_at AS seen_now FROM chancy.list_workers();
SELECT chancy.heartbeat('w1', '{}', '{}', '1 s') < :'expires' AS earlier;
SELECT worker_id, tags, queues, last_seen > :'before' AS seen, expires_at - last_seen AS span FROM chancy.list_workers();
SELECT chancy.heartbeat('w1', '{a}', '{}', timeout => '1 day') > :'expires' AS later;
SELECT worker_id, tags, queues, expires_at - last_seen AS span FROM chancy.list_workers();

-- By worker_id, bytewise.
SELECT chancy.heartbeat(w, '{}', '{}') IS NOT NULL AS announced FROM unnest('{w2,W,ä}'::text[]) w;
SELECT worker_id FROM chancy.list_workers();

-- Retired: true once.
SELECT chancy.retire_worker('w2'), chancy.retire_worker('w2'), chancy.retire_worker('nobody');
SELECT worker_id FROM chancy.list_workers();
BEGIN;
SELECT chancy.retire_worker('W');
SELECT worker_id FROM chancy.list_workers();
ROLLBACK;
SELECT worker_id FROM chancy.list_workers();

-- A worker need not be announced to fetch; its jobs stay its own when it retires, until its results come.
SELECT (chancy.declare_queue('default')).name;
SELECT chancy.push('j.1') IS NOT NULL AS pushed;
SELECT func, taken_by FROM chancy.fetch_jobs('default', 'never seen');
SELECT chancy.retire_worker('never seen');
SELECT func FROM chancy.running_jobs('never seen');
SELECT applied FROM chancy.apply_updates('never seen', updates('succeeded', 'j.1'));
