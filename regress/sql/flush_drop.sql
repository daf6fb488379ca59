-- DROP EXTENSION in a transaction that has pushed: what was pushed goes with the tables, at commit there is nothing to make.
BEGIN;
SELECT created FROM chancy.push_many('[{"func": "keyless"}]');
DROP EXTENSION chancy;
COMMIT;
SELECT count(*) FROM pg_extension WHERE extname = 'chancy';
CREATE EXTENSION IF NOT EXISTS chancy;
-- made already
BEGIN;
SELECT created FROM chancy.push_many('[{"func": "keyed", "unique_key": "a"}]');
SELECT chancy.flush();
DROP EXTENSION chancy;
COMMIT;
SELECT count(*) FROM pg_extension WHERE extname = 'chancy';
CREATE EXTENSION IF NOT EXISTS chancy;
-- still buffered
BEGIN;
SELECT created FROM chancy.push_many('[{"func": "keyed", "unique_key": "a"}]');
DROP EXTENSION chancy;
COMMIT;
SELECT count(*) FROM pg_extension WHERE extname = 'chancy';
CREATE EXTENSION IF NOT EXISTS chancy;
-- rolled back
BEGIN;
SELECT created FROM chancy.push_many('[{"func": "keyed", "unique_key": "a"}]');
SAVEPOINT s;
DROP EXTENSION chancy;
ROLLBACK TO s;
COMMIT;
SELECT func FROM chancy.jobs;
