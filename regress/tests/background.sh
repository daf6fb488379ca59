# The background worker, in a server of its own that has chancy in shared_preload_libraries: it finds the databases that have the
# extension, works there and goes, through errors, drops, crashes and a standby's promotion. Nothing here is timed: what must
# happen is waited for.
set -euo pipefail
. "$(dirname "$0")/../../scripts/lib.sh"

standby=
trap 'finish_test $?' EXIT
finish_test() {
    [ "$1" = 0 ] || { echo "the server's log:" && tail -60 "$PGHOST/log"; }
    [ -z "$standby" ] || { as_server "$PGBIN/pg_ctl" -D "$standby/data" -m immediate -w -s stop || true; rm -rf "$standby"; }
    server_stop
}

control() { as_server "$PGBIN/pg_ctl" -D "$PGHOST/data" -l "$PGHOST/log" -w -s "$@" </dev/null >/dev/null; }
configure() { as_server tee -a "$PGHOST/data/postgresql.conf" >/dev/null; }
sql() { psql -XqAt -v ON_ERROR_STOP=1 -d "$1" -c "$2"; }
fail() { echo "$*" && exit 1; }
# eventually DATABASE QUERY: until it is true.
eventually() {
    local tries=600
    until [ "$(sql "$1" "$2" 2>/dev/null)" = t ]; do
        [ $((tries -= 1)) -gt 0 ] || fail "in $1 this does not become true: $2"
        sleep 0.05
    done
}
logged() { grep -c -- "$1" "$PGHOST/log" || true; }
eventually_logged() {
    local tries=600
    until [ "$(logged "$1")" -gt 0 ]; do
        [ $((tries -= 1)) -gt 0 ] || fail "the log does not say: $1"
        sleep 0.05
    done
}
launcher="EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'chancy launcher' AND datname IS NULL)"
maintained="EXISTS (SELECT FROM chancy.task_runs WHERE name = 'recovery')"

server_start >/dev/null 2>&1
configure <<'X'
shared_preload_libraries = 'chancy'
chancy.maintenance_interval = 1
max_worker_processes = 3  # the launcher of logical replication, ours, and one more
X
control restart

# It shows itself, and is connected to no database. CREATE EXTENSION wakes it; nobody calls maintain().
sql postgres 'CREATE DATABASE one' && sql postgres 'CREATE DATABASE two'
eventually postgres "SELECT $launcher"
sql one 'CREATE EXTENSION chancy'
eventually one "SELECT $maintained"
[ "$(sql postgres "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'chancy maintenance' AND application_name NOT IN ('', 'chancy maintenance')")" = 0 ]  # '' at the very start

# A job of a worker that died runs again; whoever listens is told. A setting takes effect when it is committed.
sql one "SELECT chancy.set_task('recovery', every => '1 day')" >/dev/null
sql one "SELECT FROM chancy.declare_queue('default'); SELECT chancy.push('f'); SELECT chancy.heartbeat('dead', '{}', '{}', '1 s');
    SELECT count(*) FROM chancy.fetch_jobs('default', 'dead'); UPDATE chancy.workers SET expires_at = now() - interval '1 s'" >/dev/null
# psql shows what it has heard after each statement.
{
    echo 'LISTEN chancy_events;'
    # what a fetch leaves that found nothing
    echo "INSERT INTO chancy.sleepers VALUES ('default', true);"
    echo "SELECT chancy.set_task('recovery', every => '1 s');"
    for ((i = 0; i < 600; i++)); do echo 'SELECT 1;' && sleep 0.05; done
} | psql -Xq -d one >"$PGHOST/heard" 2>&1 &
listener=$!
tries=600
until grep -q '"chancy_events" with payload "{"t": "queue.pushed", "q": "default"}"' "$PGHOST/heard"; do
    [ $((tries -= 1)) -gt 0 ] || { cat "$PGHOST/heard" && fail 'nobody heard of the recovered job'; }
    sleep 0.05
done
kill $listener && wait $listener 2>/dev/null || true

# An error in a task is logged once, and the task is tried again; the other tasks run.
sql one 'ALTER INDEX chancy.jobs_running RENAME TO away; TRUNCATE chancy.task_runs'
eventually one "SELECT count(*) = 3 FROM chancy.task_runs WHERE name IN ('recovery', 'pruner', 'workers') AND last_run > '2000-01-02'"
run=$(sql one "SELECT last_run FROM chancy.task_runs WHERE name = 'recovery'")
eventually one "SELECT last_run > '$run' AND error IS NOT NULL FROM chancy.task_runs WHERE name = 'recovery'"
sql one 'ALTER INDEX chancy.away RENAME TO jobs_running'
eventually one "SELECT failed_at < last_run FROM chancy.list_tasks() WHERE name = 'recovery'"
[ "$(logged 'chancy task "recovery" failed in database "one": index chancy.jobs_running is missing')" = 1 ] || fail 'not logged once'

