# ALTER EXTENSION chancy UPDATE from the version before: with jobs in the tables, under load, and with connections that hold
# the library of another version. Afterwards the catalogs are those of a fresh installation.
set -euo pipefail
cd "$(dirname "$0")"
folder=$(mktemp -d)
loads=()
trap 'kill "${loads[@]}" 2>/dev/null || true; wait; rm -rf "$folder"; clean' EXIT
rc=0
sql() { psql -XqAt -v ON_ERROR_STOP=1 -v VERBOSITY=verbose -d "$1" -c "$2"; }
wrong() { echo "$*" && rc=1; }

clean() {
    for database in upgrade_old upgrade_new; do dropdb --if-exists "$database"; done
    psql -Xq -c 'DROP ROLE IF EXISTS upgrade_producer' -c 'DROP ROLE IF EXISTS upgrade_worker' -c 'DROP ROLE IF EXISTS upgrade_admin'
} >/dev/null 2>&1
clean
createdb upgrade_old && createdb upgrade_new
sql upgrade_new 'CREATE EXTENSION chancy'

# An installation of 0.1 with jobs in every state. Its functions refuse to work with the library of today.
psql -XqAt -v ON_ERROR_STOP=1 -d upgrade_old <<'END'
CREATE EXTENSION chancy VERSION '0.1';
CREATE ROLE upgrade_producer;
CREATE ROLE upgrade_worker;
CREATE ROLE upgrade_admin;
GRANT USAGE ON SCHEMA chancy TO upgrade_producer;
INSERT INTO chancy.grants VALUES ('upgrade_producer', 'producer', '{mail}'), ('upgrade_worker', 'worker', NULL), ('upgrade_admin', 'admin', NULL);
INSERT INTO chancy.queues (name, concurrency) VALUES ('mail', 3), ('load', NULL);
INSERT INTO chancy.jobs (id, queue, func, state, attempts, max_attempts, taken_by, started_at, completed_at, unique_key)
SELECT gen_random_uuid(), 'mail', 'mail.send', state, 1, 3, CASE WHEN state IN ('running', 'succeeded', 'failed') THEN 'a-worker' END,
       now(), CASE WHEN state IN ('succeeded', 'failed') THEN now() END, CASE WHEN n % 2 = 0 THEN state || n END
FROM unnest('{pending, running, retrying, succeeded, failed}'::text[]) state, generate_series(1, 20) n;
INSERT INTO chancy.cron VALUES ('nightly', '{"f": "tidy.up"}', '0 3 * * *', NULL, '2100-01-01');
INSERT INTO chancy.workflows (id, name, state) VALUES ('00000000-0000-0000-0000-000000000001', 'report', 'pending');
INSERT INTO chancy.workflow_steps (workflow_id, step_id, job_data, dependencies) VALUES ('00000000-0000-0000-0000-000000000001', 'a', '{}', '[]');
INSERT INTO chancy.event_channels VALUES ('events');
INSERT INTO chancy.tasks (name, every) VALUES ('pruner', '5 min');
CREATE TABLE application (id int PRIMARY KEY, n int DEFAULT 0);
INSERT INTO application VALUES (1), (2);
END
refusal=$(sql upgrade_old "SELECT chancy.push('a.b')" 2>&1) && wrong "a push into 0.1 was not refused"
grep -q 55000 <<<"$refusal" && grep -q 'ALTER EXTENSION chancy UPDATE' <<<"$refusal" || wrong "refused otherwise: $refusal"
was=$(sql upgrade_old "SELECT count(*), md5(string_agg(concat_ws(',', id, state, attempts, taken_by, started_at, completed_at, unique_key), ' ' ORDER BY id)) FROM chancy.jobs WHERE queue = 'mail'")

