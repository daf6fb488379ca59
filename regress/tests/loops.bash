# For tests with a server of their own that goes away and comes back beside loops of clients: sourced after scripts/lib.sh.
# At the end, however it comes, loops and server are gone; after a failure the server's log is shown.
loops=()
trap 'finish_test $?' EXIT
finish_test() {
    [ "$1" = 0 ] || { echo "the server's log:" && tail -40 "$PGHOST/log"; }
    [ ${#loops[@]} = 0 ] || kill "${loops[@]}" 2>/dev/null || true
    server_stop
    wait
}
sql() { psql -XqAt -v ON_ERROR_STOP=1 -c "$1"; }
fail() { echo "$*" && exit 1; }
# eventually QUERY [QUERY]: until it is true; the server may be away meanwhile. The second one tells what there is instead.
eventually() {
    local tries=900
    until [ "$(sql "$1" 2>/dev/null)" = t ]; do
        [ $((tries -= 1)) -gt 0 ] || fail "this does not become true: $1: $(sql "${2:-SELECT 1}" 2>&1)"
        sleep 0.1
    done
}
