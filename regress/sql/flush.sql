-- Writes at commit: what is buffered, when it is made, and what is told of it.
CREATE FUNCTION batch(func text, VARIADIC keys text[]) RETURNS jsonb LANGUAGE sql
RETURN (SELECT jsonb_agg(jsonb_build_object('func', func, 'unique_key', nullif(k, '')) ORDER BY n)
        FROM unnest(keys) WITH ORDINALITY u (k, n));
CREATE FUNCTION result_of(id uuid, outcome text) RETURNS jsonb LANGUAGE sql
RETURN jsonb_build_array(jsonb_build_object('id', id, 'started_at', '2001-01-01 00:00+00', 'outcome', outcome));
-- What the last commit made of its pushes: own, the job has the reserved id; there, it exists.
CREATE VIEW last_commit AS
SELECT p.ord, j.func, j.unique_key, p.id = p.reserved AS own, p.created, j.id IS NOT NULL AS there
FROM chancy.pushed() p LEFT JOIN chancy.jobs j ON j.id = p.id;
CREATE VIEW jobs AS SELECT func, unique_key, state FROM chancy.jobs ORDER BY unique_key, func;

-- nothing was pushed on this connection
SELECT * FROM chancy.pushed();

-- outside a block a call is made at once, and is no business of pushed()
SELECT ord, created FROM chancy.push_many(batch('direct', 'a', '', 'b', 'a'));
SELECT * FROM last_commit;

-- in a block a keyed push is decided at commit, a keyless one at once
BEGIN;
SELECT ord, id IS NOT NULL AS told, created FROM chancy.push_many(batch('block', 'z', 'a', '', 'y'));
SELECT chancy.push('single', unique_key => 'x') IS NOT NULL AS told;
SELECT chancy.push('keyless') IS NOT NULL AS told;
SELECT ord, id IS NOT NULL AS told FROM chancy.push_at_commit(batch('later', 'z', 'w'));
SELECT * FROM jobs;
SELECT * FROM last_commit;
COMMIT;
SELECT * FROM jobs;
-- in the order of the calls, with the job that each of them met
SELECT * FROM last_commit;
-- and until the next commit that pushes
BEGIN;
SELECT count(*) FROM chancy.get_jobs(ARRAY(SELECT id FROM chancy.pushed()));
COMMIT;
BEGIN;
SELECT chancy.push('not made', unique_key => 'v') IS NOT NULL AS told;
ROLLBACK;
SELECT count(*) FROM last_commit;
BEGIN;
SELECT chancy.push('made', unique_key => 'v') IS NOT NULL AS told;
COMMIT AND CHAIN;
SELECT * FROM last_commit;
SELECT chancy.push('chained', unique_key => 'u') IS NOT NULL AS told;
COMMIT;
SELECT * FROM last_commit;
TRUNCATE chancy.jobs;

-- several statements in one message are a block
SELECT chancy.push('message', unique_key => 'a') IS NOT NULL AS told\; SELECT count(*) FROM chancy.jobs;
SELECT * FROM last_commit;
-- one statement outside a block: the first call at once, the others at commit
SELECT created FROM (VALUES ('b'), ('c')) v (k), chancy.push_many(batch('statement', k));
SELECT * FROM last_commit;
TRUNCATE chancy.jobs;

-- flush(): visible at once
BEGIN;
SELECT chancy.push('flushed', unique_key => 'a') IS NOT NULL AS told;
SELECT count(*) FROM jobs;
SELECT chancy.flush();
SELECT * FROM jobs;
SELECT chancy.flush();
SELECT ord, created FROM chancy.push_many(batch('after', 'a', 'b'));
COMMIT;
SELECT * FROM jobs;
SELECT * FROM last_commit;
-- in a savepoint that is rolled back: what was pending is made at commit, what was called inside is not
BEGIN;
SELECT chancy.push('before', unique_key => 'c') IS NOT NULL AS told;
SAVEPOINT s;
SELECT chancy.push('inside', unique_key => 'd') IS NOT NULL AS told;
SELECT chancy.flush();
SELECT * FROM jobs;
ROLLBACK TO s;
SELECT * FROM jobs;
SELECT chancy.push('behind', unique_key => 'e') IS NOT NULL AS told;
COMMIT;
SELECT * FROM jobs;
SELECT * FROM last_commit;
-- outside a block, with nothing to flush
SELECT chancy.flush();
TRUNCATE chancy.jobs;

