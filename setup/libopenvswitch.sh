#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Builds libopenvswitch, the library under every daemon of the Open vSwitch family, from
# the source that Debian's package openvswitch-source installs, into build/openvswitch:
# once for each version of that package.
#
#   setup/libopenvswitch.sh
#
# Debian has no package of the library itself.  Static, and without what highwayd has no
# use for: it speaks to Open vSwitch by Unix sockets on the same host, so no TLS and no
# DNS resolver.  Folders are Debian's, so that highwayd finds Open vSwitch's sockets.
set -eu
cd "$(dirname "$0")/.."
source=/usr/src/openvswitch/openvswitch.tar.gz
out=build/openvswitch
log=build/openvswitch.log

fail() {
    echo "run: $1" >&2
    exit 1
}

# What is built depends on the package and on this file.
version=$(dpkg-query -W -f '${Version}' openvswitch-source 2>/dev/null) && [ -e $source ] ||
    fail "$source is missing: install Debian's package openvswitch-source"
stamp="$version $(cksum <"setup/libopenvswitch.sh")"
[ "$(cat $out/.version 2>/dev/null || :)" != "$stamp" ] || exit 0

echo "run: building libopenvswitch $version (about a minute)"
# A build that was interrupted goes on where it was.
if [ "$(cat $out/.unpacked 2>/dev/null || :)" != "$stamp" ]; then
    rm -rf $out
    mkdir -p $out
    tar -C $out --strip-components=1 --no-same-owner -xzf $source 2>$log ||
        fail "$source cannot be unpacked: reinstall Debian's package openvswitch-source"
    echo "$stamp" >$out/.unpacked
fi
cd $out
# The cache variables keep configure from linking libraries that it happens to find.
{
    [ -e config.status ] || ./configure --prefix=/usr --sysconfdir=/etc --localstatedir=/var \
        --enable-static --disable-shared --disable-ssl --disable-libcapng --disable-afxdp \
        ac_cv_lib_unbound_ub_ctx_create=no ac_cv_lib_unwind_unw_backtrace=no CFLAGS='-g -O2'
} >"../${log#build/}" 2>&1 || fail "libopenvswitch $version cannot be configured: see $log"
{
    make include/odp-netlink.h include/odp-netlink-macros.h lib/vswitch-idl.h lib/vswitch-idl.c \
        lib/ovsdb-server-idl.h ofproto/ipfix-entities.def lib/dirs.c &&
        make -j "$(nproc)" lib/libopenvswitch.la
} >>"../${log#build/}" 2>&1 || fail "libopenvswitch $version does not build: see $log"
cd "$OLDPWD"
# What a program has to link besides, as configure found it.
sed -n 's/^LIBS *= *//p' $out/Makefile >$out/libs
echo "$stamp" >$out/.version
