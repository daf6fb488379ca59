-- holder: who holds what back, and how large the tables are.
\set ECHO none
\i sql/include/tools.sql
\set ECHO all
-- A prepared transaction is told, our own session never.
SELECT count(*) FROM chancy.list_holders() h WHERE h.pid = pg_backend_pid();
BEGIN;
LOCK TABLE chancy.workers IN SHARE MODE;
PREPARE TRANSACTION 'regress_holder';
SELECT kind, name, age >= 0 AS old, since <= now() AS since FROM chancy.list_holders() WHERE name = 'regress_holder';
ROLLBACK PREPARED 'regress_holder';
SELECT count(*) FROM chancy.list_holders() WHERE name = 'regress_holder';
-- Every table, and its rows once the statistics tell.
SELECT count(*) = (SELECT count(*) FROM pg_class WHERE relnamespace = 'chancy'::regnamespace AND relkind = 'r') AS all_tables,
    bool_and(bytes >= 0 AND index_bytes >= 0 AND live >= 0 AND dead >= 0) AS counted
FROM chancy.list_tables();