-- chancy.push_mode
SHOW chancy.push_mode;
SET chancy.push_mode = 'immediate';
BEGIN;
SELECT ord, created FROM chancy.push_many(batch('immediate', 'a', 'a'));
SELECT ord, id IS NOT NULL AS told FROM chancy.push_at_commit(batch('later', 'b'));
SELECT * FROM jobs;
COMMIT;
SELECT * FROM last_commit;
SET chancy.push_mode = 'at_commit';
SELECT ord, created FROM chancy.push_many(batch('at commit', 'b', 'c'));
SELECT * FROM last_commit;
SELECT chancy.cancel_job(id) FROM chancy.pushed() WHERE ord = 2;
SELECT * FROM jobs;
SET chancy.push_mode = 'sometimes';
SET chancy.push_mode = 'auto';
-- push_at_commit outside a block
SELECT ord, id IS NOT NULL AS told FROM chancy.push_at_commit(batch('outside', 'b', 'd'));
SELECT * FROM last_commit;
-- the mode counts at the call
BEGIN;
SET LOCAL chancy.push_mode = 'immediate';
SELECT created FROM chancy.push_many(batch('at once', 'e'));
SET LOCAL chancy.push_mode = 'auto';
SELECT created FROM chancy.push_many(batch('later', 'f'));
COMMIT;
SELECT * FROM last_commit;
TRUNCATE chancy.jobs;

-- results, cancels and retries are told as NULL, and made in the order of the calls
INSERT INTO chancy.jobs (id, queue, func, unique_key, state, taken_by, started_at) VALUES
  (repeat('1', 32)::uuid, 'default', 'one', 'a', 'running', 'w', '2001-01-01 00:00+00'),
  (repeat('2', 32)::uuid, 'default', 'two', NULL, 'running', 'w', '2001-01-01 00:00+00'),
  (repeat('3', 32)::uuid, 'default', 'three', 'c', 'failed', NULL, NULL),
  (repeat('4', 32)::uuid, 'default', 'four', 'd', 'pending', NULL, NULL),
  (repeat('5', 32)::uuid, 'default', 'five', 'e', 'pending', NULL, NULL);
BEGIN;
SELECT * FROM chancy.apply_updates('w', result_of(repeat('1', 32)::uuid, 'succeeded'));
SELECT chancy.push('follow-up', unique_key => 'a') IS NOT NULL AS told;
SELECT * FROM chancy.cancel_jobs(ARRAY[repeat('4', 32), repeat('0', 32)]::uuid[]);
SELECT chancy.cancel_job(repeat('2', 32)::uuid);
SELECT chancy.retry_job(repeat('2', 32)::uuid);
SELECT chancy.retry_job(repeat('3', 32)::uuid);
SELECT chancy.cancel_job(repeat('3', 32)::uuid);
SELECT chancy.push('again', unique_key => 'd') IS NOT NULL AS told;
SELECT chancy.push('duplicate', unique_key => 'e') IS NOT NULL AS told;
SELECT chancy.cancel_job(repeat('5', 32)::uuid);
SELECT chancy.delete_queue('none');
SELECT * FROM jobs;
COMMIT;
SELECT * FROM jobs;
SELECT * FROM last_commit;
TRUNCATE chancy.jobs;

-- a batch is one transaction's whole: nothing of it when the flush fails, and the message names the call
CREATE TABLE work (done text);
INSERT INTO chancy.jobs (id, queue, func, state, taken_by, started_at) VALUES
  (repeat('1', 32)::uuid, 'default', 'one', 'running', 'w', '2001-01-01 00:00+00'),
  (repeat('2', 32)::uuid, 'default', 'two', 'running', 'v', '2001-01-01 00:00+00');
