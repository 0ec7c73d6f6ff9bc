#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# What tests/deb/check.py runs where a real systemd is PID 1 and Open vSwitch is its service:
# docs/howto.md, as it is typed.  Prints 'ok' and 'FAIL' lines.
set -u
failed=0

ok() { # WHAT STATUS
    if [ "$2" = 0 ]; then
        echo "ok    $1"
    else
        echo "FAIL  $1"
        systemctl status highwayd --no-pager -l | tail -n 20
        tail -n 10 /tmp/within.log /tmp/traffic.log 2>/dev/null
        failed=1
    fi
}

within() { # SECONDS COMMAND...: until the command succeeds
    end=$(($(date +%s) + $1))
    shift
    until "$@" >/tmp/within.log 2>&1; do
        [ "$(date +%s)" -lt "$end" ] || return 1
        sleep 0.2
    done
}

says() { # WORDS COMMAND...: does its output hold the words?
    wanted=$1
    shift
    "$@" 2>&1 | grep -q -e "$wanted"
}

active() {
    [ "$(systemctl is-active highwayd)" = active ]
}

restarted() { # FORMER-PID
    active && [ "$(systemctl show -P MainPID highwayd)" != "$1" ]
}

within 60 active
ok 'systemd starts highwayd with Open vSwitch, in its sandbox, and is told that it is ready' $?
says 'Follows the database' systemctl show -P StatusText highwayd
ok 'its status says what it does' $?

update-alternatives --set ovs-vswitchd /usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk >/dev/null
ovs-vsctl set Open_vSwitch . other_config:dpdk-init=true other_config:hw-offload=true \
    other_config:dpdk-extra="--no-huge -m 512 --legacy-mem --no-pci" other_config:pmd-maxsleep=50
pid=$(systemctl show -P MainPID highwayd)
systemctl restart openvswitch-switch
within 60 says true ovs-vsctl get Open_vSwitch . dpdk_initialized && active &&
    [ "$(systemctl show -P MainPID highwayd)" = "$pid" ]
ok 'a restart of Open vSwitch does not restart it' $?

ovs-vsctl --timeout=60 add-br br0 -- set Bridge br0 datapath_type=netdev fail_mode=secure
for n in 1 2; do
    ovs-vsctl --timeout=60 add-port br0 p$n -- set Interface p$n type=dpdk \
        options:dpdk-devargs="net_highway$n,domain=green,port=p$n,role=host,idle=yield"
done
ovs-ofctl add-flow br0 in_port=p1,actions=output:p2
ovs-ofctl add-flow br0 in_port=p2,actions=output:p1
highway-traffic --lcores 0@0,1@0 --no-huge -m 128 --no-pci --file-prefix both \
    --vdev net_highway0,domain=green,port=p1,idle=yield --vdev net_highway1,domain=green,port=p2,idle=yield -- \
    --mode gensink --tx-port 0 --rx-port 1 --rate 20k --duration 15 --timestamps off --idle yield --expect-clean \
    --mbufs 4096 >/tmp/traffic.log 2>&1 &
traffic=$!
within 60 says 'bypasses the switch with all its packets' highwayctl explain p1
ok 'it permits and proves from its sandbox' $?
wait $traffic
ok 'and no packet is lost' $?

pid=$(systemctl show -P MainPID highwayd)
kill -STOP "$pid"
within 60 restarted "$pid" && within 20 says 'watchdog' journalctl -u highwayd --no-pager
ok 'one that hangs is killed by the watchdog, and started again' $?

ovs-vsctl --timeout=60 del-port br0 p1 -- del-port br0 p2
dpkg --purge highway-traffic highway librte-net-highway >/tmp/within.log 2>&1
! active && [ ! -e /run/highway ] && ! pgrep highwayd >/dev/null
ok 'purged it is stopped' $?
exit $failed
