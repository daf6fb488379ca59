# What the scripts share. To be sourced by bash scripts that have set -euo pipefail.

# What the tests serve, they serve on this machine.
export no_proxy="localhost,127.0.0.1${no_proxy:+,$no_proxy}"
export NO_PROXY=$no_proxy

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=$ROOT/build

say() { printf '==> %s\n' "$*" >&2; }
die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# The comment at the top of a script is its --help.
usage() { sed -n '2,/^[^#]/ { s/^# \{0,1\}//p }' "$0"; }

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "this needs root: run it as root, or install sudo"
    fi
}

# ---- packages ------------------------------------------------------------------------------------------------

# The PostgreSQL that this distribution ships; PG_MAJOR chooses another one.
codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-unknown}")
case $codename in
    bookworm) PG_MAJOR=${PG_MAJOR:-15} ;;
    trixie) PG_MAJOR=${PG_MAJOR:-17} ;;
    forky) PG_MAJOR=${PG_MAJOR:-18} ;;
    *) [ -n "${PG_MAJOR:-}" ] || die "unknown distribution '$codename': say which PostgreSQL it has, PG_MAJOR=17 ${0##*/}" ;;
esac
export PG_MAJOR
PGBIN=/usr/lib/postgresql/$PG_MAJOR/bin
# Before Debian's wrappers, which take the newest version on the machine.
export PATH=$PGBIN:$PATH

# Every package that is needed, here and nowhere else: to build and test the extension, and for all the rest.
server_packages="postgresql-$PG_MAJOR postgresql-server-dev-$PG_MAJOR g++ make python3-croniter"
client_packages="libpq-dev cmake ninja-build pkg-config libgtest-dev nlohmann-json3-dev libcli11-dev libspdlog-dev libasio-dev libssl-dev libcpp-httplib-dev libcrypt-dev prometheus-cpp-dev prometheus spin pgbouncer python3-psycopg curl chromium chromium-driver python3-selenium systemd"
# For Chancy's own tests, where CHANCY_SRC names a checkout (regress/python/upstream).
upstream_packages="python3-psycopg python3-psycopg-pool python3-pytest python3-pytest-asyncio python3-croniter"

