-- commit: calls inside a transaction block are buffered and made at its commit, in one order; savepoints are honoured.
\set ECHO none
\i sql/include/tools.sql
-- What pushed() tells: is the id the reserved one, and whose job is it?
CREATE VIEW made AS SELECT ord, id = reserved AS as_reserved, (chancy.get_job(id)).func, created FROM chancy.pushed();
\pset format unaligned
\pset footer off
\set ECHO all
SELECT (chancy.declare_queue('default')).name;
SHOW chancy.push_mode;

-- Before the commit a job with a key is not there, nor is it known what becomes of it; one without a key meets nobody.
SELECT chancy.push('old', unique_key => 'old') AS old \gset
BEGIN;
SELECT chancy.push('new', unique_key => 'new') AS new \gset
SELECT chancy.push('dup', unique_key => 'old') = :'old' AS told;
SELECT ord, created FROM chancy.push_many('[{"func": "new.2", "unique_key": "new 2"}, {"func": "twice", "unique_key": "new"}, {"func": "keyless"}]');
SELECT func FROM look();
SELECT (chancy.get_job(:'new')).func;
COMMIT;
SELECT func, unique_key FROM look();
SELECT * FROM made;
SELECT func, id = :'new' AS as_reserved FROM chancy.get_live_job('new');

-- Nothing of a rolled back block or savepoint; a released one counts. pushed() stays with the last commit that pushed.
BEGIN;
SELECT chancy.push('rolled.back', unique_key => 'a') IS NOT NULL AS pushed;
ROLLBACK;
BEGIN;
SELECT chancy.push('sp.1', unique_key => 'a') IS NOT NULL AS pushed;
SAVEPOINT a;
SELECT chancy.push('sp.2', unique_key => 'b') IS NOT NULL AS pushed;
SAVEPOINT b;
SELECT chancy.push('sp.3', unique_key => 'a') IS NOT NULL AS pushed, chancy.push('sp.3', unique_key => 'c') IS NOT NULL AS pushed;
RELEASE b;
SELECT chancy.push('sp.4') IS NOT NULL AS pushed;
ROLLBACK TO a;
SELECT chancy.push('sp.5', unique_key => 'b') IS NOT NULL AS pushed;
RELEASE a;
COMMIT;
SELECT * FROM made;
BEGIN;
SELECT chancy.push('rolled.back') IS NOT NULL AS pushed;
ROLLBACK;
SELECT * FROM made;
SELECT func, unique_key FROM look() WHERE func ~ 'sp|rolled';
DELETE FROM chancy.jobs;

-- Effects within a key follow the order of calls.
SELECT chancy.push('k.old', unique_key => 'k') AS old \gset
BEGIN;
SELECT chancy.cancel_job(:'old');
SELECT chancy.push('k.new', unique_key => 'k') IS NOT NULL AS pushed;
COMMIT;
SELECT func, state FROM look();
SELECT id AS live FROM chancy.get_live_job('k') \gset
BEGIN;
SELECT chancy.push('k.dup', unique_key => 'k') IS NOT NULL AS pushed;
SELECT * FROM chancy.cancel_jobs(ARRAY[]::uuid[]);
SELECT ord, id = :'live' AS same, cancelled FROM chancy.cancel_jobs(ARRAY[:'live'::uuid]);
COMMIT;
SELECT * FROM made;
SELECT func, state FROM look();
-- A retry after the end of the live job; and before it, when the key is taken.
SELECT chancy.push('k.live', unique_key => 'k') AS live \gset
BEGIN;
SELECT chancy.cancel_job(:'live');
SELECT chancy.retry_job(:'old');
COMMIT;
SELECT func, state FROM look();
-- Cancelling a reserved id withdraws the push.
BEGIN;
SELECT chancy.push('w.1', unique_key => 'w') AS id \gset
SELECT chancy.cancel_job(:'id');
SELECT chancy.push('w.2') AS id \gset
SELECT chancy.cancel_job(:'id');
SELECT chancy.push('w.3', unique_key => 'w') IS NOT NULL AS pushed;
COMMIT;
SELECT * FROM made;
SELECT func, state FROM look() WHERE func LIKE 'w%';
DELETE FROM chancy.jobs;

