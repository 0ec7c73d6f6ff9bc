# SPDX-License-Identifier: BSD-3-Clause
"""Chains of VNFs, the same for every variant: N processes of highway-traffic.

    inside   the first and the last VNF are source and sink, both ways (papers, Fig. 6a)
    outside  N forwarding VNFs; traffic enters and leaves by two more DPDK ports of the
             switch, at which a generator sits (papers, Fig. 6b, with memif for the NICs)

A chain grows VNF by VNF while the switch runs.  What differs between variants is how a
VNF's two ports are connected: the classes here.
"""

import json
import os
import time
from contextlib import contextmanager

from lab import LabError, Ovs, ProcessDied, run, wait_until
from lab.highwayd import Highwayd
from tests.system.region import Region

from .rig import MTU, cpu_time, report, reset

SWITCH_CPU, VNF_CPU = 1, 0
BRIDGE = "br0"
OVS_MB, VNF_MB = 512, 64
STAMP = 64
"""Every how many packets one carries a time stamp."""
RXD = 1024
ALL = 2**64 - 1  # HWY_CLASS_ALL
SLEEP = {"pmd-maxsleep": "500"}
"""Microseconds at most, of each look that finds nothing."""


class Chain:
    """One chain through Open vSwitch; use start(), grow(), ..., stop()."""

    hw_offload = False
    spread = False
    queues = 1
    huge_only = False

    def __init__(self, rig, scenario="inside", size=64):
        self.rig, self.scenario, self.size = rig, scenario, size
        self.ovs = None
        self.vnfs = []  # in the order of the chain
        self.outside = None  # the generator at the switch's own ports
        self._ofports = {}

    # -- what a variant says ------------------------------------------------

    def plug(self, port):
        """Adds 'port' to the switch: (interface type, keyword options)."""
        raise NotImplementedError

    def device(self, port, number):
        """Devargs of the VNF's end of 'port'."""
        raise NotImplementedError

    other_config = {}

    # -- life ---------------------------------------------------------------

    def start(self):
        self.turn = self.rig.turn()
        self.ovs = Ovs(self.rig.lab, f"ovs{self.turn}", plugin=self.rig.plugin, cpus=str(VNF_CPU),
                       pmd_cpus=str(SWITCH_CPU), huge=self.rig.huge, memory_mb=OVS_MB, hw_offload=self.hw_offload,
                       extra_other_config=self.other_config)
        self.ovs.add_bridge(BRIDGE)
        if self.scenario == "outside":
            self._start_outside()
        return self

    def stop(self):
        self.rig.hurry(self.processes(), False)
        for process in [*self.vnfs, self.outside]:
            if process:
                _end(process)
        if self.ovs:
            self.ovs.stop()

    def _start_outside(self):
        """The generator and the switch's two ports for it: memif, its client zero-copy.
        Two queues, as the switch's PMD thread always sends on the second one (its main
        thread has the first), and a memif has as many as its client asks for."""
        vdevs, ports = [], {}
        for number, port in enumerate(("nic0", "nic1")):
            socket = self.rig.lab.rundir / f"{port}-{self.turn}.sock"
            ports[port] = "dpdk", {"dpdk-devargs": _memif(self.rig.turn(), "server", socket), "n_rxq": 2}
            vdevs.append(_memif(number, "client", socket))
        self._add(ports)
        self.outside = self.rig.traffic(f"{self.name}-outside", "gensink", vdevs, (VNF_CPU,), hold=True, bidir=True,
                                        timestamps=STAMP, memory_mb=VNF_MB, rxd=RXD, txd=RXD, queues=2, flows=2, drain=0, size=self.size).start()
        self.outside.expect("ready", 30)

    def _add(self, ports):
        """Adds {name: (type, options)} to the switch, in one transaction."""
        words = []
        for port, (kind, options) in ports.items():
            self._ofports[port] = number = len(self._ofports) + 1
            words += ["--", "add-port", BRIDGE, port, "--", "set", "Interface", port, f"type={kind}",
                      f"ofport_request={number}", f"mtu_request={MTU}"]
            words += [f"options:{key}={json.dumps(str(value))}" for key, value in options.items()]
        if words:
            self.ovs.vsctl(*words[1:], deadline_s=60)
        for port in ports:
            row = self.ovs.interface(port)
            if row["error"] or row["ofport"] != self._ofports[port]:
                raise LabError(f"port {port}: {row['error'] or row['ofport']}")

    # -- growing ------------------------------------------------------------

    def ports(self, index):
        """Names of VNF number 'index''s ports, west and east."""
        return f"v{index}w", f"v{index}e"

    def grow(self, length):
        """Makes it a chain of 'length' VNFs, adding to the one before."""
        inside = self.scenario == "inside"
        made = []
        if inside and not self.vnfs:
            for name in ("first", "last"):
                made.append(self._make(name, "gensink", (name,), tx_port=0, rx_port=0, hold=True, timestamps=STAMP,
                                       drain=0, id=len(made), size=self.size))
            self.vnfs = list(made)
        while len(self.vnfs) < length:
            index = self.rig.turn()
            vnf = self._make(f"vnf{index}", "forward", (f"v{index}w", f"v{index}e"))
            self.vnfs.insert(len(self.vnfs) - 1 if inside else len(self.vnfs), vnf)
            made.append(vnf)
        self._add({port: self.plug(port) for vnf in made for port in dict.fromkeys(vnf.links)})
        for vnf in made:
            vnf.start()
        for vnf in made:
            vnf.expect("ready", 30)
        self.place()
        self._rules()

    def _make(self, name, mode, ports, **options):
        vnf = self.rig.traffic(f"{self.name}-{name}", mode, [self.device(p, n) for n, p in enumerate(ports)],
                               (VNF_CPU,), memory_mb=VNF_MB, rxd=RXD, txd=RXD, queues=self.queues, flows=self.queues,
                               **options)
        vnf.links = ports[0], ports[-1]
        return vnf

    def place(self):
        """Puts every VNF on its CPU: the one that the switch leaves, or, where the switch
        needs none, the first half of the chain on one and the rest on the other."""
        for index, vnf in enumerate(self.vnfs):
            cpu = SWITCH_CPU if self.spread and index >= (len(self.vnfs) + 1) // 2 else VNF_CPU
            for thread in vnf.thread_cpu():
                os.sched_setaffinity(thread, {cpu})

    def hops(self):
        """[(port, port)] of the links, from west to east."""
        sides = [vnf.links for vnf in self.vnfs]
        if self.scenario == "outside":
            sides = [("nic0", "nic0"), *sides, ("nic1", "nic1")]
        return [(one[1], two[0]) for one, two in zip(sides, sides[1:])]

    def _rules(self):
        rules = []
        for west, east in self.hops():
            for src, dst in ((west, east), (east, west)):
                rules.append(f"in_port={self._ofports[src]},actions=output:{self._ofports[dst]}")
        # One transaction, so that a link that stays is not taken down in between.
        self.ovs.ofctl("--bundle", "replace-flows", BRIDGE, "-", stdin="".join(rule + "\n" for rule in rules))

    @contextmanager
    def sleepy(self):
        """Lets the switch's thread sleep when it has nothing to do, while this holds."""
        self.ovs.set_other_config(**{**SLEEP, **self.other_config})
        yield
        self.ovs.set_other_config(**{"pmd-maxsleep": 0, **self.other_config})

    # -- measuring ----------------------------------------------------------

    @property
    def sources(self):
        return [self.outside] if self.outside else [self.vnfs[0], self.vnfs[-1]]

    def run_traffic(self, rate=0, settle_s=0.15):
        """Has all sources send, 'rate' packets a second each way (0: what goes)."""
        for source in self.sources:
            source.control(f"rate {int(rate)}")
            source.control("start")
        reset(*self.sources)
        wait_until(lambda: all(report(s)["received"] > 0 for s in self.sources), 20, f"{self.name}: packets",
                   lambda: str(self.ovs.port_stats(BRIDGE)) if self.ovs else "", self.vnfs)
        self.settled()
        self.rig.hurry(self.processes())
        time.sleep(settle_s)

    def settled(self):
        """Returns when packets take the path that is measured."""

    def halt_traffic(self):
        """Has the sources stop, and all run at their usual priority again."""
        self.quiet()
        self.rig.hurry(self.processes(), False)

    def quiet(self):
        """Has the sources stop; returns when nothing is under way."""
        for source in self.sources:
            source.control("stop")
        before = None
        while before != (now := self.received()):
            before = now
            time.sleep(0.02)

    def received(self):
        return sum(report(source)["received"] for source in self.sources)

    def processes(self):
        switch = [self.ovs.vswitchd, self.ovs.ovsdb] if self.ovs else []
        return [*self.vnfs, *filter(None, [self.outside]), *switch]

    def measure(self, seconds):
        """One run with the traffic that is on: rates, latency, use of the cores."""
        before = self._cycles()  # It starts a program: not while packets are counted.
        reset(*self.sources)
        pmd_cpu, vnf_cpu = self.rig.watch(seconds, self.processes(), self._probe)
        reports = [report(source) for source in self.sources]
        busy, idle = (new - old for new, old in zip(self._cycles(), before))
        mpps = sum(each["received"] / each["duration_s"] for each in reports) / 1e6
        latency = [each["latency_us"] for each in reports if each["latency_us"]["samples"]]
        found = {"mpps": mpps, "busy": busy / (busy + idle) if busy + idle else 0.0, "pmd_cpu": pmd_cpu, "vnf_cpu": vnf_cpu,
                 "cpu_us_per_packet": (pmd_cpu + vnf_cpu) / max(mpps, 1e-6)}
        for key, name in (("p50", "p50"), ("p99", "p99"), ("max", "worst")):
            found[name] = sum(each[key] for each in latency) / max(1, len(latency))
        return found

    def _cycles(self):
        """Cycles that the switch's core worked, and idled."""
        stats = self.ovs.pmd_stats()[SWITCH_CPU]
        return stats.get("processing cycles", 0), stats.get("idle cycles", 0)

    def _probe(self):
        """Seconds of CPU time of the switch's thread, and of the VNFs."""
        return cpu_time(self.ovs.vswitchd, "pmd-"), sum(cpu_time(vnf) for vnf in self.vnfs)

    def loss(self, rate, seconds):
        """Packets lost at 'rate' each way for 'seconds', and packets a second that were carried, both ways
        together.  All are at their priority before the first packet and until the last has arrived; what a
        source sent a second is taken over the time in which it did send."""
        self.rig.hurry(self.processes())
        reset(*self.sources)
        for source in self.sources:
            report(source)  # Its counters are zero now, before anybody sends.
        for source in self.sources:
            source.control(f"rate {int(rate)}")
            source.control("start")
        self.rig.watch(seconds, self.processes())
        self.quiet()
        reports = [report(source) for source in self.sources]
        lost = sum(each["sent"] for each in reports) - sum(each["received"] for each in reports)
        return lost, sum(each["tx_mpps"] for each in reports) * 1e6

    def command_lines(self):
        lines = {"ovs other_config": [f"{key}={value}" for key, value in self.ovs.other_config.items()]}
        if self.vnfs:
            lines |= {"first": self.vnfs[0].argv, "forwarder": self.vnfs[len(self.vnfs) // 2].argv}
        return lines


class Highway(Chain):
    """Every link bypasses the switch, whose thread sleeps: its core is the VNFs' too.  highwayd proves the links."""

    name = "highway"
    hw_offload = True
    bypass = True
    proved = True
    other_config = SLEEP
    agent = None

    def start(self):
        self.domain = f"c{self.rig.turn()}"
        self.spread = self.bypass and self.scenario == "inside"
        super().start()
        if self.proved:
            self.agent = Highwayd(self.rig.lab, self.ovs, self.rig.build / "agent/highwayd", f"highwayd{self.turn}",
                                  cpus=str(VNF_CPU)).start()
            self.agent.wait_synced(BRIDGE)
        return self

    def stop(self):
        if self.agent:
            self.agent.stop()
        super().stop()

    def processes(self):
        return [*super().processes(), *filter(None, [self.agent])]

    def command_lines(self):
        return {**super().command_lines(), **({"highwayd": self.agent.argv} if self.agent else {})}

    def plug(self, port):
        return "dpdk", {"dpdk-devargs": self._devargs(port, self.rig.turn(), role="host")}

    def device(self, port, number):
        return self._devargs(port, number)

    def _devargs(self, port, number, **more):
        return self.rig.devargs(number, self.domain, port, size="64M", ring=RXD, **more)

    def is_open(self, src, dst):
        """Is the link open, and with highwayd for all packets, by its proof?"""
        with Region(self.rig.regions / self.domain) as region:
            keys = region.routed(src).get(dst, ())
            return region.links().get((src, dst)) == "open" and (ALL in keys if self.agent else bool(keys))

    def _open(self):
        """Are all links but those of the switch's own ports open?"""
        hops = [hop for hop in self.hops() if not any(port.startswith("nic") for port in hop)]
        return all(self.is_open(*pair) for west, east in hops for pair in ((west, east), (east, west)))

    def settled(self):
        wait_until(self._open, 20, f"{self.name}: the links to open", self.ovs.log, self.processes())


class HighwayNormal(Highway):
    """The same ports, the switch in between: bypass=off for the domain."""

    name = "highway-normal"
    bypass = proved = False
    other_config = {}

    def grow(self, length):
        super().grow(length)
        run([self.rig.build / "cli/highwayctl", "--dir", self.rig.regions, "set", "domain", self.domain, "bypass=off"])

    def settled(self):
        wait_until(lambda: not self._any_open(), 20, "no link to be open", self.ovs.log, self.processes())

    def _any_open(self):
        with Region(self.rig.regions / self.domain) as region:
            return any(state == "open" for state in region.links().values())


class VhostUser(Chain):
    """What people run today: the switch's vhost-user port, virtio_user in the VNF."""

    name = "ovs-vhost"
    huge_only = True

    def _socket(self, port):
        return self.rig.lab.rundir / f"{port}-{self.turn}.vhost"

    def plug(self, port):
        return "dpdkvhostuserclient", {"vhost-server-path": self._socket(port)}

    def device(self, port, number):
        return f"net_virtio_user{number},path={self._socket(port)},server=1,queues=1,queue_size={RXD}"


class MemifSwitched(Chain):
    """The switch's ports are memif servers, the VNFs zero-copy clients.  Two queues:
    see Chain._start_outside()."""

    name = "ovs-memif"
    huge_only = True
    queues = 2

    def _socket(self, port):
        return self.rig.lab.rundir / f"{port}-{self.turn}.memif"

    def plug(self, port):
        return "dpdk", {"dpdk-devargs": _memif(self.rig.turn(), "server", self._socket(port)),
                        "n_rxq": self.queues}

    def device(self, port, number):
        return _memif(number, "client", self._socket(port))


def _memif(number, role, socket):
    zero_copy = ",zero-copy=yes" if role == "client" else ""
    return f"net_memif{number},role={role},socket={socket},socket-abstract=no,rsize=10,bsize=2048{zero_copy}"


def _end(process):
    if not process.pid:
        return  # Never started.
    try:
        if process.alive:
            process.control("quit")
        process.wait(5)
    except (ProcessDied, TimeoutError):
        process.kill9()


VARIANTS = (Highway, HighwayNormal, VhostUser, MemifSwitched)
