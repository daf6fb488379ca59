#!/usr/bin/env bash
# standby.sh CHANCY: what docs/failover.md says of a standby, with one: doctor names it, a connection string with both hosts
# passes it by, and after the promotion a worker goes on there with the job that it had.
set -euo pipefail
. "$(dirname "$0")/../../scripts/lib.sh"
chancy=$1
stop() {
    [ -z "${worker:-}" ] || kill "$worker" 2>/dev/null || true
    [ ! -f "$PGHOST/standby/postmaster.pid" ] || as_server "$PGBIN/pg_ctl" -D "$PGHOST/standby" -m immediate -w -s stop || true
    server_stop
}
trap stop EXIT
server_start
wrong() { echo "$*" && exit 1; }
sql() { psql -XqAt -v ON_ERROR_STOP=1 "${@/#/-c}" </dev/null; }

sql 'CREATE EXTENSION chancy' "SELECT FROM chancy.declare_queue('mail')"
as_server "$PGBIN/pg_basebackup" -D "$PGHOST/standby" -h "$PGHOST" -U "$PGUSER" -R -c fast --no-sync
as_server "$PGBIN/pg_ctl" -D "$PGHOST/standby" -l "$PGHOST/standby.log" -o '-p 5433' -w -s start </dev/null

answer=$("$chancy" -d 'port=5433' doctor --json) && wrong "doctor ended with 0 on a standby: $answer"
grep -q '"finding":"connection".*"what":"this server is a standby"' <<<"$answer" || wrong "doctor says of a standby: $answer"

both="host=$PGHOST,$PGHOST port=5433,5432 target_session_attrs=read-write"
id=$("$chancy" -d "$both" push send --queue mail)
"$chancy" -d "$both" worker --queue mail --id w --exec send="touch $PGHOST/begun; until [ -e $PGHOST/go ]; do sleep 0.1; done; echo 1" 2>"$PGHOST/worker.log" &
worker=$!
tries=300
until [ -e "$PGHOST/begun" ]; do [ $((tries -= 1)) -gt 0 ] || wrong 'no job was begun' && sleep 0.1; done
until [ "$(PGPORT=5433 sql "SELECT state FROM chancy.jobs WHERE id = '$id'")" = running ]; do [ $((tries -= 1)) -gt 0 ] || wrong 'the standby lags' && sleep 0.1; done

as_server "$PGBIN/pg_ctl" -D "$PGHOST/data" -m immediate -w -s stop
as_server "$PGBIN/pg_ctl" -D "$PGHOST/standby" -w -s promote >/dev/null
touch "$PGHOST/go"
PGPORT=5433 "$chancy" job wait "$id" --timeout 60 >/dev/null || wrong "the worker did not go on: $(cat "$PGHOST/worker.log")"
[ "$(PGPORT=5433 sql "SELECT taken_by, recoveries, result FROM chancy.jobs WHERE id = '$id'")" = 'w|0|1' ] || wrong 'another attempt ran'
kill -TERM "$worker" && wait "$worker" || wrong 'the worker did not end well'
worker=
