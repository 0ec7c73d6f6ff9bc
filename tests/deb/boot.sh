#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Makes the folder $R the root of the namespaces that we are in, and systemd their PID 1.
set -eu
mount --make-rprivate /
mount --bind "$R" "$R"
# Nothing that it sets may count outside: kernel settings are read-only, devices are nodes of
# our own, as systemd changes their owners and modes.
mount -t proc proc "$R/proc"
mount --bind "$R/proc/sys" "$R/proc/sys"
mount -o remount,bind,ro "$R/proc/sys"
mount -t sysfs -o ro sysfs "$R/sys"
mount -t cgroup2 cgroup2 "$R/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$R/run"
mount -t tmpfs -o mode=755 tmpfs "$R/dev"
mkdir "$R/dev/net" "$R/dev/shm" "$R/dev/pts"
while read -r node major minor; do
    mknod -m 666 "$R/dev/$node" c "$major" "$minor"
done <<END
null 1 3
zero 1 5
full 1 7
random 1 8
urandom 1 9
tty 5 0
console 1 3
net/tun 10 200
END
mount -t tmpfs -o mode=1777 tmpfs "$R/dev/shm"
mount -t devpts -o newinstance,ptmxmode=666 devpts "$R/dev/pts"
ln -s pts/ptmx "$R/dev/ptmx"
cd "$R"
mkdir -p mnt/before
pivot_root . mnt/before
cd /
umount -l /mnt/before
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --log-target=journal \
    --show-status=0