# Transactions that hold jobs and the application's rows, in either order, while the update takes every table.
cat >"$folder/load.sql" <<'END'
\set n random(1, 2)
BEGIN;
SELECT n FROM application WHERE id = :n AND random() < 0.5 FOR UPDATE;
INSERT INTO chancy.jobs (id, queue, func) VALUES (gen_random_uuid(), 'load', 'a.b');
SELECT pg_sleep(0.01);
SELECT name FROM chancy.queues LIMIT 1;
UPDATE application SET n = n + 1 WHERE id = :n;
COMMIT;
END
deadlocks() { sql upgrade_old "SELECT deadlocks FROM pg_stat_database WHERE datname = 'upgrade_old'"; }
before=$(deadlocks)
pgbench -n -d upgrade_old -f "$folder/load.sql" -c 4 -T 60 >"$folder/load.log" 2>&1 &
loads+=($!)
until [ "$(sql upgrade_old 'SELECT sum(n) > 20 FROM application')" = t ]; do sleep 0.1; done
sql upgrade_old 'ALTER EXTENSION chancy UPDATE' || wrong 'the update failed'
at=$(sql upgrade_old 'SELECT sum(n) FROM application')
until [ "$(sql upgrade_old "SELECT sum(n) > $at + 20 FROM application")" = t ]; do sleep 0.1; done
kill "${loads[@]}" && wait "${loads[@]}" || true
loads=()
grep -E 'ERROR|FATAL' "$folder/load.log" && wrong 'the load met an error'
[ "$(deadlocks)" = "$before" ] || wrong 'there was a deadlock'

now=$(sql upgrade_old "SELECT count(*), md5(string_agg(concat_ws(',', id, state, attempts, taken_by, started_at, completed_at, unique_key), ' ' ORDER BY id)) FROM chancy.jobs WHERE queue = 'mail'")
[ "$was" = "$now" ] || wrong "the jobs differ: $was, now $now"
[ "$(sql upgrade_old "SELECT count(*) FROM chancy.fetch_jobs('mail', 'w', 100)")" = 40 ] || wrong 'not all waiting jobs are fetched'
answer=$(PGOPTIONS='-c role=upgrade_producer' sql upgrade_old "SELECT created FROM chancy.push_many('[{\"func\": \"a.b\", \"queue\": \"mail\", \"unique_key\": \"pending2\"}]')" 2>&1) || true
[ "$answer" = f ] ||
    wrong "a role lost its rights, or a key was forgotten: $answer"

# The same objects as in a fresh installation; rights differ by what the roles were granted.
for database in upgrade_old upgrade_new; do
    [ $database = upgrade_old ] || sql $database "
        SELECT chancy.grant_producer('upgrade_producer', '{mail}'); SELECT chancy.grant_worker('upgrade_worker'); SELECT chancy.grant_admin('upgrade_admin')" >/dev/null
    psql -XqAt -v ON_ERROR_STOP=1 -d $database -f upgrade_catalog.sql >"$folder/$database"
done
[ -s "$folder/upgrade_new" ] || wrong 'no catalog'
diff "$folder/upgrade_new" "$folder/upgrade_old" >"$folder/diff" || { wrong 'fresh (<) and updated (>) differ:' && cat "$folder/diff"; }

# A connection that holds the library of another version than the extension: told what to do, or ended so that it connects again.
library=$(sql upgrade_new "SELECT extversion FROM pg_extension WHERE extname = 'chancy'")
for version in 0.1.9 1.0; do
    answer=$(psql -XqAt -v VERBOSITY=verbose -d upgrade_new 2>&1 <<END || true
SELECT chancy.push('a.b') IS NOT NULL;
UPDATE pg_extension SET extversion = '$version' WHERE extname = 'chancy';
ALTER TABLE chancy.jobs SET (fillfactor = 90);
SELECT chancy.push('a.b');
UPDATE pg_extension SET extversion = '$library' WHERE extname = 'chancy';
ALTER TABLE chancy.jobs RESET (fillfactor);
END
)
    sql upgrade_new "UPDATE pg_extension SET extversion = '$library' WHERE extname = 'chancy'; ALTER TABLE chancy.jobs RESET (fillfactor)"
    case $version in
        0.1.9) grep -q 'ERROR:  55000' <<<"$answer" || wrong "an older extension: $answer" ;;
        1.0) grep -q 'FATAL:  57P01' <<<"$answer" || wrong "a newer extension: $answer" ;;
    esac
    [ "$(head -n 1 <<<"$answer")" = t ] || wrong "a matching one: $answer"
done
exit $rc
