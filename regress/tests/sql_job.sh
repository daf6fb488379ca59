# SQL jobs in the background, in a server of its own that has chancy in shared_preload_libraries: they run as who pushed them, several at
# once; one is cancelled; and after a crash what was not committed runs again, and counts once.
set -euo pipefail
. "$(dirname "$0")/../../scripts/lib.sh"

trap 'finish_test $?' EXIT
finish_test() {
    [ "$1" = 0 ] || { echo "the server's log:" && tail -60 "$PGHOST/log"; }
    server_stop
}
control() { as_server "$PGBIN/pg_ctl" -D "$PGHOST/data" -l "$PGHOST/log" -w -s "$@" </dev/null >/dev/null; }
sql() { psql -XqAt -v ON_ERROR_STOP=1 -d one -c "$1"; }
eventually() {
    local tries=600
    until [ "$(sql "$1" 2>/dev/null)" = t ]; do
        [ $((tries -= 1)) -gt 0 ] || { echo "this does not become true: $1" && exit 1; }
        sleep 0.05
    done
}

server_start >/dev/null 2>&1
as_server tee -a "$PGHOST/data/postgresql.conf" >/dev/null <<'X'
shared_preload_libraries = 'chancy'
chancy.maintenance_interval = 1
X
control restart
psql -Xq -d postgres -c 'CREATE DATABASE one' -c 'CREATE ROLE sql_job_user'
psql -Xq -v ON_ERROR_STOP=1 -d one >/dev/null <<'X'
CREATE EXTENSION chancy;
SELECT chancy.declare_queue('sql'), chancy.grant_producer('sql_job_user'), chancy.set_task('recovery', '1 s', settings => '{"grace": 1}');
CREATE TABLE done (who text, what text);
CREATE TABLE gate (n int PRIMARY KEY);
INSERT INTO gate VALUES (1), (2), (3);
GRANT ALL ON done, gate TO sql_job_user;
CREATE FUNCTION pass(n int) RETURNS void LANGUAGE sql AS $$
    INSERT INTO public.done VALUES (current_user, 'pass ' || n); UPDATE public.gate SET n = n WHERE gate.n = pass.n $$;
X

# Nobody calls anything.
psql -Xq -d one -c 'SET ROLE sql_job_user' -c "SELECT chancy.push_sql('pass(int)', '[1]')" >/dev/null
eventually "SELECT state = 'succeeded' AND taken_by LIKE 'sql/%' FROM chancy.jobs"
[ "$(sql 'SELECT who FROM done')" = sql_job_user ]

# Two at once, held at the gate; one is cancelled while it runs, and has done nothing.
psql -Xq -d one -c 'BEGIN' -c 'SELECT FROM gate FOR UPDATE' -c 'SELECT pg_sleep(3600)' -c COMMIT >/dev/null 2>&1 &
holder=$!
eventually "SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(3600)%' AND state = 'active' AND pid <> pg_backend_pid()"
psql -Xq -d one -c 'SET ROLE sql_job_user' -c "SELECT chancy.push_sql('pass(int)', '[2]')" -c "SELECT chancy.push_sql('pass(int)', '[3]')" >/dev/null
eventually "SELECT count(*) = 2 FROM chancy.jobs WHERE state = 'running'"
sql "SELECT chancy.cancel_job((SELECT job_id FROM chancy.sql_jobs WHERE args = '[2]'))" >/dev/null
eventually "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'chancy sql'"
[ "$(sql "SELECT state FROM chancy.jobs JOIN chancy.sql_jobs ON job_id = id WHERE args = '[2]'")" = failed ]

# A crash in the middle of the other one: it runs again, and what it does is there once.
control -m immediate restart
wait "$holder" || true
eventually "SELECT state = 'succeeded' FROM chancy.jobs JOIN chancy.sql_jobs ON job_id = id WHERE args = '[3]'"
[ "$(sql "SELECT string_agg(what, ',' ORDER BY what) FROM done")" = 'pass 1,pass 3' ]

# Again and again.
sql "SELECT chancy.push_sql('pass(int)', '[1]', every => '1 s')" >/dev/null
eventually "SELECT count(*) >= 3 FROM done WHERE who <> 'sql_job_user'"

# By cron.
sql "SELECT chancy.schedule_cron('each second', '* * * * * *', '{\"function\": \"pass(int)\", \"args\": [2]}', missed => 'skip')" >/dev/null
eventually "SELECT count(*) >= 2 FROM chancy.list_sql_jobs() WHERE args = '[2]' AND state = 'succeeded'"
