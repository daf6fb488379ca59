-- cron: what expressions mean, schedules, what is due and what was missed.
\set ECHO none
\i sql/include/tools.sql
SET timezone = 'UTC';
SET datestyle = 'ISO';
-- The days (MM-DD) of a year on which an expression ticks first.
CREATE FUNCTION days(expression text, year int, n int DEFAULT 12) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(to_char(tick, 'MM-DD Dy'), ', ' ORDER BY tick) FROM chancy.next_runs(expression, 'UTC', n, make_timestamptz(year - 1, 12, 31, 23, 59, 59))
    WHERE extract(year FROM tick) = year
$$;
CREATE FUNCTION ticks(expression text, zone text, after timestamptz, n int DEFAULT 3, gap text DEFAULT 'as_cron', overlap text DEFAULT 'as_cron')
RETURNS TABLE (tick timestamptz, local_time timestamp) LANGUAGE sql AS $$ SELECT * FROM chancy.next_runs(expression, zone, n, after, gap, overlap) $$;
-- Makes the next tick of a schedule be the one that is so long ago.
CREATE FUNCTION set_due(key text, ago interval) RETURNS void LANGUAGE sql AS $$
    UPDATE chancy.cron SET next_run = CASE WHEN due_at IS NULL THEN date_trunc('second', now() - ago) ELSE next_run END,
        due_at = CASE WHEN due_at IS NULL THEN NULL ELSE date_trunc('second', now() - ago) END WHERE unique_key = key
$$;
\set ECHO all
-- Five fields and six, seconds last.
SELECT tick FROM chancy.next_runs('*/15 8-18/5 * * *', n => 6, after => '2030-01-01 00:00:00+00');
SELECT tick FROM chancy.next_runs('* * * * * 7,21-23', n => 5, after => '2030-01-01 00:00:10.5+00');
SELECT tick FROM chancy.next_runs('0 0 1 1 *', n => 2, after => '2030-01-01 00:00:00+00');
SELECT tick FROM chancy.next_runs('0 0 1 1 *', n => 1, after => '2029-12-31 23:59:59.999999+00');
-- Names, lists, ranges, steps, over the end of a field.
SELECT e, days(e, 2030, 7) FROM unnest(ARRAY['0 0 1 JAN,jul,Dec *', '0 0 * 2 MON-fri', '0 0 * 2 fri-sun', '0 0 * 3 6-1', '0 0 28-3 6-7 *', '0 0 1 11-2 *',
    '0 0 */10 1 *', '0 0 5/10 1 *', '0 0 * 1 1/3', '0 0 ? 1 7', '0 0 1 1 ?', '@yearly', '@annually', '@monthly', '@weekly', '@daily', '@MIDNIGHT']) e;
-- A day of the month or a day of the week: either, unless one of them is every day.
SELECT e, days(e, 2030, 9) FROM unnest(ARRAY['0 0 1 * 1', '0 0 * * 1', '0 0 1 * *', '0 0 1-31 * 1', '0 0 1 * 0-6', '0 0 1 * 0-7', '0 0 13 * 5#1']) e;
-- Last days, counted from there, last and nth days of the week.
SELECT e, days(e, 2032) FROM unnest(ARRAY['0 0 L * *', '0 0 L-1 * *', '0 0 L-30 * *', '0 0 1,L 2 *', '0 0 * * 5L', '0 0 * * L5', '0 0 * * friL', '0 0 * * 0#1', '0 0 * * MON#5',
    '0 0 * * 1#1,1#3', '0 0 * 2 1#1,5L']) e;
-- The weekday next to a day, by hand: 2030-06-01 is a Saturday, 06-02 a Sunday, 06-15 a Saturday, 06-16 a Sunday, 06-30 a Sunday;
-- 2030-08-31 is a Saturday, 2030-09-01 a Sunday; never in another month.
SELECT e, days(e, 2030) FROM unnest(ARRAY['0 0 1W 6 *', '0 0 2W 6 *', '0 0 3W 6 *', '0 0 15W 6 *', '0 0 16W 6 *', '0 0 30W 6 *', '0 0 31W * *', '0 0 31W 8 *', '0 0 1W 9 *',
    '0 0 LW * *', '0 0 1W,15W,LW 6 *', '0 0 29W 2 *']) e;
