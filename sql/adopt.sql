-- adopt: an existing installation of Python Chancy 0.25 becomes ours, and goes back if it must. extension/adopt.cpp

CREATE TABLE chancy.adoptions (
    schema      text        COLLATE "C" NOT NULL,
    prefix      text        COLLATE "C" NOT NULL,
    adopted_at  timestamptz NOT NULL DEFAULT pg_catalog.now(),
    history     bigint      NOT NULL,
    copied      bigint      NOT NULL DEFAULT 0,
    copied_from uuid,
    done        boolean     NOT NULL DEFAULT false,
    PRIMARY KEY (schema, prefix)
);
COMMENT ON TABLE chancy.adoptions IS 'Installations that adopt() took over, and how far adopt_history() has come with each';
COMMENT ON COLUMN chancy.adoptions.history IS 'Finished jobs that the installation had';
COMMENT ON COLUMN chancy.adoptions.copied IS 'How many of them adopt_history() has seen';
COMMENT ON COLUMN chancy.adoptions.copied_from IS 'The oldest of those: the next batch is older';
SELECT pg_catalog.pg_extension_config_dump('chancy.adoptions', '');

CREATE FUNCTION chancy.adopt(schema text, prefix text DEFAULT 'chancy_')
RETURNS TABLE (what text, copied bigint) LANGUAGE c
SET search_path = pg_catalog, pg_temp SET row_security = off
AS 'MODULE_PATHNAME', 'chancy_adopt';
COMMENT ON FUNCTION chancy.adopt(text, text) IS
'Takes over all but the finished jobs of a Python installation, in one transaction that never waits for its tables, and keeps those as …_adopted';

CREATE FUNCTION chancy.adopt_history(
    schema text, prefix text DEFAULT 'chancy_', up_to integer DEFAULT 10000,
    OUT copied integer, OUT done boolean, OUT so_far bigint, OUT history bigint)
LANGUAGE c
SET search_path = pg_catalog, pg_temp SET row_security = off
AS 'MODULE_PATHNAME', 'chancy_adopt_history';
COMMENT ON FUNCTION chancy.adopt_history(text, text, integer) IS
'Copies the next up_to finished jobs of an adopted installation, the newest first; call until done';

CREATE FUNCTION chancy.give_back(schema text, prefix text DEFAULT 'chancy_')
RETURNS TABLE (what text, copied bigint) LANGUAGE c
SET search_path = pg_catalog, pg_temp SET row_security = off
AS 'MODULE_PATHNAME', 'chancy_give_back';
COMMENT ON FUNCTION chancy.give_back(text, text) IS
'The way back: everything as it is now goes into the tables that adopt() kept, which get their names again';
