# Every object of the extension is commented, every function bound to its names and nobody's but the owner's until
# granted: each row that the query gives is a complaint.
set -euo pipefail
cd "$(dirname "$0")"
createdb catalog_test
complaints=$(psql -XqAt -v ON_ERROR_STOP=1 -d catalog_test -c 'CREATE EXTENSION chancy' -f catalog.sql)
[ -z "$complaints" ] || { echo "$complaints" && exit 1; }