-- Results: what the handler wrote and its result count both or not at all.
CREATE TABLE work (done text);
SELECT count(*) FROM chancy.push_many('[{"func": "r.1"}, {"func": "r.2"}, {"func": "r.3", "max_attempts": 2}]');
SELECT func FROM chancy.fetch_jobs('default', 'w', 9);
SELECT updates('succeeded', 'r.1') AS one, updates('succeeded', 'r.2') AS two, updates('failed', 'r.3') AS three \gset
BEGIN;
INSERT INTO work VALUES ('r.1');
SELECT ord, state, applied, reason FROM chancy.apply_updates('w', :'one');
SELECT state, applied FROM chancy.apply_updates('w', :'three');
SELECT func, state FROM look();
COMMIT;
SELECT func, state, attempts FROM look();
-- Stale, cancelled, missing: the block's other writes are undone with it.
\set VERBOSITY sqlstate
BEGIN;
INSERT INTO work VALUES ('r.1 again');
SELECT applied FROM chancy.apply_updates('w', :'one');
SELECT chancy.push('after.r.1', unique_key => 'x') IS NOT NULL AS pushed;
COMMIT;
SELECT chancy.cancel_job(id_of('r.2'));
BEGIN;
INSERT INTO work VALUES ('r.2');
SELECT applied FROM chancy.apply_updates('w', :'two', 'skip');
COMMIT;
BEGIN;
SELECT applied FROM chancy.apply_updates('w', '[{"id": "00000000-0000-0000-0000-000000000000", "started_at": "2020-01-01", "outcome": "succeeded"}]');
COMMIT;
\set VERBOSITY default
SELECT * FROM work;
SELECT func, state FROM look();
-- The same job twice in two calls of one transaction: one result an attempt.
SELECT chancy.push('r.4') IS NOT NULL AS pushed;
SELECT func FROM chancy.fetch_jobs('default', 'w', 9) WHERE func = 'r.4';
SELECT updates('succeeded', 'r.4') AS four \gset
\set VERBOSITY sqlstate
BEGIN;
SELECT applied FROM chancy.apply_updates('w', :'four');
SELECT applied FROM chancy.apply_updates('w', :'four');
COMMIT;
\set VERBOSITY default
SELECT func, state FROM look() WHERE func = 'r.4';
DELETE FROM chancy.jobs;

-- flush() makes them now, to be seen; a savepoint's rollback takes back what was flushed in it, to be made at commit.
BEGIN;
SELECT chancy.push('f.1', unique_key => 'f1') IS NOT NULL AS pushed;
SELECT chancy.flush();
SELECT func FROM look();
SELECT chancy.push('f.2', unique_key => 'f1') IS NOT NULL AS pushed, chancy.push('f.2', unique_key => 'f2') IS NOT NULL AS pushed;
SAVEPOINT s;
SELECT chancy.flush();
SELECT func, unique_key FROM look();
ROLLBACK TO s;
SELECT func, unique_key FROM look();
COMMIT;
SELECT * FROM made;
SELECT func, unique_key FROM look();
SELECT chancy.flush();
DELETE FROM chancy.jobs;

-- delete_queue too.
SELECT (chancy.declare_queue('gone')).name;
SELECT chancy.push('d.1', queue => 'gone') IS NOT NULL AS pushed;
BEGIN;
SELECT chancy.delete_queue('gone');
SELECT name FROM chancy.list_queues();
COMMIT;
SELECT name FROM chancy.list_queues();
SELECT func FROM look();

-- Outside a block: at once, until the transaction has written. In triggers, also deferred ones, and in procedures.
SELECT created, chancy.push('o.2', unique_key => 'o') IS NOT NULL AS pushed FROM chancy.push_many('[{"func": "o.1", "unique_key": "o"}]');
CREATE TABLE orders (n int);
CREATE FUNCTION on_order() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM chancy.push('order.' || TG_ARGV[0], unique_key => TG_ARGV[0] || NEW.n % 2);
    RETURN NULL;
