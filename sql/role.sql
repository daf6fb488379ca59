-- role: who may do what. extension/role.cpp

CREATE TABLE chancy.grants (
    role   regrole NOT NULL,
    kind   text    COLLATE "C" NOT NULL CHECK (kind IN ('producer', 'worker', 'admin', 'reader')),
    queues text[],
    PRIMARY KEY (role, kind)
);
COMMENT ON TABLE chancy.grants IS 'What grant_producer, grant_worker and grant_admin gave; queues NULL means all';
SELECT pg_catalog.pg_extension_config_dump('chancy.grants', '');

CREATE FUNCTION chancy.grant_producer(role regrole, queues text[] DEFAULT NULL)
RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_grant_producer';
COMMENT ON FUNCTION chancy.grant_producer(regrole, text[]) IS
'Lets the role push, to these queues only if given, and read nothing';

CREATE FUNCTION chancy.grant_worker(role regrole, queues text[] DEFAULT NULL)
RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_grant_worker';
COMMENT ON FUNCTION chancy.grant_worker(regrole, text[]) IS
'Lets the role fetch and write results, of these queues only if given';

CREATE FUNCTION chancy.grant_admin(role regrole)
RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_grant_admin';
COMMENT ON FUNCTION chancy.grant_admin(regrole) IS
'Lets the role use every function, and read and write the tables';

CREATE FUNCTION chancy.grant_reader(role regrole)
RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_grant_reader';
COMMENT ON FUNCTION chancy.grant_reader(regrole) IS
'Lets the role see everything, kwargs and results too, and change nothing';
