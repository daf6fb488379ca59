#!/usr/bin/env bash
# async.sh PROGRAM: many pushes in flight, at a server of its own that is restarted under them, fast and immediately, directly and
# behind PgBouncer in transaction mode. A push with a key is acknowledged in the end; one without is acknowledged, or its caller is
# told of the doubt; nothing acknowledged is lost, and nothing is there twice.
set -euo pipefail
program=$1
. "$(dirname "$0")/../../scripts/lib.sh"

load= bouncer=
trap 'finish_test $?' EXIT
finish_test() {
    [ "$1" = 0 ] || { echo "the server's log:" && tail -20 "$PGHOST/log"; }
    [ -z "$load" ] || kill "$load" 2>/dev/null || true
    [ -z "$bouncer" ] || kill "$bouncer" 2>/dev/null || true
    server_stop
}
fail() { echo "$*" && exit 1; }
sql() { psql -XqAt -v ON_ERROR_STOP=1 -d postgres -c "$1"; }
control() { as_server "$PGBIN/pg_ctl" -D "$server/data" -l "$server/log" -w -s "$@" </dev/null >/dev/null 3>&-; }  # the server is not to keep the load going
field() { sed "s/.*\"$1\":\([0-9]*\).*/\1/" "$server/told"; }

server_start >/dev/null 2>&1
server=$PGHOST host=$PGHOST port=5432
sql 'CREATE EXTENSION chancy'

# begin ARGUMENT...: the load, until end; in_motion: some more of its jobs are there.
begin() {
    sql 'DELETE FROM chancy.jobs'
    rm -f "$server/stop" && mkfifo "$server/stop"
    PGHOST=$host PGPORT=$port "$program" load "$@" <"$server/stop" >"$server/told" 2>"$server/trouble" &
    load=$!
    exec 3>"$server/stop"
}
in_motion() {
    local tries=1200 before now
    before=$(sql 'SELECT count(*) FROM chancy.jobs')
    until now=$(sql 'SELECT count(*) FROM chancy.jobs') && [ "$now" -gt "$((before + 100))" ]; do
        kill -0 "$load" 2>/dev/null || fail "the load has ended: $(cat "$server/trouble")"
        [ $((tries -= 1)) -gt 0 ] || fail "nothing is pushed any more"
        sleep 0.05
    done
}
end() {
    exec 3>&-
    wait "$load" || fail "the load failed: $(cat "$server/trouble")"
    load=
    there=$(sql 'SELECT count(*) FROM chancy.jobs')
    distinct=$(sql "SELECT count(DISTINCT kwargs) FROM chancy.jobs")
    [ "$there" = "$distinct" ] || fail "$there jobs, of $distinct pushes"
    [ "$(field failed)" = 0 ] || fail "failed: $(cat "$server/told")"
}
restarts() {
    in_motion
    control restart -m fast
    in_motion
    control restart -m immediate
    in_motion
    sql "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'chancy'" >/dev/null
    in_motion
}

keyed() {
    begin keyed 64
    restarts
    end
    [ "$(field in_doubt)" = 0 ] || fail "in doubt, with keys: $(cat "$server/told")"
    [ "$there" = "$(field acknowledged)" ] || fail "$there jobs of $(cat "$server/told")"
    echo "$1, keys: $(cat "$server/told")"
}
keyless() {
    begin keyless 64
    restarts
    end
    [ "$(field in_doubt)" -gt 0 ] || fail "no fault met a call: $(cat "$server/told")"
    [ "$there" -ge "$(field acknowledged)" ] || fail "lost: $there jobs of $(cat "$server/told")"
    [ "$there" -le "$(($(field acknowledged) + $(field in_doubt)))" ] || fail "too many: $there jobs of $(cat "$server/told")"
    echo "$1, no keys: $(cat "$server/told")"
}

keyed direct
keyless direct

as_server mkdir "$server/bouncer"
as_server tee "$server/bouncer.ini" >/dev/null <<X
[databases]
postgres = host=$server port=5432
[pgbouncer]
pool_mode = transaction
default_pool_size = 3
listen_addr =
listen_port = 6432
unix_socket_dir = $server/bouncer
auth_type = any
logfile = $server/bouncer/log
pidfile = $server/bouncer/pid
X
# What is any user for PgBouncer has to be named for the server.
as_server sed -i "s/^postgres = .*/& user=$PGUSER/" "$server/bouncer.ini"
as_server /usr/sbin/pgbouncer -d "$server/bouncer.ini" >/dev/null 2>&1
until [ -s "$server/bouncer/pid" ] && [ -S "$server/bouncer/.s.PGSQL.6432" ]; do sleep 0.05; done
bouncer=$(cat "$server/bouncer/pid")
host=$server/bouncer port=6432
keyed 'behind PgBouncer'
keyless 'behind PgBouncer'
