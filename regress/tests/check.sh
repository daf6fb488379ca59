# check_installation() finds each thing that it knows, once it is there, and no longer when it has been mended as the hint
# says. On a server of its own, since settings and slots are the whole server's.
set -euo pipefail
. "$(dirname "$0")/../../scripts/lib.sh"
trap server_stop EXIT
server_start
as_server tee -a "$PGHOST/data/postgresql.conf" >/dev/null <<<'wal_level = logical'
as_server "$PGBIN/pg_ctl" -D "$PGHOST/data" -l "$PGHOST/log" -w -s restart </dev/null

sql() { psql -XqAt -v ON_ERROR_STOP=1 "${@/#/-c}" </dev/null; }
# found LONG: what it finds, one a line
found() { sql "SELECT finding, severity, what, hint FROM chancy.check_installation('$1')"; }
# finds PATTERN [LONG]; lacks PATTERN [LONG]: patterns are grep -E's
finds() { found "${2:-10 min}" | grep -E "$1" >/dev/null || { echo "not found: $1" && found "${2:-10 min}" && exit 1; }; }
lacks() { ! found "${2:-10 min}" | grep -E "$1" || { echo "still found: $1" && exit 1; }; }
# in_turn PATTERN BREAK MEND [LONG]: found only between the two statements
in_turn() {
    lacks "$1" "${4:-10 min}"
    sql "$2" >/dev/null
    finds "$1" "${4:-10 min}"
    sql "$3" >/dev/null
    lacks "$1" "${4:-10 min}"
}

sql 'CREATE EXTENSION chancy' "SELECT FROM chancy.declare_queue('mail')" 'SELECT FROM chancy.maintain()' >/dev/null
test "$(found '10 min')" = 'setting|error|fsync is off|Set it on: a crash of the machine may lose everything.'

in_turn '^version\|error\|.*extension in this database of version 0.1\|' "UPDATE pg_extension SET extversion = '0.1' WHERE extname = 'chancy'" \
    "UPDATE pg_extension SET extversion = chancy.library_version() WHERE extname = 'chancy'"
in_turn '^version\|warning\|version .* on the server.s disk, 0.0 in this' "UPDATE pg_extension SET extversion = '0.0' WHERE extname = 'chancy'" \
    "UPDATE pg_extension SET extversion = chancy.library_version() WHERE extname = 'chancy'"

sql 'CREATE ROLE a_worker' 'CREATE ROLE "an admin"' 'CREATE ROLE gone' "SELECT chancy.grant_worker('a_worker', '{mail}'), chancy.grant_admin('\"an admin\"')" >/dev/null
lacks '^grants'
in_turn "^grants\|error\|role a_worker was granted worker, but may not call chancy.maintain\(\)\|SELECT chancy.grant_worker\('a_worker', '\{mail\}'\);" \
    'REVOKE EXECUTE ON FUNCTION chancy.maintain() FROM a_worker' "SELECT chancy.grant_worker('a_worker', '{mail}')"
in_turn '^grants\|error\|role "an admin" was granted admin, but may not call chancy.push_many' \
    'REVOKE EXECUTE ON FUNCTION chancy.push_many FROM "an admin"' "SELECT chancy.grant_admin('\"an admin\"')"
sql 'CREATE ROLE a_reader' "SELECT chancy.grant_reader('a_reader')" >/dev/null
in_turn "^grants\|error\|role a_reader was granted reader, but may not call chancy.check_installation\(interval\)\|SELECT chancy.grant_reader\('a_reader'\);" \
    'REVOKE EXECUTE ON FUNCTION chancy.check_installation FROM a_reader' "SELECT chancy.grant_reader('a_reader')"
in_turn '^grants\|error\|role a_worker .*heartbeat' 'REVOKE USAGE ON SCHEMA chancy FROM a_worker' "SELECT chancy.grant_worker('a_worker', '{mail}')"
sql "INSERT INTO chancy.grants VALUES (99999, 'worker', NULL)"
finds '^grants\|notice\|.*gone \(99999\).*DELETE FROM chancy.grants WHERE role = 99999;'
sql 'DELETE FROM chancy.grants WHERE role = 99999;'

