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
caught_up() {
    local at tries=300
    at=$(sql 'SELECT pg_current_wal_lsn()')
    until [ "$(PGPORT=5433 sql "SELECT pg_last_wal_replay_lsn() >= '$at'")" = t ]; do [ $((tries -= 1)) -gt 0 ] || wrong 'the standby lags'; sleep 0.1; done
}
sql() { psql -XqAt -v ON_ERROR_STOP=1 "${@/#/-c}" </dev/null; }

sql 'CREATE EXTENSION chancy' "SELECT FROM chancy.declare_queue('mail')"
as_server "$PGBIN/pg_basebackup" -D "$PGHOST/standby" -h "$PGHOST" -U "$PGUSER" -R -c fast --no-sync
as_server "$PGBIN/pg_ctl" -D "$PGHOST/standby" -l "$PGHOST/standby.log" -o '-p 5433' -w -s start </dev/null

# What is wrong with this server is found on a standby, too; what only a primary can know is not guessed.
on_standby() { PGPORT=5433 sql "SELECT finding, severity, what FROM chancy.check_installation() WHERE finding <> 'setting'"; }
says() { tries=300 && until on_standby | grep -q "$1"; do [ $((tries -= 1)) -gt 0 ] || wrong "not found on a standby: $1; but: $(on_standby)"; sleep 0.1; done; }
silent() { tries=300 && while on_standby | grep -q "$1"; do [ $((tries -= 1)) -gt 0 ] || wrong "still found on a standby: $1"; sleep 0.1; done; }
sql "SELECT FROM chancy.push('send', queue => 'mail', scheduled_at => now() - interval '1 hour')"
caught_up
on_standby >"$PGHOST/found"
[ "$(cut -c1-48 "$PGHOST/found")" = 'standby|notice|this server is a standby: what wo' ] || wrong "found on a standby: $(cat "$PGHOST/found")"
answer=$("$chancy" -d 'port=5433' doctor) || test $? = 6
grep -q '^notice: standby: this server is a standby' <<<"$answer" || wrong "doctor says of a standby: $answer"
PGPORT=5433 sql 'SELECT pg_wal_replay_pause()' && says '^standby|warning|.*replay is paused'
PGPORT=5433 sql 'SELECT pg_wal_replay_resume()' && silent 'replay is paused'
sql "ALTER TABLE chancy.jobs SET (autovacuum_enabled = off)" && says '^autovacuum|error|.*chancy.jobs'
sql "ALTER TABLE chancy.jobs RESET (autovacuum_enabled)" && silent '^autovacuum'
[ "$(sql 'SELECT count(*) FROM chancy.cancel_jobs(ARRAY(SELECT id FROM chancy.jobs))')" = 1 ] || wrong 'the job is not there'

both="host=$PGHOST,$PGHOST port=5433,5432 target_session_attrs=read-write"
id=$("$chancy" -d "$both" push send --queue mail)
"$chancy" -d "$both" worker --queue mail --id w --exec send="touch $PGHOST/begun; until [ -e $PGHOST/go ]; do sleep 0.1; done; echo 1" 2>"$PGHOST/worker.log" &
worker=$!
tries=300
until [ -e "$PGHOST/begun" ]; do [ $((tries -= 1)) -gt 0 ] || wrong 'no job was begun' && sleep 0.1; done
tries=300
until [ "$(PGPORT=5433 sql "SELECT state FROM chancy.jobs WHERE id = '$id'")" = running ]; do [ $((tries -= 1)) -gt 0 ] || wrong 'the standby lags' && sleep 0.1; done

as_server "$PGBIN/pg_ctl" -D "$PGHOST/data" -m immediate -w -s stop
says '^standby|warning|.*not connected'
as_server "$PGBIN/pg_ctl" -D "$PGHOST/standby" -w -s promote >/dev/null
touch "$PGHOST/go"
PGPORT=5433 "$chancy" job wait "$id" --timeout 60 >/dev/null || wrong "the worker did not go on: $(cat "$PGHOST/worker.log")"
[ "$(PGPORT=5433 sql "SELECT taken_by, recoveries, result FROM chancy.jobs WHERE id = '$id'")" = 'w|0|1' ] || wrong 'another attempt ran'
kill -TERM "$worker" && wait "$worker" || wrong 'the worker did not end well'
worker=
