#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# What tests/deb/check.py runs in the small Debian with the packages installed, as root of a
# PID, mount and network namespace: everything that is started here ends with it.  Prints
# 'ok' and 'FAIL' lines.
set -u
failed=0

ok() { # WHAT STATUS LOG...
    what=$1 status=$2
    shift 2
    if [ "$status" = 0 ]; then
        echo "ok    $what"
    else
        echo "FAIL  $what"
        tail -n 25 "$@" 2>/dev/null
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

vnf() { # NAME PROGRAM-AND-ARGUMENTS...: a DPDK application; no -d
    name=$1 program=$2
    shift 2
    "$program" --lcores 0@0,1@0 --no-huge -m 128 --no-pci --no-telemetry --file-prefix "$name" "$@"
}

ip link set lo up
update-alternatives --set ovs-vswitchd /usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk
mkdir -p /run/openvswitch
log=/var/log/openvswitch
ovsdb-tool create /tmp/conf.db /usr/share/openvswitch/vswitch.ovsschema
ovsdb-server /tmp/conf.db --remote=punix:/run/openvswitch/db.sock --pidfile --detach --log-file 2>/tmp/ovsdb.log
ovs-vsctl --no-wait -- init -- set Open_vSwitch . other_config:dpdk-init=true other_config:hw-offload=true \
    other_config:dpdk-extra="--no-huge -m 512 --legacy-mem --no-pci --no-telemetry" other_config:pmd-cpu-mask=0x1 \
    other_config:pmd-maxsleep=50
ovs-vswitchd --pidfile --detach --log-file 2>/tmp/vswitchd.log
ok 'ovs-vswitchd starts with the driver in its plug-in folder' $? $log/ovs-vswitchd.log

ovs-vsctl --timeout=60 add-br br0 -- set Bridge br0 datapath_type=netdev fail_mode=secure
for n in 1 2; do
    ovs-vsctl --timeout=60 add-port br0 p$n -- set Interface p$n type=dpdk ofport_request=$n \
        options:dpdk-devargs="net_highway$n,domain=green,port=p$n,role=host,idle=yield"
done
ovs-ofctl add-flow br0 in_port=1,actions=output:2
ovs-ofctl add-flow br0 in_port=2,actions=output:1
test "$(ovs-vsctl get Interface p1 error) $(ovs-vsctl get Interface p2 error)" = '[] []'
ok 'Open vSwitch finds the driver without -d' $? $log/ovs-vswitchd.log

# The unit's own command line, as systemd reads it.
. /etc/default/highwayd
line=$(sed -n 's/^ExecStart=//p' /lib/systemd/system/highwayd.service | sed 's/%%/%/g')
export HIGHWAYD_OPTS
sh -c "exec $line" >/tmp/highwayd.log 2>&1 &
agent=$!
within 60 says ' live ' highwayctl bridges
ok 'highwayd from the package follows the bridge' $? /tmp/highwayd.log /tmp/within.log

vnf both highway-traffic --vdev net_highway0,domain=green,port=p1,idle=yield \
    --vdev net_highway1,domain=green,port=p2,idle=yield -- --mode gensink --tx-port 0 --rx-port 1 --rate 50k \
    --duration 15 --timestamps off --idle yield --expect-clean --mbufs 4096 >/tmp/traffic.log 2>&1 &
traffic=$!
within 60 says 'bypasses the switch with all its packets' highwayctl explain p1
ok 'packets bypass the switch, and highwayctl explains it' $? /tmp/traffic.log /tmp/within.log /tmp/highwayd.log
wait $traffic
ok 'highway-traffic finds the driver without -d, and lost nothing' $? /tmp/traffic.log

ovs-vsctl set Open_vSwitch . external_ids:highway-bypass=off
within 20 says "the operator's word" highwayctl explain p1
ok 'the operator keeps all at the switch' $? /tmp/within.log
ovs-vsctl remove Open_vSwitch . external_ids highway-bypass
ovs-vsctl --timeout=60 add-port br0 vhost1 -- set Interface vhost1 type=dpdkvhostuserclient ofport_request=3 \
    options:vhost-server-path=/run/openvswitch/vhost1.sock
ovs-ofctl add-flow br0 in_port=1,actions=output:3
test "$(ovs-vsctl get Interface vhost1 error)" = '[]' && within 20 says 'vhost1' highwayctl explain p1
ok 'a vhost-user port beside it takes what rules send there, by the switch' $? /tmp/within.log
ovs-vsctl --timeout=60 del-port br0 vhost1

echo quit | vnf pmd dpdk-testpmd --vdev net_highway0,domain=green,port=p1 -- -i --no-mlockall \
    --total-num-mbufs=2048 >/tmp/testpmd.log 2>&1
says 'Bye' cat /tmp/testpmd.log && ! says 'Driver cannot be found' cat /tmp/testpmd.log
ok 'testpmd finds the driver without -d' $? /tmp/testpmd.log

plugin=$(echo /usr/lib/*/dpdk/pmds-*/librte_net_highway.so)
vnf same highway-traffic -d "$plugin" --vdev net_ring0 -- --count 1000 >/tmp/same.log 2>&1
ok 'naming the same file with -d as well does no harm' $? /tmp/same.log
mkdir -p /opt/old
cp "$plugin" /opt/old/
vnf copy highway-traffic -d /opt/old/librte_net_highway.so --vdev net_highway0,domain=green,port=p1 -- \
    --mode gen --count 1000 >/tmp/copy.log 2>&1
echo "      another copy of the driver with -d: status $?, $(grep -v '^EAL: ' /tmp/copy.log | tail -n 1)"
rm -r /opt/old

bash -c '. /usr/share/bash-completion/completions/highwayctl && complete -p highwayctl' >/tmp/bash.log 2>&1
ok 'bash completes highwayctl' $? /tmp/bash.log

kill $agent
wait $agent
within 20 says 'p1 ' highwayctl show ports
ovs-appctl -t ovs-vswitchd exit --cleanup
ovs-appctl -t ovsdb-server exit
within 20 test ! -e /run/openvswitch/highwayd.pid
ok 'highwayd ends in good order' $? /tmp/highwayd.log
update-alternatives --auto ovs-vswitchd
rm -rf $log/* /tmp/*
exit $failed
