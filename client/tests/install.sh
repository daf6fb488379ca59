#!/usr/bin/env bash
# install.sh BUILD WORK: installs the client into WORK/prefix, and builds and runs a program there that knows it only
# by find_package, and one that knows it only by pkg-config.
set -euo pipefail
build=$1 work=$2 here=$(cd "$(dirname "$0")" && pwd)
rm -rf "$work"
mkdir -p "$work"
cmake --install "$build" --prefix "$work/prefix" >/dev/null

cmake -S "$here/consumer" -B "$work/build" -DCMAKE_PREFIX_PATH="$work/prefix" >/dev/null
cmake --build "$work/build" >/dev/null
"$work/build/consumer"

pc=$(dirname "$(find "$work/prefix" -name chancy.pc)")
export PKG_CONFIG_PATH=$pc
# The prefix in the file is the one of the build; this test moved it.
flags=$(pkg-config --define-prefix --cflags --libs chancy)
g++ -std=c++20 "$here/consumer/main.cpp" $flags -o "$work/by-pkg-config"
LD_LIBRARY_PATH=$(dirname "$pc") "$work/by-pkg-config"

"$work/prefix/bin/chancy" --version
