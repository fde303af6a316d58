#!/usr/bin/env bash
# fetch-stores.sh OUT_DIR PACKAGE...
#
# Unpacks Debian packages, and what they need that this machine has not, into OUT_DIR, with a starter for each program in
# OUT_DIR/bin. Nothing is installed, no service is started, and root is not needed.
set -euo pipefail

out=${1:?usage: fetch-stores.sh OUT_DIR PACKAGE ...}
shift
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || { echo "this is no Debian machine" >&2; exit 1; }
mkdir -p "$out"; out=$(realpath "$out")
exec 9>"$out/.lock"
flock 9
work=$(mktemp -d "$out/.work-XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/archives/partial" "$work/root"

# Package lists of our own: the machine's may be missing or old, and only root may renew them.
apt() {
  apt-get -qq -o Dir::State::Lists="$work/lists" -o Dir::Cache="$work" -o Dir::Cache::archives="$work/archives" \
    -o APT::Sandbox::User="$(id -un)" -o Debug::NoLocking=true -o Acquire::Retries=3 "$@"
}
apt update >&2
# The compiler of queries (LLVM, 120 MB) is not used for one row.
mapfile -t packages < <(apt install --simulate --reinstall --no-install-recommends "$@" | awk '/^Inst / && $2 !~ /^libllvm/ { print $2 }')
(cd "$work/archives" && apt download "${packages[@]}" >&2)
for deb in "$work"/archives/*.deb; do dpkg-deb -x "$deb" "$work/root"; done

rm -rf "$out/root" "$out/bin"
mv "$work/root" "$out/root"
mkdir "$out/.bin"
libraries=$(find "$out/root/lib" "$out/root/usr/lib" -name '*.so.*' -printf '%h\n' 2>/dev/null | sort -u | paste -sd:)
for program in "$out"/root/usr/lib/postgresql/*/bin/{initdb,postgres,psql} "$out"/root/usr/bin/redis-{server,cli}; do
  [ -e "$program" ] || continue
  printf '#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s "$@"\n' "$libraries" "$program" > "$out/.bin/${program##*/}"
done
chmod -R a+rX,u+w "$out/root"
chmod 755 "$out"/.bin/* "$out/.bin" "$out"
mv "$out/.bin" "$out/bin"
