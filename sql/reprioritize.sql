-- reprioritize: raise the priority of jobs that wait for long. extension/reprioritize.cpp

CREATE FUNCTION chancy.reprioritize(
    ceiling integer, raise_by integer DEFAULT 1, every interval DEFAULT '5 min', rule jsonb DEFAULT NULL,
    up_to integer DEFAULT 10000)
RETURNS integer LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_reprioritize';
COMMENT ON FUNCTION chancy.reprioritize(integer, integer, interval, jsonb, integer) IS
'Raises waiting jobs below the ceiling that have been due, and not been raised, for `every`; returns how many. rule: {"age"|"queue"|"func"}, {"and"|"or"|"not"}. Never waits';