in_turn '^index\|error\|index chancy.jobs_running is missing' 'ALTER INDEX chancy.jobs_running RENAME TO elsewhere' 'ALTER INDEX chancy.elsewhere RENAME TO jobs_running'
in_turn '^index\|error\|index chancy.cron_due is invalid\|REINDEX INDEX CONCURRENTLY chancy.cron_due;' \
    "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'chancy.cron_due'::regclass" 'REINDEX INDEX CONCURRENTLY chancy.cron_due'
in_turn '^index\|error\|index chancy.jobs_fetch_ccnew is invalid\|DROP INDEX' \
    "CREATE INDEX jobs_fetch_ccnew ON chancy.jobs (id); UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'chancy.jobs_fetch_ccnew'::regclass" \
    'DROP INDEX CONCURRENTLY chancy.jobs_fetch_ccnew'
in_turn '^index\|notice\|index chancy.by_func on jobs' 'CREATE INDEX by_func ON chancy.jobs (func)' 'DROP INDEX chancy.by_func'
sql 'CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN new; END $$'
in_turn '^trigger\|warning\|trigger mine on chancy.jobs' 'CREATE TRIGGER mine BEFORE INSERT ON chancy.jobs EXECUTE FUNCTION nothing()' 'DROP TRIGGER mine ON chancy.jobs'

in_turn '^autovacuum\|error\|autovacuum is off for chancy.jobs\|ALTER TABLE chancy.jobs RESET' 'ALTER TABLE chancy.jobs SET (autovacuum_enabled = off)' \
    'ALTER TABLE chancy.jobs RESET (autovacuum_enabled);'
for setting in autovacuum track_counts full_page_writes; do
    sql "ALTER SYSTEM SET $setting = off" 'SELECT pg_reload_conf()' >/dev/null
    tries=100
    until found '10 min' | grep -E "^(setting|autovacuum)\|error\|$setting is off\|Set it on" >/dev/null; do
        [ $((tries -= 1)) -gt 0 ] || { echo "not found: $setting" && exit 1; }
        sleep 0.1
    done
    sql "ALTER SYSTEM RESET $setting" 'SELECT pg_reload_conf()' >/dev/null
done
in_turn '^setting\|notice\|synchronous_commit is off' 'ALTER DATABASE postgres SET synchronous_commit = off' 'ALTER DATABASE postgres RESET synchronous_commit'
in_turn '^setting\|notice\|chancy.push_mode is immediate' "LOAD 'chancy'; ALTER DATABASE postgres SET chancy.push_mode = immediate" 'ALTER DATABASE postgres RESET chancy.push_mode'

# A transaction that is left open, by a process of its own.
lacks '^snapshot' 0
coproc psql -XqAt
sleeper=$COPROC_PID # bash forgets it as soon as the process ends
echo "SET application_name = sleeper; BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 'open';" >&"${COPROC[1]}"
read -r _ <&"${COPROC[0]}"
finds '^snapshot\|warning\|process [0-9]+ \(postgres, sleeper\) has been .*pg_terminate_backend\(' 0
lacks '^snapshot'

# What autovacuum would clear away, if the sleeper let it.
sql "INSERT INTO chancy.jobs (id, queue, func, state) SELECT gen_random_uuid(), 'mail', 'f', 'succeeded' FROM generate_series(1, 10100)" \
    "DELETE FROM chancy.jobs WHERE func = 'f'" 'SELECT pg_stat_force_next_flush()'
finds '^bloat\|warning\|chancy.jobs has 10[0-9]{3} dead tuples beside 0 live ones.*VACUUM chancy.jobs;'
printf 'COMMIT;\n\\q\n' >&"${COPROC[1]}"
wait "$sleeper" || true
sql 'VACUUM chancy.jobs'
lacks '^bloat'

