#!/usr/bin/env bash
# install.sh BUILD WORK: installs the client into WORK/prefix, and builds and runs programs there that know it only
# by find_package, and some that know it only by pkg-config; with its component for coroutines, and without asio.
set -euo pipefail
build=$1 work=$2 here=$(cd "$(dirname "$0")" && pwd)
rm -rf "$work"
mkdir -p "$work"
cmake --install "$build" --prefix "$work/prefix" >/dev/null

cmake -S "$here/consumer" -B "$work/build" -DCMAKE_PREFIX_PATH="$work/prefix" >/dev/null
cmake --build "$work/build" >/dev/null
"$work/build/consumer"
"$work/build/async"

pc=$(dirname "$(find "$work/prefix" -name chancy.pc)")
export PKG_CONFIG_PATH=$pc
# The prefix in the file is the one of the build; this test moved it.
flags=$(pkg-config --define-prefix --cflags --libs chancy)
g++ -std=c++20 "$here/consumer/main.cpp" $flags -o "$work/by-pkg-config"
LD_LIBRARY_PATH=$(dirname "$pc") "$work/by-pkg-config"
flags=$(pkg-config --define-prefix --cflags --libs chancy-async)
g++ -std=c++20 "$here/consumer/async.cpp" $flags -o "$work/async-by-pkg-config"
LD_LIBRARY_PATH=$(dirname "$pc") "$work/async-by-pkg-config"

# Without asio, all but the coroutines is there: nothing that chancy.hpp includes wants it, and the package says what it lacks.
! g++ -std=c++20 -M "$here/consumer/main.cpp" $flags | grep -q asio
without=(-DCMAKE_PREFIX_PATH="$work/prefix" -DCHANCY_ASIO_INCLUDE_DIR=CHANCY_ASIO_INCLUDE_DIR-NOTFOUND -DCMAKE_IGNORE_PATH=/usr/include)
cmake -S "$here/consumer" -B "$work/without" "${without[@]}" -DWITHOUT_ASIO=1 >/dev/null
! cmake -S "$here/consumer" -B "$work/without-but-wanted" "${without[@]}" >"$work/refused" 2>&1
grep -q async "$work/refused"

"$work/prefix/bin/chancy" --version