END $$;
CREATE TRIGGER at_once AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION on_order('at once');
CREATE CONSTRAINT TRIGGER deferred AFTER INSERT ON orders DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION on_order('deferred');
INSERT INTO orders SELECT generate_series(1, 4);
SELECT * FROM made;
BEGIN;
INSERT INTO orders VALUES (1);
COMMIT;
SELECT * FROM made;
CREATE PROCEDURE two_commits() LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO orders VALUES (5);
    COMMIT;
    PERFORM chancy.push('procedure', unique_key => 'p');
    ROLLBACK;
    PERFORM chancy.push('procedure.2', unique_key => 'p');
END $$;
CALL two_commits();
SELECT func, unique_key FROM look();
DELETE FROM chancy.jobs;
-- Several statements in one message are one transaction; a chained block is the next one.
SELECT chancy.push('m.1', unique_key => 'm') IS NOT NULL AS pushed \; SELECT created FROM chancy.push_many('[{"func": "m.2", "unique_key": "m"}]');
BEGIN;
SELECT chancy.push('m.3', unique_key => 'm3') IS NOT NULL AS pushed;
COMMIT AND CHAIN;
SELECT * FROM made;
SELECT chancy.push('m.4', unique_key => 'm4') IS NOT NULL AS pushed;
ROLLBACK;
SELECT func FROM look();
DELETE FROM chancy.jobs;

-- A prepared transaction has made its jobs; pushed() does not tell of them.
BEGIN;
SELECT chancy.push('prepared', unique_key => 'p') IS NOT NULL AS pushed;
PREPARE TRANSACTION 'regress_commit';
SELECT func FROM look();
COMMIT PREPARED 'regress_commit';
SELECT func FROM look();
SELECT * FROM made;
BEGIN;
SELECT chancy.push('prepared.back', unique_key => 'q') IS NOT NULL AS pushed;
PREPARE TRANSACTION 'regress_commit';
ROLLBACK PREPARED 'regress_commit';
SELECT func FROM look();
DELETE FROM chancy.jobs;

-- push_at_commit is always buffered; its input is checked at the call, as is that of every buffered one.
SELECT ord, id IS NOT NULL AS reserved FROM chancy.push_at_commit('[{"func": "pac.1", "unique_key": "k"}, {"func": "pac.2", "unique_key": "k"}, {"func": "pac.3"}]');
SELECT * FROM made;
SELECT * FROM chancy.push_at_commit('[]');
SET chancy.push_mode = immediate;
BEGIN;
SELECT created FROM chancy.push_many('[{"func": "imm", "unique_key": "i"}]');
SELECT ord FROM chancy.push_at_commit('[{"func": "pac.4", "unique_key": "i 2"}]');
SELECT func FROM look();
COMMIT;
SELECT func FROM look();
SET chancy.push_mode = at_commit;
SELECT created FROM chancy.push_many('[{"func": "at.commit", "unique_key": "a"}]');
SELECT * FROM made;
SET chancy.push_mode = sometimes;
RESET chancy.push_mode;
SELECT refused(c) FROM unnest(ARRAY[$$chancy.push_at_commit(NULL)$$, $$chancy.push_at_commit('{}')$$, $$chancy.push_at_commit('[{}]')$$,
    $$chancy.push_at_commit('[{"func": "f"}, {"func": "f", "priority": "high"}]')$$,
    $$chancy.push_at_commit((SELECT jsonb_agg('{"func": "f"}'::jsonb) FROM generate_series(1, 100001)))$$]) c \g (tuples_only format=unaligned)
BEGIN;
SELECT chancy.push_many('[{"func": "f"}, {"func": ""}]');
ROLLBACK;
BEGIN;
SELECT chancy.apply_updates('w', '[{"id": "x"}]');
ROLLBACK;
BEGIN;
SELECT chancy.cancel_jobs('{NULL}');
ROLLBACK;
SELECT func FROM look();
