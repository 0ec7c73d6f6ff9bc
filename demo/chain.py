# SPDX-License-Identifier: BSD-3-Clause
"""The demo's chain: a stock switch with ten Highway ports, highwayd, four unmodified testpmd.

    [a] --- [v1w VNF1 v1e] --- [v2w VNF2 v2e] --- ... --- [v4w VNF4 v4e] --- [b]

Every '---' leads through the switch: a hop, of two directed links with one OpenFlow
rule each.  At a and b sits whatever makes traffic: see phases.py and realtraffic.py.

Two CPUs in all.  The switch's PMD thread has CPU 1, the VNFs and the ends of the chain
share CPU 0.  Where every link bypasses the switch, peak throughput is measured with
the source of the traffic on CPU 1 too, which is idle then.
"""

import os
import shutil
import time
from pathlib import Path

from controller import BREAK, Controller
from lab import DEADLINE, HugePages, LabError, Ovs, Process, Testpmd, run, wait_until
from lab.highwayd import Highwayd
from links import Region

VNFS = 4
BRIDGE = "br0"
DOMAIN = "demo"
RING = 4096
SWITCH_CPU, VNF_CPU = 1, 0
NICE = -10
PAUSE_S = 0.2
MIRROR = "mirror"
"""The port to which a rule that breaks a link sends a second copy (net_null)."""

PINNING = {
    "switch": f"PMD thread alone on CPU {SWITCH_CPU}; VNFs and traffic source on CPU {VNF_CPU}",
    "bypass": f"the same, and the peak also with the traffic source on CPU {SWITCH_CPU}, which the switch left idle",
}
_OVS_MB, _VNF_MB, _ENDS_MB, _REGION_MB = 512, 64, 256, 64


