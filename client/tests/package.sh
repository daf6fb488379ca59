#!/usr/bin/env bash
# package.sh BUILD WORK: what can be said of the packages without building them. META.json, debian/ and the library are of the
# version that chancy.control says; debian/*.install names files that are installed, and all of them; systemd takes the unit.
set -euo pipefail
build=$1 work=$2
cd "$(dirname "$0")/../.."
rm -rf "$work"
mkdir -p "$work/tree"

version=$(sed -n "s/^default_version = '\(.*\)'/\1/p" chancy.control)
python3 - "$version" <<'END'
import json, os, re, sys
control = dict(re.findall(r"^(\w+) = '?(.*?)'?$", open("chancy.control").read(), re.M))
meta = json.load(open("META.json"))
for key in ("name", "version", "abstract", "maintainer", "license", "provides", "meta-spec"):
    assert meta.get(key), f"META.json lacks {key}, which PGXN requires"
# PGXN wants three numbers.
version = sys.argv[1] + ".0"
provided = meta["provides"]["chancy"]
assert meta["version"] == provided["version"] == version, f"META.json is not of version {version}"
assert meta["abstract"].lower() == control["comment"].lower(), "META.json's abstract is not chancy.control's comment"
for key in ("file", "docfile"):
    assert os.path.isfile(provided[key]), f"META.json: there is no {provided[key]}"
oldest = re.search(r"^PostgreSQL (\d+) to \d+;", open("README.md").read(), re.M).group(1)
assert meta["prereqs"]["runtime"]["requires"]["PostgreSQL"] == oldest + ".0.0", f"META.json does not ask for PostgreSQL {oldest}"
assert open("debian/pgversions").read().strip() == oldest + "+", f"debian/pgversions does not say {oldest}+"
END
packaged=$(sed -n '1s/^chancy (\([^-)]*\).*/\1/p' debian/changelog)
[ "$packaged" = "$version" ] || { echo "debian/changelog is of $packaged, chancy.control of $version" && exit 1; }

# The install step, as debian/rules has it, with files that are empty where compiling would take minutes.
cmake -S client -B "$work/build" -DBUILD_SHARED_LIBS=ON -DBUILD_TESTING=OFF -DCMAKE_SKIP_RPATH=ON -DCMAKE_INSTALL_PREFIX=/usr \
    -DCMAKE_INSTALL_LIBDIR=lib/x86_64-linux-gnu >/dev/null
touch "$work/build/libchancy.so.1.$version" "$work/build/chancy"
ln -s "libchancy.so.1.$version" "$work/build/libchancy.so.1"
ln -s libchancy.so.1 "$work/build/libchancy.so"
DESTDIR=$work/tree cmake --install "$work/build" >/dev/null
# What debian/rules adds.
touch "$work/tree/usr/lib/x86_64-linux-gnu/libchancy.a"
mkdir -p "$work/tree/usr/share/man/man1"
touch "$work/tree/usr/share/man/man1/chancy.1"

shopt -s nullglob
for list in debian/*.install; do
    while read -r pattern; do
        files=("$work"/tree/$pattern)
        [ ${#files[@]} -gt 0 ] || { echo "$list: nothing installs $pattern" && exit 1; }
        rm -r "${files[@]}"
    done <"$list"
done
left=$(find "$work/tree" -type f -o -type l)
[ -z "$left" ] || { echo "in no package: $left" && exit 1; }

# systemd-analyze wants a program that is there; it ends with 0 whatever key or value it does not know.
unit=$work/chancy-worker@mail.service
sed "s|^ExecStart=/usr/bin/chancy |ExecStart=$build/client/chancy |" debian/chancy@.chancy-worker.service >"$work/chancy-worker@.service"
complaints=$(systemd-analyze verify --man=no "$unit" 2>&1) || { echo "$complaints" && exit 1; }
complaints=$(grep -F chancy-worker <<<"$complaints" || true)
[ -z "$complaints" ] || { echo "$complaints" && exit 1; }