SELECT days('0 0 29W 2 *', 2032), days('0 0 29 2 *', 2032), days('0 0 29 2 *', 2100), days('0 0 29 2 *', 2000);

-- Clock changes. Berlin, 2030: at 2 it is 3 on March 31, at 3 it is 2 on October 27.
SELECT gap, t.* FROM unnest('{as_cron, after, skip}'::text[]) gap, ticks('30 2 * * *', 'Europe/Berlin', '2030-03-30 12:00:00+00', 2, gap) t;
SELECT gap, t.* FROM unnest('{as_cron, after, skip}'::text[]) gap, ticks('30 * * * *', 'Europe/Berlin', '2030-03-31 00:00:00+00', 3, gap) t;
SELECT overlap, t.* FROM unnest('{as_cron, first, last, both}'::text[]) overlap, ticks('30 2 * * *', 'Europe/Berlin', '2030-10-26 12:00:00+00', 2, 'skip', overlap) t;
SELECT overlap, t.* FROM unnest('{as_cron, first, last, both}'::text[]) overlap, ticks('0,30 * * * *', 'Europe/Berlin', '2030-10-26 23:45:00+00', 5, 'skip', overlap) t;
-- Several times that do not come run once. From within an overlap.
SELECT * FROM ticks('*/10 2 * * *', 'Europe/Berlin', '2030-03-31 00:00:00+00', 2);
SELECT * FROM ticks('15 2 * * *', 'Europe/Berlin', '2030-10-27 00:30:00+00', 1);
SELECT * FROM ticks('45 2 * * *', 'Europe/Berlin', '2030-10-27 01:10:00+00', 1);
SELECT * FROM ticks('45 2 * * *', 'Europe/Berlin', '2030-10-27 01:10:00+00', 1, 'after', 'last');
-- Half an hour (Lord Howe), at midnight (Beirut), a whole day that did not come (Samoa, 2011-12-30), one hour west of UTC, none at all.
SELECT * FROM ticks('15 2 * * *', 'Australia/Lord_Howe', '2030-10-05 00:00:00+00', 3);
SELECT * FROM ticks('45 1 * * *', 'Australia/Lord_Howe', '2030-04-05 20:00:00+00', 3, 'after', 'both');
SELECT * FROM ticks('15 0 * * *', 'Asia/Beirut', '2030-03-29 12:00:00+00', 3);
SELECT * FROM ticks('0 12 * * *', 'Pacific/Apia', '2011-12-29 12:00:00+00', 3);
SELECT * FROM ticks('0 12 * * *', 'Pacific/Apia', '2011-12-29 12:00:00+00', 3, 'skip');
SELECT * FROM ticks('0 1 * * *', 'Atlantic/Azores', '2030-03-31 00:00:00+00', 1);
SELECT * FROM ticks('30 1 * * *', 'America/New_York', '2030-11-03 00:00:00+00', 2, 'after', 'both');
SELECT * FROM ticks('0 9 * * *', 'Asia/Kolkata', '2030-01-01 00:00:00+00', 1);
SELECT count(*), bool_and(local_time::time = '02:30' OR local_time::time = '03:00'), count(DISTINCT local_time::date) FROM chancy.next_runs('30 2 * * *', 'Europe/Berlin', 10000, '2000-01-01');