in_turn "^prepared\|warning\|transaction 'of x' has been .*ROLLBACK PREPARED 'of x'" "BEGIN; SELECT chancy.push('f'); PREPARE TRANSACTION 'of x'" "ROLLBACK PREPARED 'of x'" 0
in_turn '^slot\|warning\|replication slot left is not used and holds the WAL since' "SELECT pg_create_physical_replication_slot('left', true)" "SELECT pg_drop_replication_slot('left')"
in_turn '^slot\|warning\|replication slot logical is not used and holds dead tuples for [0-9]+ transactions and the WAL' \
    "SELECT pg_create_logical_replication_slot('logical', 'pgoutput')" "SELECT pg_drop_replication_slot('logical')"

in_turn '^worker\|warning\|worker w expired' "SELECT chancy.heartbeat('w', '{}', '{mail}'); UPDATE chancy.workers SET expires_at = now() - interval '1 min'" \
    "SELECT chancy.heartbeat('w', '{}', '{mail}')"
sql "SELECT chancy.retire_worker('w')" >/dev/null
in_turn '^queue\|error\|3 jobs of queue mail are due since .*no worker serves it\|Start one: chancy worker --queue mail' \
    "SELECT chancy.push('g', queue => 'mail', scheduled_at => now() - interval '2 min') FROM generate_series(1, 3)" "SELECT chancy.heartbeat('w', '{}', '{mail}')"
in_turn "^queue\|notice\|queue mail is paused with 3 jobs due\|SELECT chancy.resume_queue\('mail'\);" "SELECT chancy.pause_queue('mail')" "SELECT chancy.resume_queue('mail')"

# A session that holds due jobs, by a process of its own: some of them, then all.
sql "SELECT chancy.push('h', queue => 'mail')" >/dev/null
coproc psql -XqAt
holder=$COPROC_PID
echo "SET application_name = holder; BEGIN; SELECT func FROM chancy.jobs WHERE func = 'h' FOR UPDATE;" >&"${COPROC[1]}"
read -r _ <&"${COPROC[0]}"
lacks '^held'
finds '^held\|warning\|process [0-9]+ \(postgres, holder, idle in transaction\) has held 1 of the first 4 due jobs of queue mail .*\|End its .*pg_terminate_backend\([0-9]+\); Its last statement: SELECT func' 0
echo "SELECT count(*) FROM (SELECT FROM chancy.jobs WHERE queue = 'mail' FOR UPDATE) j;" >&"${COPROC[1]}"
read -r _ <&"${COPROC[0]}"
finds '^held\|error\|.* has held 4 of the first 4 due jobs' 0
printf 'COMMIT;\n\\q\n' >&"${COPROC[1]}"
wait "$holder" || true
lacks '^held' 0
in_turn "^held\|warning\|prepared transaction 'of y' \(postgres\) has held 1 of the first 4 .*ROLLBACK PREPARED 'of y'" \
    "BEGIN; SELECT FROM chancy.jobs WHERE func = 'h' FOR UPDATE; PREPARE TRANSACTION 'of y'" "ROLLBACK PREPARED 'of y'" 0

in_turn '^task\|error\|task pruner is due since .*nobody runs maintain' "UPDATE chancy.task_runs SET last_run = now() - interval '1 day', again_at = NULL" 'SELECT FROM chancy.maintain()'
in_turn '^task\|error\|task pruner failed: no space' "UPDATE chancy.task_runs SET error = 'no space', failed_at = last_run WHERE name = 'pruner'" \
    "UPDATE chancy.task_runs SET last_run = '2000-01-01', again_at = NULL WHERE name = 'pruner'; SELECT FROM chancy.maintain()"
in_turn '^task\|error\|no task has run since the server started or crashed' 'TRUNCATE chancy.task_runs' 'SELECT FROM chancy.maintain()' '1 s'
test "$(found '10 min')" = 'setting|error|fsync is off|Set it on: a crash of the machine may lose everything.'
