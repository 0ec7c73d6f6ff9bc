#!/bin/sh
# Puts DPDK's driver headers, which Debian's libdpdk-dev leaves out, into
# build/dpdk-driver-headers, taken from Debian's source package of exactly the
# installed version.  The system's apt sources are read, never changed.
#
#   setup/driver-headers.sh [DPDK-SOURCE-TREE]
#
# Nothing is fetched when the installed DPDK brings the headers itself
# (-Denable_driver_sdk=true) or when a source tree is named.
set -eu
cd "$(dirname "$0")/.."
headers='lib/ethdev/ethdev_driver.h lib/ethdev/ethdev_vdev.h lib/ethdev/ethdev_pci.h
lib/ethdev/rte_flow_driver.h lib/eal/include/dev_driver.h lib/eal/include/bus_driver.h
drivers/bus/vdev/bus_vdev_driver.h drivers/bus/pci/bus_pci_driver.h'
out=build/dpdk-driver-headers
version=$(dpkg-query -W -f '${source:Version}' libdpdk-dev 2>/dev/null || pkg-config --modversion libdpdk)
stamp="$version ${1:-}"
[ "$(cat $out/.version 2>/dev/null || :)" != "$stamp" ] || exit 0

take() { # SOURCE-TREE
    rm -rf $out
    mkdir -p $out
    for header in $headers; do
        if [ -e "$1/$header" ]; then
            cp "$1/$header" $out/
        fi
    done
    if [ ! -e $out/ethdev_driver.h ]; then
        echo "run: $1 holds no lib/ethdev/ethdev_driver.h: name a DPDK source tree" >&2
        exit 1
    fi
    echo "$stamp" >$out/.version
}

if [ -n "${1:-}" ]; then
    take "$1"
    exit 0
fi
for flag in $(pkg-config --cflags-only-I libdpdk); do
    if [ -e "${flag#-I}/ethdev_driver.h" ]; then
        rm -rf $out
        mkdir -p $out
        echo "$stamp" >$out/.version
        exit 0
    fi
done

apt=$PWD/build/apt
mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/source"
# One deb-src line per Debian archive that the system's own configuration names.
apt-get indextargets --format '$(SIGNED_BY)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(ORIGIN)' 'Created-By: Packages' |
    sort -u | while IFS='|' read -r key uri release component origin; do
    [ "$origin" = Debian ] || continue
    case $key in /*) key="[signed-by=$key] " ;; *) key= ;; esac
    echo "deb-src $key$uri $release $component"
done >"$apt/sources.list"
private() {
    apt-get -q -o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts=- \
        -o Dir::State::lists="$apt/lists" -o Dir::Cache="$apt/cache" \
        -o APT::Sandbox::User=root "$@"
}
echo "run: fetching the driver headers of dpdk $version from Debian's source package"
if ! { private update && cd "$apt/source" && private source --download-only "dpdk=$version"; } >build/apt.log 2>&1; then
    tail -n 5 build/apt.log >&2 || :
    echo "run: Debian's source package dpdk=$version cannot be had: set DPDK_SOURCE to a DPDK source tree of that version" >&2
    exit 1
fi
cd "$OLDPWD"
tarball=$(ls "$apt"/source/dpdk_*.orig.tar.*z | head -n 1)
rm -rf "$apt/tree"
mkdir -p "$apt/tree"
tar -C "$apt/tree" --strip-components=1 --wildcards -xf "$tarball" '*/lib/ethdev' '*/lib/eal/include' '*/drivers/bus/vdev' '*/drivers/bus/pci'
take "$apt/tree"
rm -rf "$apt"
