ALTER TABLE chancy.grants DROP CONSTRAINT grants_kind_check,
    ADD CONSTRAINT grants_kind_check CHECK (kind IN ('producer', 'worker', 'admin', 'reader'));
CREATE FUNCTION chancy.grant_reader(role regrole)
RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_grant_reader';
COMMENT ON FUNCTION chancy.grant_reader(regrole) IS
'Lets the role see everything, kwargs and results too, and change nothing';
