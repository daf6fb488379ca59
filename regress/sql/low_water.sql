-- A fetch does not look at everything before its low-water mark each time; what turns up there is found all the same.
\i sql/include/tools.sql
SELECT chancy.declare_queue('default') IS NOT NULL AS declared;
-- Two thousand jobs that are not due, before everything else: more than a mark stays behind for. A sweep looks at 64 of them at a time.
SELECT count(*) FROM chancy.push_arrays('{later}', scheduled_at => '{2100-01-01}', priority => array_fill(0, '{2000}'));
SET chancy.sweep_time = 0;

-- Fetches, each in a transaction of its own, until it gets the job, or 3000 have not.
CREATE PROCEDURE look_for(wanted text, OUT got_it boolean, OUT at_once boolean) LANGUAGE plpgsql AS $$
DECLARE got text;
BEGIN
    got_it := false;
    FOR n IN 1 .. 3000 LOOP
        SELECT func INTO got FROM chancy.fetch_jobs('default', 'w');
        COMMIT;
        IF got = wanted THEN
            got_it := true;
            at_once := n = 1;
            RETURN;
        END IF;
        PERFORM pg_sleep(0.001);
    END LOOP;
END $$;

-- The first fetch sees all; then the mark lies behind the jobs that are not due.
SELECT count(*) FROM chancy.push_many('[{"func": "a", "max_attempts": 3}, {"func": "b"}, {"func": "c"}]');
SELECT func FROM chancy.fetch_jobs('default', 'w', 3);
-- New jobs are found at once, whatever lies before the mark; higher priorities first.
SELECT count(*) FROM chancy.push_many('[{"func": "new"}, {"func": "low", "priority": -1}, {"func": "high", "priority": 1}]');
SELECT func FROM chancy.fetch_jobs('default', 'w', 3);

-- A retried one.
SELECT state FROM chancy.apply_updates('w', jsonb_build_array(an_update('a', 'failed', jsonb_build_object('retry_at', now()))));
CALL look_for('a', NULL, NULL);
-- A released one.
SELECT state FROM chancy.apply_updates('w', updates('released', 'a'));
CALL look_for('a', NULL, NULL);
-- One whose worker has died.
INSERT INTO chancy.workers VALUES ('w', '{}', '{}', now(), now() - interval '1 h');
SELECT recovered > 0 AS recovered FROM chancy.recover_jobs();
CALL look_for('b', NULL, NULL);
CALL look_for('c', NULL, NULL);
-- One whose time has come.
UPDATE chancy.jobs SET scheduled_at = now(), func = 'come' WHERE id = (SELECT id FROM chancy.jobs WHERE func = 'later' ORDER BY id LIMIT 1 OFFSET 1000);
CALL look_for('come', NULL, NULL);
-- One that is raised to a priority whose mark lies behind it, and one that is lowered.
SELECT count(*) FROM chancy.push_arrays('{later}', scheduled_at => '{2100-01-01}', priority => array_fill(1, '{2000}'));
SELECT chancy.push('high', priority => 1) IS NOT NULL AS pushed;
CALL look_for('high', NULL, NULL);
UPDATE chancy.jobs SET scheduled_at = now(), func = 'raised', priority = 1 WHERE id = (SELECT id FROM chancy.jobs WHERE func = 'later' AND priority = 0 ORDER BY id LIMIT 1 OFFSET 1500);
CALL look_for('raised', NULL, NULL);
UPDATE chancy.jobs SET scheduled_at = now(), func = 'lowered', priority = 0 WHERE id = (SELECT id FROM chancy.jobs WHERE func = 'later' AND priority = 1 ORDER BY id LIMIT 1);
CALL look_for('lowered', NULL, NULL);
-- A row that Python writes, with a clock that is late.
INSERT INTO chancy.jobs (id, queue, func) SELECT id, 'default', 'python' FROM (SELECT (lpad(to_hex(1000000), 16, '0') || '8000000000000000')::uuid) i (id);
CALL look_for('python', NULL, NULL);
-- A claim that is rolled back: the marks go with it.
SELECT chancy.push('again') IS NOT NULL AS pushed;
BEGIN;
SELECT func FROM chancy.fetch_jobs('default', 'w');
ROLLBACK;
CALL look_for('again', NULL, NULL);
SELECT chancy.push('again') IS NOT NULL AS pushed;
BEGIN;
SAVEPOINT s;
SELECT func FROM chancy.fetch_jobs('default', 'w');
ROLLBACK TO s;
SELECT func FROM chancy.fetch_jobs('default', 'w');
COMMIT;

-- exchange tells its caller to look again as long as not everything has been looked at, and then no more.
CREATE PROCEDURE rest(OUT told boolean, OUT ended boolean) LANGUAGE plpgsql AS $$
DECLARE kinds text[];
BEGIN
    told := false;
    ended := false;
    FOR n IN 1 .. 3000 LOOP
        SELECT array_agg(kind) INTO kinds FROM chancy.exchange('w', '[]', 'default', 1);
        COMMIT;
        told := told OR 'wait' = ANY (kinds);
        ended := kinds IS NULL;
        EXIT WHEN ended;
        PERFORM pg_sleep(0.001);
    END LOOP;
END $$;
SELECT chancy.push('b') IS NOT NULL AS pushed;
CALL look_for('b', NULL, NULL);
CALL rest(NULL, NULL);

-- More priorities than are remembered.
SELECT count(*) FROM chancy.push_arrays('{many}', priority => (SELECT array_agg(n) FROM generate_series(101, 140) n));
SELECT count(*), min(priority), max(priority), bool_and(priority = 141 - rank) AS in_order
FROM (SELECT priority, row_number() OVER () AS rank FROM chancy.fetch_jobs('default', 'w', 100)) f;
SELECT chancy.push('many', priority => 120) IS NOT NULL AS pushed;
CALL look_for('many', NULL, NULL);
-- The lowest and the highest id and priority there are.
INSERT INTO chancy.jobs (id, queue, func, priority) VALUES (repeat('0', 32)::uuid, 'default', 'first', 2147483647), (repeat('f', 32)::uuid, 'default', 'last', -2147483648);
SELECT func FROM chancy.fetch_jobs('default', 'w', 10);
