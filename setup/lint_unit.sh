#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Is highwayd.service well-formed, and as confined as highwayd(8) says?
set -u
cd "$(dirname "$0")/.."
unit=build/lint/unit/highwayd.service
rm -rf build/lint/unit
mkdir -p build/lint/unit
# A program and manuals that are not installed are no fault of the unit.
sed -e 's,^ExecStart=[^ ]*,ExecStart=/bin/true,' -e '/^Documentation=/d' debian/highway.highwayd.service >$unit
complaints=$(systemd-analyze verify --man=no "$PWD/$unit" 2>&1 | grep highwayd.service)
if [ -n "$complaints" ]; then
    echo "$complaints"
    exit 1
fi
score=$(systemd-analyze security --offline=true --no-pager "$PWD/$unit" | sed -n 's/.*exposure level for [^:]*: \([0-9.]*\).*/\1/p')
said=$(sed -n 's/^\.\\" security score: //p' docs/man/highwayd.8)
if [ -z "$score" ] || [ "$score" != "$said" ] || ! grep -q "^Its exposure level is $said" docs/man/highwayd.8; then
    echo "systemd-analyze security gives ${score:-nothing}, docs/man/highwayd.8 says ${said:-nothing}"
    exit 1
fi
