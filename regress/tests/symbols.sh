# The shared object needs no C++ runtime and shows nothing but what the server and SQL call.
set -euo pipefail
cd "$(dirname "$0")/../.."
rc=0

# The linker would accept these and the server fail on loading, or worse: an exception that nobody catches.
needed=$(nm -uC chancy.so | grep -E 'operator (new|delete)|std::|__cxa_|__gxx_|_Unwind_' | grep -v __cxa_finalize) &&
    { echo "chancy.so needs the C++ runtime:" && echo "$needed" && rc=1; }

# A function that SQL calls has a pg_finfo_ beside it and its name in a script.
while read -r symbol; do
    case $symbol in
        Pg_magic_func | _PG_init | _PG_fini) continue ;;
        # What the server starts as a background worker.
        *_main) grep -qrw "\"$symbol\"" extension || { echo "chancy.so shows $symbol, which nothing starts" && rc=1; } && continue ;;
        pg_finfo_*) function=${symbol#pg_finfo_} ;;
        *) function=$symbol ;;
    esac
    grep -qrw "'$function'" sql || { echo "chancy.so shows $symbol, which no SQL calls" && rc=1; }
done < <(nm -D --defined-only --format=just-symbols chancy.so)
exit $rc
