# The server dies, several times, in the middle of maintenance that runs over four connections and in the background worker at once, under
# load: nothing is done twice, nothing is forgotten. Each claim by a worker that dies is written down in its own transaction, so the
# recoveries of a job can be counted; jobs of a worker that lives stay with it. A minute on a busy machine: with --soak only.
set -euo pipefail
[ -n "${CHANCY_SOAK:-}" ] || exit 0
. "$(dirname "$0")/../../scripts/lib.sh"
. "$(dirname "$0")/loops.bash"

# forever NAME: what it reads, as one psql script, again and again, whatever becomes of the server.
forever() {
    local script=$PGHOST/$1.sql
    cat >"$script"
    (while [ ! -e "$PGHOST/$1.stop" ]; do psql -Xq -f "$script" >/dev/null 2>&1 || sleep 0.2; done) &
    loops+=($!)
}

server_start >/dev/null 2>&1
as_server tee -a "$PGHOST/data/postgresql.conf" >/dev/null <<<"shared_preload_libraries = 'chancy'"
as_server "$PGBIN/pg_ctl" -D "$PGHOST/data" -l "$PGHOST/log" -w -s restart </dev/null >/dev/null
sql "CREATE EXTENSION chancy" >/dev/null

# 600 jobs that have waited for an hour; 6000 finished ones, of which every third is to be pruned.
psql -XqAt -v ON_ERROR_STOP=1 >/dev/null <<'END_SQL'
SELECT chancy.declare_queue('q');
CREATE TABLE claims (job uuid, worker text);
CREATE FUNCTION id_at(age interval, n int) RETURNS uuid LANGUAGE sql AS $$
    SELECT (lpad(to_hex(((extract(epoch FROM now() - age) * 1000000)::bigint * 10)), 15, '0') || '78' || lpad(to_hex(n), 15, '0'))::uuid
$$;
INSERT INTO chancy.jobs (id, queue, func, created_at, scheduled_at)
SELECT id_at('1 hour', n), 'q', 'live', now() - interval '1 hour', now() - interval '1 hour' FROM generate_series(1, 600) n;
INSERT INTO chancy.jobs (id, queue, func, state, completed_at)
SELECT id_at('2 hours', n), 'q', CASE n % 3 WHEN 0 THEN 'old' ELSE 'kept' END, 'failed', now() - interval '2 hours' FROM generate_series(1, 6000) n;
SELECT chancy.set_task('recovery', every => '1 s', settings => '{"grace": 5, "max_recoveries": 1000000}');
SELECT chancy.set_task('pruner', every => '1 s', settings => '{"rule": {"and": [{"func": "old"}, {"age": "1 min"}]}, "up_to": 20}');
SELECT chancy.set_task('reprioritize', every => '1 s', settings => '{"ceiling": 5, "interval": "30 min", "up_to": 20}');
SELECT chancy.heartbeat('alive', '{}', '{}', '1 min');
CREATE TABLE alive AS SELECT id, started_at FROM chancy.fetch_jobs('q', 'alive', 5);
END_SQL

forever alive <<<"SELECT chancy.heartbeat('alive', '{}', '{}', '1 min') \\watch 0.2"
for n in 1 2 3 4; do
    forever "maintain$n" <<<"SELECT chancy.maintain() \\watch 0.02"
done
# Workers that claim, and die.
for n in 1 2; do
    forever "claim$n" <<END_SQL
SELECT 'dead $n ' || pg_backend_pid() || random() AS worker \\gset
SELECT chancy.heartbeat(:'worker', '{}', '{}', '1 s');
WITH claimed AS (SELECT id FROM chancy.fetch_jobs('q', :'worker', 7)) INSERT INTO claims SELECT id, :'worker' FROM claimed;
SELECT pg_sleep(0.01);
END_SQL
done

recovered="(SELECT sum(recoveries) FROM chancy.jobs WHERE func = 'live')"
for round in 1 2 3; do
    at=$(sql "SELECT coalesce($recovered, 0)")
    eventually "SELECT $recovered > $at + 20"
    [ "$(sql "SELECT count(*) FROM chancy.workers WHERE worker_id = 'alive'")" = 1 ] || fail 'the living worker does not announce itself'
    # In the middle of a call, if one is found; the others lose their connections with it.
    pid=
    while [ -z "$pid" ]; do
        pid=$(sql "SELECT pid FROM pg_stat_activity WHERE query LIKE '%maintain()%' AND state = 'active' AND pid <> pg_backend_pid() LIMIT 1" 2>/dev/null) || true
    done
    kill -9 "$pid" 2>/dev/null || true
    eventually "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid"
done
[ "$(grep -c 'terminated by signal 9' "$PGHOST/log")" -gt 0 ] || fail 'the server did not crash'

# The load ends; maintenance brings it to an end.
touch "$PGHOST/claim1.stop" "$PGHOST/claim2.stop"
eventually "SELECT count(*) = 0 FROM chancy.jobs WHERE state = 'running' AND taken_by <> 'alive' OR func = 'old'" "SELECT func, state, count(*) FROM chancy.jobs GROUP BY 1, 2"
live="func = 'live' AND id NOT IN (SELECT id FROM alive)"
eventually "SELECT min(priority) = 1 FROM chancy.jobs WHERE $live" "SELECT priority, count(*) FROM chancy.jobs WHERE func = 'live' GROUP BY 1"
wrong=$(sql "
    SELECT format('job %s was claimed %s times by workers that died, and recovered %s times', j.id, count(c.job), j.recoveries)
    FROM chancy.jobs j LEFT JOIN claims c ON c.job = j.id WHERE j.func = 'live' GROUP BY j.id HAVING count(c.job) <> j.recoveries
    UNION ALL SELECT format('job %s was raised to %s', id, priority) FROM chancy.jobs WHERE $live AND priority <> 1
    UNION ALL SELECT format('job %s of a worker that lives was taken from it', a.id) FROM alive a
        WHERE NOT EXISTS (SELECT FROM chancy.jobs j WHERE j.id = a.id AND j.state = 'running' AND j.taken_by = 'alive' AND j.started_at = a.started_at)
    UNION ALL SELECT format('%s jobs of func %s', count(*), func) FROM chancy.jobs GROUP BY func HAVING count(*) <> CASE func WHEN 'live' THEN 600 ELSE 4000 END
    LIMIT 20")
[ -z "$wrong" ] || fail "$wrong"
[ "$(sql 'SELECT count(*) > 60 FROM claims')" = t ] || fail 'hardly anything was claimed'
