# pg_dump and restore keep every job, queue, schedule and grant, in both formats, and the queue works on afterwards.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"; clean' EXIT
sql() { psql -XqAt -v ON_ERROR_STOP=1 -d "$1" -c "$2"; }

# Roles are the whole server's: not to be left to other tests.
clean() {
    for database in dump_from dump_plain dump_custom; do dropdb --if-exists "$database"; done
    psql -Xq -c 'DROP ROLE IF EXISTS dump_producer, dump_python'
} >/dev/null 2>&1

# contents DATABASE: one line a table or sequence, with a sum over all that is in it. Unlogged tables are not kept.
contents() {
    sql "$1" "SELECT format('SELECT %L, count(*), md5(string_agg(t::text, chr(10) ORDER BY t::text)) FROM (SELECT %s FROM %s) t',
                            oid::regclass, CASE relkind WHEN 'S' THEN 'last_value, is_called' ELSE '*' END, oid::regclass)
              FROM pg_class
              WHERE relnamespace = 'chancy'::regnamespace AND relkind IN ('r', 'S') AND relpersistence = 'p'
              ORDER BY oid::regclass::text" |
        while read -r query; do sql "$1" "$query" </dev/null; done
}

clean
for database in dump_from dump_plain dump_custom; do createdb "$database"; done
psql -XqAt -v ON_ERROR_STOP=1 -d dump_from >/dev/null <<'END'
CREATE EXTENSION chancy;
SELECT chancy.declare_queue('mail', concurrency => 3, rate_limit => 100, rate_limit_window => 60);
SELECT chancy.declare_queue('paused');
SELECT chancy.pause_queue('paused');
SELECT chancy.push('send', kwargs => jsonb_build_object('n', n), queue => 'mail', priority => n % 3) FROM generate_series(1, 20) n;
SELECT chancy.push('send', queue => 'mail', unique_key => 'key:' || n, priority => n % 4, max_attempts => 3) FROM generate_series(1, 20) n;
SELECT chancy.push('later', queue => 'paused', scheduled_at => '2100-01-01', meta => '{"of": "dump"}', limits => '[{"t": "time", "v": 60}]');
CREATE TEMP TABLE work AS SELECT row_number() OVER () AS n, id, started_at FROM chancy.fetch_jobs('mail', 'worker', 12);
SELECT chancy.apply_updates('worker', (
    SELECT jsonb_agg(jsonb_build_object('id', id, 'started_at', started_at,
                                        'outcome', CASE n % 3 WHEN 0 THEN 'succeeded' WHEN 1 THEN 'failed' ELSE 'discarded' END)
                     || CASE n % 3 WHEN 0 THEN '{"result": {"sent": true}}' ELSE '{"error": "no such \\ \"address\"\n"}' END::jsonb)
    FROM work WHERE n <= 9));
SELECT chancy.cancel_job(id) FROM chancy.get_live_job('key:20');
INSERT INTO chancy.cron (unique_key, job, cron, next_run) VALUES ('nightly', '{"f": "tidy", "q": "mail"}', '0 3 * * *', '2100-01-01');
INSERT INTO chancy.workflows (id, name, state) VALUES (gen_random_uuid(), 'report', 'running');
INSERT INTO chancy.workflow_steps (workflow_id, step_id, job_data, dependencies)
    SELECT id, 'step' || n, '{"f": "step"}', '[]' FROM chancy.workflows, generate_series(1, 3) n;
CREATE FUNCTION work(text, int) RETURNS text LANGUAGE sql AS 'SELECT $1 || $2';
SELECT chancy.declare_queue('sql');
SELECT chancy.push_sql('work(text, int)', '["done ", 1]');
SELECT chancy.schedule_cron('hourly work', '0 * * * *', '{"function": "work(text, int)", "args": ["tick ", 2]}');
SELECT FROM chancy.push_many('[{"func": "send", "queue": "mail", "unique_key": "week", "unique_for": "7 days"}]');
CREATE ROLE dump_producer;
SELECT chancy.grant_producer('dump_producer', '{mail}');
CREATE ROLE dump_python;
SELECT chancy.enable_python_interop('dump_python');
END

pg_dump -d dump_from >"$folder/plain"
psql -Xq -v ON_ERROR_STOP=1 -d dump_plain -f "$folder/plain" >/dev/null
pg_dump -d dump_from -Fc -f "$folder/custom"
pg_restore --exit-on-error -d dump_custom "$folder/custom"

contents dump_from >"$folder/from"
grep -q '^chancy.jobs|43|' "$folder/from" || { cat "$folder/from" && exit 1; }
rc=0
for format in plain custom; do
    contents "dump_$format" >"$folder/to"
    diff "$folder/from" "$folder/to" || { echo "the restored database differs: $format" && rc=1; }
    # A key that lives is still met, and the next job comes.
    created=$(sql "dump_$format" "SELECT created FROM chancy.push_many('[{\"func\": \"send\", \"unique_key\": \"key:16\"}]')")
    fetched=$(sql "dump_$format" "SELECT count(*) FROM chancy.fetch_jobs('mail', 'other', 1)")
    [ "$created $fetched" = 'f 1' ] || { echo "after the restore: created $created, fetched $fetched: $format" && rc=1; }
    # SQL jobs and their schedules find the restored function.
    sql "dump_$format" "SELECT chancy.push_cron('hourly work')" >/dev/null
    sql "dump_$format" 'CALL chancy.run_sql_jobs()'
    worked=$(sql "dump_$format" "SELECT string_agg(coalesce(result #>> '{}', error), ',' ORDER BY id) FROM chancy.list_sql_jobs()")
    [ "$worked" = 'done 1,tick 2' ] || { echo "after the restore SQL jobs say: $worked: $format" && rc=1; }
    # Python's role can work, and the guard turns away what is stale. (The role's search_path is in pg_dumpall, not here.)
    python=$(sql "dump_$format" "SET ROLE dump_python; SET search_path = chancy_client, chancy; SET client_min_messages = warning;
        CREATE TABLE IF NOT EXISTS schema_version (); SELECT version FROM schema_version WHERE version_of = 'chancy';
        UPDATE jobs SET state = 'succeeded', started_at = '2001-01-01Z' WHERE state = 'running' RETURNING 'a stale result is kept';
        RESET ROLE; SELECT * FROM chancy.interop_status()")
    [ "$python" = $'6\nt|{dump_python}' ] || { echo "after the restore Python finds: $python: $format" && rc=1; }
done
exit $rc
