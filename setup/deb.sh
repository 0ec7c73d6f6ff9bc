#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Builds the Debian packages into build/deb/, from the files that git knows, as they are now.
#
#   setup/deb.sh
#
# A copy of the tree is built, so that nothing appears beside the tree itself; the driver
# headers and libopenvswitch of build/ are used, which setup/ has put there.
set -eu
cd "$(dirname "$0")/.."
version=$(dpkg-parsechangelog -S Version)
out=$PWD/build/deb
tree=$out/highway-$version
log=$out/build.log

if [ "$version" != "$(sed -n "s/^ *version: '\(.*\)',/\1/p" meson.build)" ]; then
    echo "run: debian/changelog has version $version, meson.build another: make them the same" >&2
    exit 1
fi
rm -rf "$tree" "$out/dbgsym" "$out"/*.deb "$out"/*.buildinfo "$out"/*.changes
mkdir -p "$tree/build"
git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -P -t "$tree"
ln -s "$PWD/build/openvswitch" "$PWD/build/dpdk-driver-headers" "$tree/build/"
if ! (cd "$tree" && dpkg-buildpackage -b -us -uc) >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "run: the packages do not build: see $log" >&2
    exit 1
fi
rm -rf "$tree"
# Out of the way of whoever types *.deb.
mkdir -p "$out/dbgsym"
mv "$out"/*-dbgsym_*.deb "$out/dbgsym/"
for package in "$out"/*.deb; do
    echo "run: $package"
done