-- Bad expressions: which field, which character.
SELECT refused(format('chancy.next_runs(%L)', e)) FROM unnest(ARRAY['', '   ', '* * * *', '* * * * * * *', '60 * * * *', '* 24 * * *', '* * 0 * *', '* * 32 * *', '* * * 13 *', '* * * foo *',
    '* * * * 8', '* * * * mond', '* * * * * 60', '*/0 * * * *', '*/x * * * *', '5- * * * *', '-5 * * * *', '1,,2 * * * *', '1, * * * *', '1-2-3 * * * *', '5/ * * * *', '12345 * * * *',
    '* * L-31 * *', '* * W * *', '* * 5WW * *', '* * * * 5#6', '* * * * 5#', '* * * * #2', '* * * * L', 'L * * * *', '? * * * *', 'mon * * * *', '0 0 30 2 *', '0 0 31W 2,4,6,9,11 *', '0 0 L-29 2 *',
    '@hourlyy', '@reboot', '1.5 * * * *', 'ж * * * *', '* * * * * H']) e;
SELECT refused(format('chancy.next_runs(''* * * * *'', %s)', a)) FROM unnest(ARRAY[$$'Europe/Atlantis'$$, $$''$$, $$NULL$$, $$repeat('x', 300)$$, $$n => 0$$, $$n => 10001$$, $$after => 'infinity'$$,
    $$skipped_times => 'never'$$, $$repeated_times => 'twice'$$]) a;

-- Schedules. What Python can honour it sees, the rest it does not.
SELECT chancy.schedule_cron('plain', '0 3 * * *', '{"func": "tidy.up", "kwargs": {"n": 1}, "priority": 2}') > now() AS scheduled;
SELECT chancy.schedule_cron('zone', '0 3 * * *', '{"func": "a"}', 'Europe/Berlin') > now() AS scheduled;
SELECT chancy.schedule_cron('skip', '0 3 * * *', '{"func": "a"}', missed => 'skip') > now() AS scheduled;
SELECT chancy.schedule_cron('all', '0 3 * * *', '{"func": "a"}', missed => 'all up to 7', overlap => true, grace => '2 h') > now() AS scheduled;
SELECT chancy.schedule_cron('last', '0 3 L * *', '{"func": "a"}') > now() AS scheduled;
SELECT chancy.schedule_cron('rerun', '0 3 * * *', '{"func": "a", "on_conflict": "rerun", "unique_key": "own", "concurrency_key": "c", "unique_for": "1 h"}') > now() AS scheduled;
SELECT chancy.schedule_cron('paused', '0 3 * * *', '{"func": "a"}', paused => true) IS NULL AS paused;
SELECT key, expression, time_zone, job - 'limits' - 'meta' AS job, missed, grace, skipped_times AS gap, repeated_times AS overlaps, overlap, paused, last_run, next_run > now() AS next, for_python FROM chancy.list_cron();
SELECT unique_key, job - 's' AS job, next_run < '9999-01-01' AS seen, due_at IS NOT NULL AS due_at, push IS NOT NULL AS push FROM chancy.cron ORDER BY unique_key;
-- Again: what is due stays due if the ticks are the same, else it is reckoned anew.
SELECT set_due('zone', '1 day');
SELECT chancy.schedule_cron('zone', '0 3 * * *', '{"func": "b"}', 'Europe/Berlin') < now() AS still_due;
SELECT chancy.schedule_cron('zone', '0 4 * * *', '{"func": "b"}', 'Europe/Berlin') > now() AS anew;
SELECT key, job ->> 'func' AS func FROM chancy.list_cron() WHERE key = 'zone';
SELECT chancy.unschedule_cron(key) FROM chancy.list_cron() WHERE key <> 'plain';
SELECT chancy.unschedule_cron('zone') AS none;