class Chain:
    """Switch, highwayd, controller, ports and VNFs; running when the constructor returns.

    'links': all directed links (X, Y); 'hops': the eastward ones; 'ofport': OpenFlow
    port numbers by name; 'apps': programs that are or were guests, for the counters.
    """

    def __init__(self, lab, build, say=lambda text: None):
        self.lab = lab
        self.plugin = build / "pmd/librte_net_highway.so"
        self.highwayctl = build / "cli/highwayctl"
        self.huge = HugePages(lab, (_OVS_MB + _VNF_MB * VNFS + _ENDS_MB + _REGION_MB) // 2 + 32)
        self.dir = lab.add(RegionDir(self.huge)).path
        # From west to east: what leaves sides[i][1] arrives at sides[i + 1][0].
        self.sides = [("", "a"), *((f"v{n}w", f"v{n}e") for n in range(1, VNFS + 1)), ("b", "")]
        self.hops = [(one[1], two[0]) for one, two in zip(self.sides, self.sides[1:])]
        self.links = [link for west, east in self.hops for link in ((west, east), (east, west))]
        self.names = [name for side in self.sides for name in side if name]
        self.ofport = {name: number for number, name in enumerate([*self.names, MIRROR], 1)}
        say("starting Open vSwitch: Debian's ovs-vswitchd, with the plug-in by dpdk-extra=-d")
        self.ovs = Ovs(lab, plugin=self.plugin, cpus=str(VNF_CPU), pmd_cpus=str(SWITCH_CPU), huge=self.huge,
                       memory_mb=_OVS_MB)
        prefer(self.ovs.vswitchd)
        self._add_ports()
        say("starting highwayd: it proves links from the rules, and explains")
        self.highwayd = Highwayd(lab, self.ovs, build / "agent/highwayd").start()
        prefer(self.highwayd)
        self.highwayd.wait_synced(BRIDGE)
        self.controller = Controller(self)
        self.region = lab.add(Region(self.dir / DOMAIN))
        self.vnfs = [self.testpmd(f"vnf{n}", [self.device(port, i) for i, port in enumerate(self.sides[n])])
                     for n in range(1, VNFS + 1)]
        say(f"starting {VNFS} VNFs: Debian's dpdk-testpmd, forwarding between two ports each")
        self.start_all(self.vnfs)

    def _add_ports(self):
        words = ["add-br", BRIDGE, "--", "set", "Bridge", BRIDGE, "datapath_type=netdev", "fail_mode=secure"]
        for name in self.names:
            words += self._port_words(name, self._devargs(name, "host"))
        words += self._port_words(MIRROR, "net_null0,no-rx=1")
        self.ovs.vsctl(*words, deadline_s=2 * DEADLINE)
        for name, number in self.ofport.items():
            row = wait_until(lambda n=name: self._settled(n), DEADLINE, f"port {name}", self.ovs.log)
            if row["error"] or row["ofport"] != number:
                raise LabError(f"port {name}: {row['error'] or row['ofport']}")

    def _port_words(self, name, devargs):
        return ["--", "add-port", BRIDGE, name, "--", "set", "Interface", name, "type=dpdk",
                f"ofport_request={self.ofport[name]}", f'options:dpdk-devargs="{devargs}"']

    def _settled(self, name):
        row = self.ovs.interface(name)
        return row if row.get("ofport") is not None or row.get("error") else None

    def _devargs(self, port, role, number=None):
        number = self.ofport[port] if number is None else number
        return (f"net_highway{number},domain={DOMAIN},port={port},role={role},dir={self.dir},"
                f"size={_REGION_MB}M,ring={RING}")

    def device(self, port, number):
        """Devargs of the guest end of a port: it gives its core away when idle."""
        return self._devargs(port, "guest", number) + ",idle=yield"

    def testpmd(self, name, vdevs, **options):
        """A testpmd on the VNFs' CPU, not started yet."""
        return Testpmd(self.lab, name, vdevs, plugin=self.plugin, huge=self.huge, cpus=(VNF_CPU, VNF_CPU),
                       memory_mb=_VNF_MB, mbufs=8192, **options)

    @staticmethod
    def start_all(programs):
        """Starts several testpmd at once, and lets them forward.  One that finds its
        peer's ring full tries again a few times before it drops."""
        for program in programs:
            Process.start(program)
        for program in programs:
            program.expect(r"testpmd> ", 2 * DEADLINE)
            program.command("set fwd io retry")
            program.command("set burst tx delay 0 retry 8")
        for program in programs:
            program.start_forwarding()
            prefer(program)

    def link_name(self, link):
        """'v1e -> v2w' for people."""
        return f"{link[0]:>3} → {link[1]:<3}"

    def sample(self):
        """All links as the region shows them: see links.Sample."""
        return self.region.sample(self.links)

    def switchovers(self):
        """How often links changed their path so far."""
        return self.region.switchovers(self.links)

    def wait_open(self, links, is_open=True, deadline_s=DEADLINE):
        """Waits until all of 'links' bypass the switch (or none of them does)."""
        wait_until(lambda: all(self.sample().open[link] == is_open for link in links), deadline_s,
                   f"{', '.join(map(self.link_name, links))} to {'leave' if is_open else 'go back to'} the switch",
                   self.ovs.log, [self.ovs.vswitchd, *self.vnfs])

    def back_to_switch(self, links):
        """Breaks 'links' by new rules; returns when they go by the switch."""
        self.controller.add(BREAK, links)
        self._changed(links, False)

    def back_to_bypass(self, links):
        """Deletes those rules; returns when the links have left the switch again."""
        self.controller.delete(BREAK, links)
        self._changed(links, True)

    def explain(self, port, bypasses):
        """What `highwayctl explain` says of a port, once highwayd has seen that it bypasses
        the switch, or does not."""
        wait_until(lambda: (self.highwayd.explain(port)["bypass"] == "proof") == bypasses, DEADLINE,
                   f"highwayd to explain {port}", lambda: self.highwayd.appctl("explain", port), [self.highwayd])
        return run([self.highwayctl, "--agent", self.highwayd.ctl, "explain", port])

    def _changed(self, links, is_open):
        """Waits for a change of rules, and until Open vSwitch has made its datapath follow, and
        a little longer for its offload threads: highwayd changes a link's path long before that.
        Open vSwitch 3.1 miscounts an offloaded flow's packets if its counters are read just
        while netdev_offload_dpdk_flow_put() modifies it, as the next change would do."""
        self.wait_open(links, is_open)
        self.ovs.appctl("revalidator/wait")
        time.sleep(PAUSE_S)

    def switch_cycles(self):
        """(busy, idle) cycles of the switch's core so far."""
        stats = self.ovs.pmd_stats()[SWITCH_CPU]
        return stats["processing cycles"], stats["idle cycles"]


def prefer(program):
    """Takes what is usual for pollers as far as that is possible without a core of
    their own: a priority above that of whatever else runs on the machine."""
    for thread in program.thread_cpu():
        os.setpriority(os.PRIO_PROCESS, thread, NICE)


def busy_share(before, after):
    """Share of its cycles that the switch's core worked between two switch_cycles()."""
    busy, idle = after[0] - before[0], after[1] - before[1]
    return min(max(busy / (busy + idle), 0.0), 1.0) if busy + idle > 0 else 0.0


class RegionDir:
    """A private folder for the region: in the lab's hugetlbfs, else in /dev/shm."""

    name = "region folder"

    def __init__(self, huge):
        if huge:
            self.path = Path(huge.dir) / "regions"
        else:
            for old in Path("/dev/shm").glob("highway-demo-*"):
                if not Path("/proc", old.name.rpartition("-")[2]).exists():
                    shutil.rmtree(old, ignore_errors=True)  # Left by one that was killed.
            self.path = Path(f"/dev/shm/highway-demo-{os.getpid()}")
        self.path.mkdir(mode=0o700)

    def stop(self):
        """Removes it."""
        shutil.rmtree(self.path, ignore_errors=True)