BEGIN;
INSERT INTO work VALUES ('undone');
SELECT chancy.push('undone', unique_key => 'a') IS NOT NULL AS told;
SELECT ord, applied FROM chancy.apply_updates('w', result_of(repeat('1', 32)::uuid, 'succeeded') || result_of(repeat('2', 32)::uuid, 'succeeded'));
COMMIT;
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM work;
SELECT * FROM jobs;
-- bad input is refused by the call, and buffers nothing
BEGIN;
SAVEPOINT s;
SELECT chancy.push_many(batch('bad', 'a') || '{"func": "bad", "priority": "high"}');
ROLLBACK TO s;
SELECT chancy.push('good', unique_key => 'b') IS NOT NULL AS told;
COMMIT;
SELECT * FROM jobs;
-- a transaction that failed makes nothing
BEGIN;
SELECT chancy.push('failed', unique_key => 'c') IS NOT NULL AS told;
SELECT 1 / 0;
COMMIT;
SELECT * FROM jobs;
TRUNCATE chancy.jobs, work;

-- delete_queue is told as NULL too, and refused at commit
SELECT name FROM chancy.declare_queue('q');
SELECT chancy.push('in q', queue => 'q') IS NOT NULL AS pushed;
SELECT func FROM chancy.fetch_jobs('q', 'w');
BEGIN;
SELECT chancy.push('undone', unique_key => 'a') IS NOT NULL AS told;
SELECT chancy.delete_queue('q');
\set SHOW_CONTEXT never
COMMIT;
\set SHOW_CONTEXT errors
\echo :LAST_ERROR_SQLSTATE
SELECT name FROM chancy.queues;
SELECT chancy.cancel_job(id) FROM chancy.jobs;
BEGIN;
SELECT chancy.delete_queue('q');
SELECT chancy.delete_queue('q');
SELECT name FROM chancy.queues;
COMMIT;
SELECT name FROM chancy.queues;
SELECT * FROM jobs;

-- a read-only transaction is refused at the call, not at commit
BEGIN READ ONLY;
SAVEPOINT s;
SELECT chancy.push('read only', unique_key => 'a');
ROLLBACK TO s;
SELECT chancy.push_many(batch('read only', 'a'));
ROLLBACK TO s;
SELECT chancy.push_at_commit(batch('read only', 'a'));
ROLLBACK TO s;
SELECT chancy.apply_updates('w', '[]');
ROLLBACK TO s;
SELECT chancy.cancel_job(repeat('1', 32)::uuid);
ROLLBACK TO s;
SELECT chancy.cancel_jobs('{}');
ROLLBACK TO s;
SELECT chancy.retry_job(repeat('1', 32)::uuid);
ROLLBACK TO s;
SELECT chancy.delete_queue('q');
ROLLBACK TO s;
SELECT chancy.flush();
ROLLBACK TO s;
SELECT count(*) FROM last_commit;
COMMIT;

-- a procedure flushes with each of its COMMITs
CREATE PROCEDURE push_in_steps() LANGUAGE plpgsql AS $$
BEGIN
  FOR i IN 1..3 LOOP
    PERFORM chancy.push('step ' || i, unique_key => 'same'), chancy.push('step ' || i, unique_key => 'key ' || i);
    COMMIT;
    RAISE NOTICE 'step %: %', i, (SELECT array_agg(created ORDER BY ord) FROM chancy.pushed());
    PERFORM chancy.push('step ' || i, unique_key => 'rolled back');
    ROLLBACK;
  END LOOP;
END $$;
SET chancy.push_mode = 'at_commit';
CALL push_in_steps();
SELECT * FROM jobs;
TRUNCATE chancy.jobs;
RESET chancy.push_mode;
CALL push_in_steps();
SELECT * FROM jobs;
TRUNCATE chancy.jobs;

-- DO blocks with exceptions, in a block and outside one
CREATE PROCEDURE push_and_fail() LANGUAGE plpgsql AS $$
BEGIN
  PERFORM chancy.push('kept', unique_key => 'a');
  FOR i IN 1..3 LOOP
    BEGIN
      PERFORM chancy.push('inside', unique_key => 'b' || i);
      BEGIN
        PERFORM chancy.push('deep', unique_key => 'c' || i);
        IF i = 1 THEN RAISE division_by_zero; END IF;
      EXCEPTION WHEN division_by_zero THEN
        PERFORM chancy.push('handler', unique_key => 'd' || i);
      END;
      IF i = 2 THEN RAISE division_by_zero; END IF;
    EXCEPTION WHEN division_by_zero THEN NULL;
    END;
  END LOOP;
  PERFORM chancy.push('last', unique_key => 'e');