-- A tick: the job is due at it, and knows it.
SELECT count(*) FROM chancy.run_cron();
SELECT chancy.schedule_cron('plain', '* * * * * *', '{"func": "tidy.up", "kwargs": {"n": 1}, "priority": 2}') IS NOT NULL AS scheduled;
SELECT set_due('plain', '0 s');
SELECT key, tick = date_trunc('second', tick) AND tick BETWEEN now() - interval '10 s' AND now() AS tick, created FROM chancy.run_cron() LIMIT 1;
SELECT func, unique_key, kwargs, priority, state, meta #>> '{cron,key}' AS key, (meta #>> '{cron,tick}')::timestamptz = scheduled_at AS tick FROM chancy.jobs;
SELECT last_run >= now() - interval '10 s' AS ran, next_run > now() - interval '10 s' AS next FROM chancy.list_cron();
TRUNCATE chancy.jobs;
-- Missed. Hourly, nothing ran for 5 hours and a bit: the ticks of before are missed, none is on time.
CREATE TEMP TABLE rule (n int, missed text, grace interval, overlap boolean);
INSERT INTO rule VALUES (1, 'skip', '1 min', false), (2, 'once', '1 min', false), (3, 'all up to 3', '1 min', true), (4, 'all up to 100', '1 min', true), (5, 'skip', '3 h', true), (6, 'once', '3 h', true);
SELECT date_trunc('minute', now() - interval '30 min') AS base \gset
SELECT count(chancy.schedule_cron('m' || n, to_char(:'base'::timestamptz, 'MI') || ' * * * *', '{"func": "m"}', missed => missed, grace => grace, overlap => overlap)) FROM rule;
UPDATE chancy.cron SET due_at = :'base'::timestamptz - interval '5 h' WHERE due_at IS NOT NULL;
UPDATE chancy.cron SET next_run = :'base'::timestamptz - interval '5 h' WHERE unique_key = 'm2';
SELECT chancy.unschedule_cron('plain');
CREATE TEMP TABLE ran AS SELECT * FROM chancy.run_cron();
SELECT missed, grace, count(tick) AS ticks, array_agg(round(extract(epoch FROM :'base' - tick) / 3600) ORDER BY tick) FILTER (WHERE tick IS NOT NULL) AS hours_before
FROM rule LEFT JOIN ran ON key = 'm' || n GROUP BY n, missed, grace ORDER BY n;
SELECT count(*) AS still_due FROM chancy.list_cron() WHERE next_run <= now();
SELECT count(*) FROM chancy.run_cron();
-- Paused: nothing is missed meanwhile. Once by hand.
SELECT set_due('m3', '3 h'), chancy.pause_cron('m3');
SELECT key, paused, next_run FROM chancy.list_cron() WHERE key = 'm3';
SELECT count(*) FROM chancy.run_cron();
TRUNCATE chancy.jobs;
SELECT chancy.push_cron('m3') AS id \gset
SELECT id_of('m') = :'id' AS pushed;
SELECT func, unique_key, meta FROM chancy.jobs;
SELECT chancy.resume_cron('m3');
SELECT key, paused, next_run > now() AS next FROM chancy.list_cron() WHERE key = 'm3';
SELECT chancy.pause_cron('none'), chancy.resume_cron('none'), chancy.push_cron('none');
SELECT count(chancy.unschedule_cron(key)) FROM chancy.list_cron();
-- maintain() does it, and knows when.
SELECT chancy.schedule_cron('s', '* * * * * *', '{"func": "s"}') IS NOT NULL;
SELECT set_due('s', '5 s');
SELECT chancy.next_maintenance() <= clock_timestamp() AS due;
SELECT did - 'pushed' AS did, (did ->> 'pushed')::int > 0 AS pushed FROM chancy.maintain() WHERE task = 'cron';
TRUNCATE chancy.jobs;
-- Python schedules a key of ours anew: its row holds. One that it writes and we do not understand is left to it.
SELECT chancy.schedule_cron('p', '0 3 * * *', '{"func": "ours"}', 'Europe/Berlin', missed => 'skip') IS NOT NULL;
UPDATE chancy.cron SET cron = '*/5 * * * *', job = jsonb_set(job, '{f}', '"python"'), next_run = now() - interval '1 s' WHERE unique_key = 'p';
INSERT INTO chancy.cron VALUES ('odd', '{"f": "a.b", "k": {}, "p": 0, "a": 1, "s": 0, "l": [], "u": "odd", "q": "default", "m": {}}', 'H H * * *', NULL, now() - interval '1 s');
INSERT INTO chancy.cron VALUES ('empty', '{"f": "", "u": "empty"}', '* * * * *', NULL, now() - interval '1 s');
SELECT key, time_zone, missed, job ->> 'func' AS func, for_python FROM chancy.list_cron() ORDER BY key;
SELECT key, created FROM chancy.run_cron() WHERE key <> 's';
SELECT func, unique_key FROM chancy.jobs WHERE func <> 's';
SELECT unique_key, next_run > now() AS next, time_zone, missed, due_at, push FROM chancy.cron WHERE unique_key <> 's' ORDER BY unique_key;
SELECT count(chancy.unschedule_cron(key)) FROM chancy.list_cron();
TRUNCATE chancy.jobs;
-- Never again: it stays, and is not due.
SELECT chancy.schedule_cron('f', '0 0 29 2 *', '{"func": "f"}') IS NOT NULL;
SELECT chancy.unschedule_cron('f');

