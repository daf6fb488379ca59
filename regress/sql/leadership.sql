-- leadership: one leader at a time, by the server's clock.
\i sql/include/tools.sql
\set ECHO all
CREATE FUNCTION led(OUT id bigint, OUT worker_id text, OUT expires boolean) LANGUAGE sql AS $$
    SELECT l.id, l.worker_id, l.expires_at > clock_timestamp() FROM chancy.leader l
$$;
SELECT chancy.acquire_leadership('w1', '1 min');
SELECT chancy.acquire_leadership('w2', '1 min');
SELECT * FROM led();
-- Renewed: first_seen stays.
SELECT first_seen FROM chancy.leader \gset
SELECT chancy.acquire_leadership('w1', '1 day');
SELECT worker_id, first_seen = :'first_seen' AS same, expires_at > now() + interval '23 hours' AS longer FROM chancy.leader;
-- Expired: whoever comes first leads, and the one before does not any more, not even for the rest of its own time.
UPDATE chancy.leader SET expires_at = now();
SELECT chancy.acquire_leadership('w2', '1 min'), chancy.acquire_leadership('w1', '1 min');
SELECT * FROM led();
SELECT chancy.release_leadership('w1'), chancy.release_leadership('w2'), chancy.release_leadership('w2');
SELECT * FROM led();
-- What Python writes, and what it reads.
INSERT INTO chancy.leader (id, worker_id, expires_at) VALUES (1, 'python', now() + interval '2 min') ON CONFLICT DO NOTHING;
SELECT chancy.acquire_leadership('w1', '1 min');
DELETE FROM chancy.leader WHERE expires_at < now() + interval '1 hour';
SELECT chancy.acquire_leadership('w1', '1 min');
INSERT INTO chancy.leader (id, worker_id, expires_at) VALUES (1, 'python', now() + interval '2 min') ON CONFLICT DO NOTHING;
SELECT * FROM led();
-- A row that somebody made by hand is in nobody's way.
DELETE FROM chancy.leader;
INSERT INTO chancy.leader (id, worker_id, expires_at) VALUES (7, 'w1', now() + interval '2 min');
SELECT chancy.acquire_leadership('w1', '1 min');
SELECT * FROM led();
SELECT refused(c) FROM unnest(ARRAY[$$chancy.acquire_leadership(NULL, '1 min')$$, $$chancy.acquire_leadership('', '1 min')$$, $$chancy.acquire_leadership('w', NULL)$$,
    $$chancy.acquire_leadership('w', '1 ms')$$, $$chancy.acquire_leadership('w', '2 days')$$, $$chancy.release_leadership(NULL)$$]) c \g (tuples_only format=unaligned)