# install_packages NAME...: those that are missing.
install_packages() {
    local missing=() name
    for name in "$@"; do
        dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q ' installed$' || missing+=("$name")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    say "installing ${missing[*]}"
    # PostgreSQL's package would make and start a cluster of its own.
    local no_cluster=/etc/postgresql-common/createcluster.d/chancy-build.conf
    as_root mkdir -p "${no_cluster%/*}"
    echo 'create_main_cluster = false' | as_root tee "$no_cluster" >/dev/null
    local log rc=0
    log=$(mktemp)
    { as_root apt-get update -qq && as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -qq -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 </dev/null || rc=$?
    as_root rm -f "$no_cluster"
    [ $rc = 0 ] || cat "$log" >&2
    rm -f "$log"
    [ $rc = 0 ] || die "apt-get failed"
}

# ---- build ---------------------------------------------------------------------------------------------------

build_extension() {
    say "building the extension for PostgreSQL $PG_MAJOR"
    make -s -C "$ROOT" -j2 PG_CONFIG="$PGBIN/pg_config"
}

# A server before 18 looks for extensions in its own folders only, so that is where it goes.
install_extension() {
    say "installing the extension"
    as_root make -s -C "$ROOT" PG_CONFIG="$PGBIN/pg_config" install >/dev/null
}

# build_client [TARGET...]: all by default.
build_client() {
    say "building client and tests"
    cmake -S "$ROOT" -B "$BUILD" -G Ninja -DPG_MAJOR="$PG_MAJOR" >/dev/null
    cmake --build "$BUILD" ${1:+--target "$@"}
}

# ---- other Debian systems, for scripts/matrix and scripts/package ---------------------------------------------

# Where this machine gets its own Debian from.
mirror() {
    apt-get indextargets --format '$(CODENAME) $(REPO_URI)' 'Created-By: Packages' |
        awk -v suite="$codename" '$1 == suite { print $2; exit }'
}

# inside COMMAND...: with mounts and processes of its own, which go with it, however it ends. What this machine's package
# manager is told about a proxy holds there too.
inside() {
    local http_proxy=${http_proxy:-} https_proxy=${https_proxy:-}
    eval "$(apt-config shell http_proxy Acquire::http::Proxy https_proxy Acquire::https::Proxy)"
    export http_proxy https_proxy
    unshare --mount --pid --fork --kill-child --propagation private "$@"
}

# make_suite SUITE FOLDER: finished folders are renamed into place, so half a one is never taken for whole.
make_suite() {
    [ ! -d "$2" ] || return 0
    rm -rf "$2.part"
    # A suite newer than this machine's debootstrap is made like Debian's youngest.
    local script=/usr/share/debootstrap/scripts/$1
    [ -e "$script" ] || script=/usr/share/debootstrap/scripts/sid
    inside debootstrap --variant=minbase "$1" "$2.part" "$(mirror)" "$script"
    # A mirror may lag behind; testing's lists are valid for a week only.
    echo 'Acquire::Check-Valid-Until "false";' >"$2.part/etc/apt/apt.conf.d/99lagging-mirror"
    mv "$2.part" "$2"
}

# in_suite FOLDER COMMAND...: as root of that system, with the network of this one.
in_suite() {
    cp /etc/resolv.conf "$1/etc/resolv.conf"
    inside bash -c 'mount -t proc proc "$1/proc" && mount -t tmpfs tmpfs "$1/dev/shm" && exec chroot "$@"' - "$@"
}

# ---- an embedded server --------------------------------------------------------------------------------------

# A server refuses to run as root: it gets the user that its package made.
as_server() {
    if [ "$(id -u)" = 0 ]; then (cd / && runuser -u postgres -- "$@"); else "$@"; fi
}

# server_start: a fresh server in a folder of its own, with a unix socket there and no TCP; exports PG* to reach
# it. Folder, socket and log are one user's, since whoever reaches the socket is superuser. FSYNC=on for figures.
server_start() {
    unset PGHOST PGPASSWORD PGSERVICE PGSERVICEFILE PGHOSTADDR PGOPTIONS PGPASSFILE PGSSLMODE
    # Not $TMPDIR: a socket's path has 107 bytes at most, and the server's user must get there.
    PGHOST=$(mktemp -d /tmp/chancy.XXXXXX)
    export PGHOST PGPORT=5432 PGUSER=postgres PGDATABASE=postgres
    [ "$(id -u)" != 0 ] || chown postgres "$PGHOST"
    say "starting a PostgreSQL $PG_MAJOR in $PGHOST"
    as_server "$PGBIN/initdb" -D "$PGHOST/data" -U "$PGUSER" --auth=trust --encoding=UTF8 --locale=C.UTF-8 \
        --no-sync >"$PGHOST/initdb.log" 2>&1 || { cat "$PGHOST/initdb.log" >&2 && die "initdb failed"; }
    as_server tee -a "$PGHOST/data/postgresql.conf" >/dev/null <<END
listen_addresses = ''
unix_socket_directories = '$PGHOST'
fsync = ${FSYNC:-off}
deadlock_timeout = '100ms'
max_connections = 200
max_prepared_transactions = 50
track_commit_timestamp = on
log_line_prefix = '%m [%p] %a %d '
END
    as_server "$PGBIN/pg_ctl" -D "$PGHOST/data" -l "$PGHOST/log" -w -s start >&2 </dev/null ||
        { cat "$PGHOST/log" >&2 && die "the server did not start"; }
}

# Whether PGHOST names a server of ours: anybody else's is neither stopped nor removed.
server_is_ours() { [[ ${PGHOST:-} == /tmp/chancy.?????? && -d $PGHOST ]]; }

# server_stop: ends the server at PGHOST and removes its folder; the log stays in build/server.log.
server_stop() {
    server_is_ours || return 0
    if [ -f "$PGHOST/data/postmaster.pid" ]; then
        as_server "$PGBIN/pg_ctl" -D "$PGHOST/data" -m immediate -w -s stop || true
    fi
    [ ! -f "$PGHOST/log" ] || cp "$PGHOST/log" "$BUILD/server.log" || true
    rm -rf "$PGHOST"
}

# with_server COMMAND...: runs it against a fresh server, which goes whatever happens, Ctrl-C included. KEEP=1
# leaves it.
with_server() {
    child=
    trap 'finish $?' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    server_start
    # A process group of its own, so that an interrupt takes the command's children along before their server goes.
    set -m
    "$@" </dev/null &
    child=$!
    set +m
    local rc=0
    wait $child || rc=$?
    child=
    exit $rc
}

finish() {
    trap '' INT TERM HUP
    [ -z "$child" ] || stop_group "$child"
    if [ -n "${KEEP:-}" ]; then
        say "the server goes on: export PGHOST=$PGHOST PGUSER=postgres; to end it: PGHOST=$PGHOST scripts/pg stop"
    else
        server_stop
    fi
    exit "$1"
}

# stop_group PID: SIGTERM to its group, ten seconds to end, then SIGKILL.
stop_group() {
    kill -TERM -- "-$1" 2>/dev/null || return 0
    local tries=100
    while kill -0 -- "-$1" 2>/dev/null && [ $((tries -= 1)) -gt 0 ]; do sleep 0.1; done
    kill -KILL -- "-$1" 2>/dev/null || true
}