-- Bad input.
SELECT refused(format('chancy.schedule_cron(%s)', a)) FROM unnest(ARRAY[
    $$'', '* * * * *', '{"func": "a"}'$$, $$NULL, '* * * * *', '{"func": "a"}'$$, $$repeat('k', 1025), '* * * * *', '{"func": "a"}'$$,
    $$'k', '* * * *', '{"func": "a"}'$$, $$'k', '* 99 * * *', '{"func": "a"}'$$, $$'k', NULL, '{"func": "a"}'$$,
    $$'k', '* * * * *', '[]'$$, $$'k', '* * * * *', '{}'$$, $$'k', '* * * * *', '{"func": "a", "when": 1}'$$, $$'k', '* * * * *', '{"func": "a", "priority": "high"}'$$,
    $$'k', '* * * * *', '{"func": "a", "scheduled_at": "2030-01-01T00:00:00Z"}'$$, $$'k', '* * * * *', '{"func": "a", "on_conflict": "x"}'$$, $$'k', '* * * * *', NULL$$,
    $$'k', '* * * * *', '{"func": "a"}', 'Mars'$$, $$'k', '* * * * *', '{"func": "a"}', missed => 'all'$$, $$'k', '* * * * *', '{"func": "a"}', missed => 'all up to 0', overlap => true$$,
    $$'k', '* * * * *', '{"func": "a"}', missed => 'all up to 1001', overlap => true$$, $$'k', '* * * * *', '{"func": "a"}', missed => 'all up to 5'$$,
    $$'k', '* * * * *', '{"func": "a"}', grace => '0'$$, $$'k', '* * * * *', '{"func": "a"}', grace => '2 days'$$, $$'k', '* * * * *', '{"func": "a", "unique_key": "u"}', overlap => true$$,
    $$'k', '* * * * *', '{"func": "a", "on_conflict": "rerun"}', overlap => true$$, $$'k', '* * * * *', '{"func": "a"}', skipped_times => ''$$]) a;
SELECT refused('chancy.run_cron(0)'), refused('chancy.pause_cron('''')');
SELECT count(*) FROM chancy.cron;
-- Who may: admins schedule, workers run what is due, everybody asks what an expression means.
CREATE ROLE cron_worker; CREATE ROLE cron_producer;
SELECT chancy.grant_worker('cron_worker'), chancy.grant_producer('cron_producer');
SET ROLE cron_worker;
SELECT count(*) FROM chancy.run_cron();
SELECT chancy.schedule_cron('k', '* * * * *', '{"func": "a"}');
SET ROLE cron_producer;
SELECT count(*) FROM chancy.next_runs('* * * * *');
SELECT count(*) FROM chancy.run_cron();
SELECT count(*) FROM chancy.list_cron();
RESET ROLE;
TRUNCATE chancy.grants;
DROP OWNED BY cron_worker, cron_producer;
DROP ROLE cron_worker, cron_producer;
