# Thousands of random cron expressions and instants: next_runs() against Debian's croniter.
set -euo pipefail
cd "$(dirname "$0")"
database=cron_oracle
trap 'dropdb --if-exists "$database"' EXIT
dropdb --if-exists "$database" 2>/dev/null
createdb "$database"
psql -Xq -d "$database" -c 'CREATE EXTENSION chancy'
# Debian's interpreter: its package of croniter is the oracle.
PGDATABASE=$database /usr/bin/python3 cron_oracle.py "${CRON_CASES:-4000}" "${CRON_SEED:-1}"
