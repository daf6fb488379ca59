-- event: what NOTIFY tells, and where. extension/event.cpp

CREATE TABLE chancy.event_channels (
    channel text COLLATE "C" PRIMARY KEY CHECK (octet_length(channel) BETWEEN 1 AND 63)
);
INSERT INTO chancy.event_channels VALUES ('chancy_events');
COMMENT ON TABLE chancy.event_channels IS 'The NOTIFY channels that events are sent on';
SELECT pg_catalog.pg_extension_config_dump('chancy.event_channels', $$WHERE channel <> 'chancy_events'$$);

CREATE UNLOGGED TABLE chancy.watches (
    job_id uuid        PRIMARY KEY,
    until  timestamptz NOT NULL
);
COMMENT ON TABLE chancy.watches IS 'Jobs that somebody waits for: their end is told by an event';

CREATE FUNCTION chancy.event_channel()
RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT 'chancy_events'::text;
END;
COMMENT ON FUNCTION chancy.event_channel() IS 'The channel to LISTEN on for this database''s events';

CREATE FUNCTION chancy.watch_jobs(ids uuid[], for_time interval DEFAULT '60 s')
RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'chancy_watch_jobs';
COMMENT ON FUNCTION chancy.watch_jobs(uuid[], interval) IS
'Asks for a job.finished event when one of these jobs ends within for_time (1 s to 1 day); commit, then look at the job, then wait';