END $$;
BEGIN;
CALL push_and_fail();
SELECT count(*) FROM jobs;
COMMIT;
SELECT * FROM jobs;
SELECT * FROM last_commit;
TRUNCATE chancy.jobs;
CALL push_and_fail();
SELECT * FROM jobs;
TRUNCATE chancy.jobs;

-- triggers: buffered, deferred ones too, which run before the flush
CREATE FUNCTION push_work() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM chancy.push(TG_NAME, unique_key => NEW.done);
  RETURN NULL;
END $$;
CREATE TRIGGER at_once AFTER INSERT ON work FOR EACH ROW EXECUTE FUNCTION push_work();
CREATE CONSTRAINT TRIGGER deferred AFTER UPDATE ON work DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION push_work();
INSERT INTO work VALUES ('a'), ('b');
SELECT * FROM last_commit;
UPDATE work SET done = done || done;
SELECT * FROM last_commit;
BEGIN;
UPDATE work SET done = 'c' WHERE done = 'aa';
INSERT INTO work VALUES ('c');
COMMIT;
SELECT * FROM last_commit;
DROP TABLE work;
TRUNCATE chancy.jobs;

-- a cursor WITH HOLD is read to its end before the flush
BEGIN;
DECLARE held CURSOR WITH HOLD FOR SELECT chancy.push('held', unique_key => 'k' || i) IS NOT NULL AS told FROM generate_series(1, 3) i;
COMMIT;
SELECT * FROM last_commit;
FETCH ALL FROM held;
CLOSE held;
TRUNCATE chancy.jobs;

-- made with the owner's rights: the producer's are checked by the call, and may be gone at commit
CREATE ROLE flush_producer;
SELECT chancy.grant_producer('flush_producer', '{mail}');
BEGIN;
SET LOCAL ROLE flush_producer;
SELECT chancy.push('producer', queue => 'mail', unique_key => 'a') IS NOT NULL AS told;
SAVEPOINT s;
SELECT chancy.push('producer', queue => 'default', unique_key => 'b');
ROLLBACK TO s;
SELECT count(*) FROM chancy.jobs;
ROLLBACK TO s;
SELECT chancy.flush();
SELECT chancy.push('producer', queue => 'mail', unique_key => 'c') IS NOT NULL AS told;
COMMIT;
SELECT * FROM jobs;
DELETE FROM chancy.grants WHERE role = 'flush_producer'::regrole;
DROP OWNED BY flush_producer;
DROP ROLE flush_producer;
TRUNCATE chancy.jobs;

-- 20,000 calls in one transaction, each in a subtransaction of its own, every third of which rolls back
BEGIN;
DO $$
BEGIN
  FOR i IN 1..20000 LOOP
    BEGIN
      PERFORM chancy.push('many', unique_key => 'key ' || i % 15000);
      IF i % 3 = 0 THEN RAISE division_by_zero; END IF;
    EXCEPTION WHEN division_by_zero THEN NULL;
    END;
  END LOOP;
END $$;
SELECT count(*) FROM jobs;
COMMIT;
SELECT count(*), count(*) FILTER (WHERE created) AS created, count(DISTINCT id) AS ids FROM chancy.pushed();
SELECT count(*), min(unique_key), max(unique_key) FROM jobs;
-- and one with 20,000 results
UPDATE chancy.jobs SET state = 'running', taken_by = 'w', started_at = '2001-01-01 00:00+00';
BEGIN;
SELECT count(*) FROM (SELECT id FROM chancy.jobs ORDER BY func, scheduled_at, created_at, id DESC) j,
  chancy.apply_updates('w', result_of(j.id, 'succeeded'));
SELECT count(*) FROM chancy.jobs j, chancy.push('next', unique_key => j.unique_key);
COMMIT;
SELECT func, state, count(*) FROM chancy.jobs GROUP BY 1, 2 ORDER BY 1, 2;
SELECT count(*), count(*) FILTER (WHERE created) AS created FROM chancy.pushed();
TRUNCATE chancy.jobs;

DROP VIEW last_commit, jobs;
DROP PROCEDURE push_in_steps, push_and_fail;
DROP FUNCTION push_work, result_of, batch;
