-- delete_queue at commit: a push behind it is not deleted, and an error of it names the call.
SELECT name FROM chancy.declare_queue('q');
SELECT created FROM chancy.push_many('[{"func": "old", "queue": "q", "unique_key": "a"}]');
BEGIN;
SELECT chancy.delete_queue('q');
SELECT created FROM chancy.push_many('[{"func": "new", "queue": "q", "unique_key": "b"}, {"func": "keyless", "queue": "q"}]');
COMMIT;
SELECT created, EXISTS (SELECT FROM chancy.jobs j WHERE j.id = p.id) AS there FROM chancy.pushed() p;
SELECT func FROM chancy.jobs ORDER BY func;
SELECT name FROM chancy.queues;
-- before it, it is
SELECT name FROM chancy.declare_queue('q');
BEGIN;
SELECT created FROM chancy.push_many('[{"func": "newer", "queue": "q", "unique_key": "c"}]');
SELECT chancy.delete_queue('q');
COMMIT;
SELECT func FROM chancy.jobs ORDER BY func;
-- refused
SELECT name FROM chancy.declare_queue('q');
SELECT created FROM chancy.push_many('[{"func": "runs", "queue": "q"}]');
SELECT func FROM chancy.fetch_jobs('q', 'w');
BEGIN;
SELECT created FROM chancy.push_many('[{"func": "undone", "unique_key": "a"}]');
SELECT chancy.delete_queue('q');
COMMIT;
TRUNCATE chancy.jobs, chancy.queues;
