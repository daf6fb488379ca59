# Schedules, SQL jobs and groups under load, while the server restarts, twice fast and twice at once: no tick is left out or pushed twice, what a SQL
# job does is there once, and a group's last job runs once, after all of its jobs. What was acknowledged is written down outside of the server.
set -euo pipefail
. "$(dirname "$0")/../../scripts/lib.sh"
. "$(dirname "$0")/../../regress/tests/loops.bash"

control() { as_server "$PGBIN/pg_ctl" -D "$PGHOST/data" -l "$PGHOST/log" -w -s "$@" </dev/null >/dev/null; }
# again_and_again NAME STATEMENT: with $n in it counting up; the numbers of those that were acknowledged go to the file NAME.
again_and_again() {
    local n=0
    until [ -e "$PGHOST/$1.stop" ]; do
        n=$((n + 1))
        if sql "${2//\$n/$n}" >/dev/null 2>&1; then echo $n >>"$PGHOST/$1"; else sleep 0.05; fi
    done
}

server_start >/dev/null 2>&1
as_server tee -a "$PGHOST/data/postgresql.conf" >/dev/null <<'END'
shared_preload_libraries = 'chancy'
chancy.maintenance_interval = 1
END
control restart
psql -XqAt -v ON_ERROR_STOP=1 >/dev/null <<'END'
CREATE EXTENSION chancy;
SELECT chancy.declare_queue('sql'), chancy.declare_queue('parts'), chancy.declare_queue('ticks'),
    chancy.set_task('recovery', '1 s', settings => '{"grace": 4, "max_recoveries": 1000}');
CREATE TABLE counted (what text, n int);
CREATE FUNCTION count_up(what text, n int) RETURNS void LANGUAGE sql AS $$ INSERT INTO public.counted VALUES (what, n) $$;
SELECT chancy.schedule_cron('jobs', '* * * * * *', '{"func": "tick", "queue": "ticks"}', missed => 'all up to 1000', overlap => true, grace => '1 s'),
    chancy.schedule_cron('sql', '* * * * * *', '{"function": "count_up(text, int)", "args": ["tick", 0]}', missed => 'all up to 1000', overlap => true, grace => '1 s');
END

again_and_again sql "SELECT count(chancy.push_sql('count_up(text, int)', jsonb_build_array('job', \$n * 100 + i))) FROM generate_series(0, 19) i" &
loops+=($!)
again_and_again group "SELECT chancy.push_group('group \$n', jsonb_agg(jsonb_build_object('func', 'part', 'queue', 'parts')), '{\"func\": \"whole\", \"queue\": \"parts\"}')
    FROM generate_series(1, 5)" &
loops+=($!)
"$1" worker --queue parts --concurrency 4 --heartbeat-timeout 5s --exec part=true --exec whole=true 2>"$PGHOST/worker.log" &
worker=$!
loops+=("$worker")

for how in fast immediate fast immediate; do
    at=$(sql "SELECT count(*) FROM counted" 2>/dev/null || echo 0)
    eventually "SELECT count(*) > $at + 100 FROM counted"
    eventually "SELECT count(*) > 0 FROM chancy.jobs WHERE state = 'running'"
    control -m "$how" restart
done
eventually "SELECT count(*) > 4 FROM counted WHERE what = 'tick'"
touch "$PGHOST/sql.stop" "$PGHOST/group.stop"
wait "${loops[@]:0:2}"
sql "SELECT chancy.pause_cron('jobs'), chancy.pause_cron('sql')" >/dev/null
eventually "SELECT count(*) = 0 FROM chancy.jobs WHERE queue <> 'ticks' AND state IN ('pending', 'running', 'retrying')" \
    "SELECT queue, func, state, taken_by, count(*) FROM chancy.jobs GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3"
eventually "SELECT count(*) = 0 FROM chancy.list_workflows(state => 'running')" "SELECT * FROM chancy.list_workflows(state => 'running')"
kill "$worker"
wait "$worker" || fail "the worker ended with $?"

psql -Xq -v ON_ERROR_STOP=1 <<END
CREATE TABLE acknowledged_sql (n int);
CREATE TABLE acknowledged_group (n int);
\\copy acknowledged_sql FROM '$PGHOST/sql'
\\copy acknowledged_group FROM '$PGHOST/group'
END
wrong=$(sql "
    WITH ticks AS (SELECT c.key, (j.meta -> 'cron' ->> 'tick')::timestamptz AS tick, count(*) FROM chancy.jobs j, LATERAL (SELECT j.meta -> 'cron' ->> 'key' AS key) c
                   WHERE c.key IS NOT NULL GROUP BY 1, 2)
    SELECT format('tick %s of %s was pushed %s times', tick, key, count) FROM ticks WHERE count > 1
    UNION ALL SELECT format('%s has %s ticks from %s to %s', key, count(*), min(tick), max(tick)) FROM ticks GROUP BY key
        HAVING count(*) <> extract(epoch FROM max(tick) - min(tick)) + 1
    UNION ALL SELECT format('the SQL job %s counted %s times', n, count(*)) FROM counted WHERE what = 'job' GROUP BY n HAVING count(*) > 1
    UNION ALL SELECT format('the SQL job %s is lost', a.n * 100 + i) FROM acknowledged_sql a, generate_series(0, 19) i
        WHERE NOT EXISTS (SELECT FROM counted c WHERE c.what = 'job' AND c.n = a.n * 100 + i)
    UNION ALL SELECT format('%s ticks of SQL jobs succeeded, %s counted', a, b) FROM (SELECT
            (SELECT count(*) FROM chancy.jobs WHERE meta -> 'cron' ->> 'key' = 'sql' AND state = 'succeeded') a, (SELECT count(*) FROM counted WHERE what = 'tick') b) x WHERE a <> b
    UNION ALL SELECT format('the group %s is lost', n) FROM acknowledged_group WHERE NOT EXISTS (SELECT FROM chancy.workflows w WHERE w.name = 'group ' || n)
    UNION ALL SELECT format('%s %s: %s parts and %s last jobs succeeded, %s of them too early', w.name, w.state, parts, wholes, early) FROM chancy.workflows w, LATERAL (
            SELECT count(*) FILTER (WHERE j.func = 'part') AS parts, count(*) FILTER (WHERE j.func = 'whole') AS wholes,
                count(*) FILTER (WHERE j.func = 'whole' AND j.started_at < (SELECT max(p.completed_at) FROM chancy.jobs p WHERE p.func = 'part' AND p.meta ->> 'workflow_id' = w.id::text)) AS early
            FROM chancy.jobs j WHERE j.meta ->> 'workflow_id' = w.id::text AND j.state = 'succeeded') x
        WHERE w.state <> 'completed' OR parts <> 5 OR wholes <> 1 OR early <> 0
    LIMIT 20")
[ -z "$wrong" ] || fail "$wrong"
[ "$(sql 'SELECT (SELECT count(*) FROM acknowledged_sql) > 10 AND (SELECT count(*) FROM acknowledged_group) > 10')" = t ] || fail 'hardly anything was pushed'
sql "SELECT format('%s SQL jobs and %s ticks counted, %s groups', count(*) FILTER (WHERE what = 'job'), count(*) FILTER (WHERE what = 'tick'), (SELECT count(*) FROM chancy.workflows)) FROM counted"