# It may be terminated, and comes back; DROP and CREATE EXTENSION; a database made from one that has the extension.
sql postgres "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'chancy launcher'" >/dev/null
sql one 'DROP EXTENSION chancy'
sql one 'CREATE EXTENSION chancy'
eventually one "SELECT $maintained"
sql one 'TRUNCATE chancy.task_runs'
tries=100
until sql postgres 'CREATE DATABASE copy TEMPLATE one' 2>/dev/null; do [ $((tries -= 1)) -gt 0 ] || fail 'CREATE DATABASE … TEMPLATE fails'; done
eventually copy "SELECT $maintained"

# With work that never ends, DROP DATABASE gets through; a new database of that name is another one.
sql copy "SELECT chancy.set_task('pruner', every => '1 s', settings => '{\"rule\": {\"keep\": 0}, \"up_to\": 1}')" >/dev/null
sql copy "INSERT INTO chancy.jobs (id, queue, func, state) SELECT gen_random_uuid(), 'q', 'f', 'failed' FROM generate_series(1, 200000)"
eventually copy "SELECT count(*) BETWEEN 1 AND 199990 FROM chancy.jobs"
sql postgres 'DROP DATABASE copy'
sql postgres 'CREATE DATABASE copy'
sql copy 'CREATE EXTENSION chancy'
eventually copy "SELECT $maintained"

# All worker processes taken (a visit waits for a lock): told once, and tried again. It is reported where it hangs, and ends by SIGTERM.
psql -Xq -d one >/dev/null <<'X' &
BEGIN;
LOCK chancy.task_runs;
SELECT pg_sleep(600);
X
holder=$!
eventually postgres "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'chancy maintenance' AND datname = 'one' AND wait_event_type = 'Lock')"
sql copy "TRUNCATE chancy.task_runs; SELECT chancy.wake_maintenance()" >/dev/null
eventually_logged 'chancy could not start a background worker'
sql copy "SELECT chancy.wake_maintenance()" >/dev/null
sql postgres "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()" >/dev/null
wait $holder || true
eventually copy "SELECT $maintained"
[ "$(logged 'chancy could not start a background worker')" = 1 ] || fail 'told more than once that no worker could be started'

# Off and on again, without a restart.
sql postgres "ALTER SYSTEM SET chancy.maintenance = off" && sql postgres 'SELECT pg_reload_conf()' >/dev/null
eventually one "SELECT current_setting('chancy.maintenance') = 'off'"
eventually postgres "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'chancy maintenance')"
sql two 'CREATE EXTENSION chancy'
sql postgres "ALTER SYSTEM SET chancy.maintenance = on" && sql postgres 'SELECT pg_reload_conf()' >/dev/null
eventually two "SELECT $maintained"

# A crash of the server: it comes back by itself. The crash has emptied task_runs.
kill -9 "$(sql postgres "SELECT pid FROM pg_stat_activity WHERE backend_type = 'chancy launcher'")"
eventually postgres "SELECT $launcher"
eventually two "SELECT $maintained"

# On a standby there is none, until it is promoted.
standby=$(mktemp -d /tmp/chancy.XXXXXX)
[ "$(id -u)" != 0 ] || chown postgres "$standby"
as_server "$PGBIN/pg_basebackup" -h "$PGHOST" -U postgres -D "$standby/data" -R -c fast --no-sync >/dev/null
as_server tee -a "$standby/data/postgresql.conf" >/dev/null <<<"unix_socket_directories = '$standby'"
as_server "$PGBIN/pg_ctl" -D "$standby/data" -l "$standby/log" -w -s start </dev/null >/dev/null
on_standby() { PGHOST=$standby sql "$1" "$2"; }
[ "$(on_standby postgres "SELECT pg_is_in_recovery() AND NOT $launcher")" = t ] || fail 'a launcher on a standby'
as_server "$PGBIN/pg_ctl" -D "$standby/data" -w -s promote >/dev/null
PGHOST=$standby eventually two "SELECT $maintained"

# pg_upgrade's mode: nothing runs by itself.
as_server "$PGBIN/pg_ctl" -D "$standby/data" -m fast -w -s stop >/dev/null
as_server "$PGBIN/pg_ctl" -D "$standby/data" -l "$standby/log" -o -b -w -s start </dev/null >/dev/null
[ "$(on_standby postgres "SELECT NOT $launcher")" = t ] || fail 'a launcher in the mode of pg_upgrade'

# A visit that waits for a lock does not hold up the stop of the server.
psql -Xq -d one >/dev/null 2>&1 <<'X' &
BEGIN;
LOCK chancy.task_runs;
SELECT pg_sleep(600);
X
sql one 'SELECT chancy.wake_maintenance()' >/dev/null
eventually postgres "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'chancy maintenance' AND datname = 'one' AND wait_event_type = 'Lock')"
control -m fast -t 20 stop || fail 'the server does not stop'
wait
