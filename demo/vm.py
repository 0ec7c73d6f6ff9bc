# SPDX-License-Identifier: BSD-3-Clause
"""The demo with virtual machines: links that are plugged into running ones.

    python3 demo/vm.py [--build DIR] [--cycles N]

    [source] --- [VM 1: Debian's testpmd] --- [VM 2: sink]     each '---' leads through the switch

The source is a process in a network namespace of its own, in place of a container; the
machines are QEMUs under emulation with Debian's kernel.  All ports are isolated: no two VNFs
share memory, until a rule makes a link point-to-point and highwayd plugs a link region into
both of its ends.

Needs root, Debian's Open vSwitch, DPDK and QEMU.  Exit status: 0 if every promise was kept,
1 if not, 77 if it cannot run here.  Logs and report.json are left in DIR/demo-vm.
"""

import argparse
import json
import os
import shutil
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import report as reporting  # noqa: E402
from chain import RegionDir, prefer  # noqa: E402
from lab import DEADLINE, Netns, Ovs, Traffic, wait_until  # noqa: E402
from lab.highwayd import Highwayd  # noqa: E402
from lab.vm import GuestImage, Vm  # noqa: E402
from stage import put_on  # noqa: E402

BRIDGE = "br0"
PORTS = ("src", "vm1w", "vm1e", "vm2")
HOPS = (("src", "vm1w"), ("vm1e", "vm2"))
STEPS = ("detected", "region made", "plugged", "seen", "mapped", "opened", "first packet")
CAUSES = {"detected": "the flow-mod was understood, and proves the link", "region made": "the memory of the link is there",
          "plugged": "QEMU has it as a device, in both machines", "seen": "both guests' drivers have found it",
          "mapped": "and mapped it", "opened": "the link may be used", "first packet": "and is"}
UUID = "dddd0000-1111-2222-3333-%012d"
RATE = 2000
LIMIT_MS = {"hotplug": 100.0, "spare": 5.0}
APART_S = 1.2
"""Between two changes of a rule: sooner, highwayd takes it for flapping, and waits."""
PATIENCE = 60


class Rig:
    """Switch, highwayd, machines and traffic; running when the constructor returns."""

    def __init__(self, lab, build, screen):
        self.lab, self.screen = lab, screen
        image = GuestImage(build)
        self.dir = lab.add(RegionDir(None)).path
        monitors = lab.rundir / "monitors"
        monitors.mkdir()
        plugin = build / "pmd/librte_net_highway.so"
        screen.event("starting Open vSwitch (Debian's) and highwayd")
        self.ovs = Ovs(lab, plugin=plugin, cpus="0", pmd_cpus="1", memory_mb=512,
                       extra_other_config={"pmd-maxsleep": "500", "highway-qmp-dir": monitors})
        self.ovs.add_bridge(BRIDGE)
        words = []
        for number, name in enumerate(PORTS, 1):
            words += ["--", "add-port", BRIDGE, name, "--", "set", "Interface", name, "type=dpdk",
                      f"ofport_request={number}",
                      f'options:dpdk-devargs="net_highway{number},port={name},role=host,dir={self.dir}"']
        for name, number in (("vm1w", 1), ("vm1e", 1), ("vm2", 2)):
            words += ["--", "set", "Interface", name, f"external_ids:vm-uuid={UUID % number}"]
        self.ovs.vsctl(*words[1:], deadline_s=2 * DEADLINE)
        self.highwayd = Highwayd(lab, self.ovs, build / "agent/highwayd").start()
        self.highwayd.wait_synced(BRIDGE)
        wait_until(lambda: all((self.dir / f"@{name}").exists() for name in PORTS), DEADLINE, "the ports' regions",
                   self.ovs.log)
        screen.event("booting two virtual machines: q35, Debian's kernel, two processors each")
        began = time.monotonic()
        self.vms = [Vm(lab, f"vm{n}", image, [self.dir / f"@{name}" for name in names], spare_slots=4, vcpus=2,
                       args=["-name", f"vm{n}", "-uuid", UUID % n, "-qmp",
                             f"unix:{monitors}/vm{n}.sock,server=on,wait=off"])
                    for n, names in ((1, PORTS[1:3]), (2, PORTS[3:]))]
        for vm in self.vms:
            vm.start()
        screen.event(f"both are up after {time.monotonic() - began:.1f} s")
        for program in (self.ovs.vswitchd, self.highwayd, *self.vms):
            prefer(program)
        self._start_traffic(build, plugin)

    def _start_traffic(self, build, plugin):
        def allow(vm):
            return [f"{address},idle=sleep" for address in vm.devices()]

        for number, hop in enumerate(HOPS):
            self.steer(number, hop)
        self.sink = self.vms[1].traffic("sink", allow=allow(self.vms[1]), idle="sleep").start()
        self.screen.event("VM 2: a sink that looks at each packet's number")
        self.pmd = self.vms[0].testpmd(allow=allow(self.vms[0])).start()
        self.pmd.start_forwarding()
        self.screen.event("VM 1: Debian's dpdk-testpmd, given nothing but the plug-in, forwards")
        self.source = Traffic(self.lab, "source", "gen", [f"net_highway0,port=src,dir={self.dir},idle=sleep"],
                              plugin=plugin, binary=build / "traffic/highway-traffic", netns=Netns(self.lab, "source"),
                              cpus=(0, 0), memory_mb=64, idle="sleep", rate=RATE, size="64-1500", hold=True,
                              timestamps="off", mbufs=4096, link_wait=PATIENCE).start()
        self.source.expect("ready", PATIENCE)
        self.screen.event("source: numbered packets of 64 to 1500 bytes, from a process in a network namespace of its "
                          "own, which stands for a container")
        prefer(self.source)
        self.source.control("start")

    # -- rules --------------------------------------------------------------

    def steer(self, number, hop):
        """A rule that looks into the packet: it proves nothing."""
        self.ovs.add_flow(BRIDGE, f"priority=10,in_port={hop[0]},udp,actions=output:{hop[1]}")

    def join(self, hop):
        """A point-to-point rule; returns the event of its first packet by the link."""
        log = self.highwayd.logfile
        before = log.stat().st_size
        self.ovs.add_flow(BRIDGE, f"priority=100,in_port={hop[0]},actions=output:{hop[1]}")
        # Its log, and not its socket: a process for each question would be run meanwhile.
        self.wait(lambda: f"the first packet from {hop[0]} to {hop[1]} ".encode() in log.read_bytes()[before:],
                  f"a packet by the link from {hop[0]} to {hop[1]}")
        return self.firsts(hop)[-1]

    def part(self, hop):
        self.ovs.del_flows(BRIDGE, f"priority=100,in_port={hop[0]}", True)

    def firsts(self, hop):
        return [e for e in self.highwayd.events("first-packet") if (e["port"], e["peer"]) == hop]

    # -- what is there ------------------------------------------------------

    def wait(self, condition, what):
        return wait_until(condition, PATIENCE, what,
                          lambda: self.highwayd.appctl("machines") + self.highwayd.appctl("events"),
                          [*self.vms, self.highwayd, self.ovs.vswitchd])

    def plugged(self):
        """How many devices highwayd has plugged into each machine, or is about to."""
        known = {m["name"]: m["plugged"] for m in self.highwayd.ask("machines")["machines"]}
        return [known.get(vm.name) for vm in self.vms]

    def delivered(self):
        """Packets that VM 2 was given, in all and by the link that there is."""
        link = self.highwayd.links().get(HOPS[1])
        return self.ovs.port_stats(BRIDGE, len(PORTS))["tx_pkts"], link["packets"] if link else 0

    def held(self):
        """What links take: link regions, memory backends, file descriptors."""
        backends = [o["name"] for vm in self.vms for o in vm.qmp("qom-list", path="/objects")
                    if o["name"].startswith("hwy-")]
        return {"regions": len(list(self.dir.glob("+*"))), "backends": len(backends),
                **{f"fds of {p.name}": p.fds() for p in (*self.vms, self.highwayd, self.ovs.vswitchd)}}

    def end(self):
        """The traffic ends; returns the sink's report, with what was sent."""
        self.source.quit()
        sent = self.source.result()["sent"]
        try:
            wait_until(lambda: self.delivered()[0] >= sent, 10, "all packets to arrive")
        except TimeoutError:
            pass  # The figures tell.
        return {**self.sink.quit(), "sent": sent}


def timeline(screen, event):
    """The parts of one set-up, as bars."""
    at = 0.0
    total = event["took_us"] / 1e3
    for step in STEPS:
        if step in event["parts_us"]:
            took = event["parts_us"][step] / 1e3
            before, width = round(40 * at / total), max(1, round(40 * took / total))
            at += took
            screen.line(f"    {at:7.1f} ms  {step:13} {took:7.1f} ms  "
                        f"{' ' * before + '#' * min(width, 40 - min(before, 39)):41} {CAUSES[step]}")


def quantiles(values):
    ordered = sorted(values)
    return {"p50": round(ordered[len(ordered) // 2], 2),
            "p99": round(ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))], 2), "n": len(ordered)}


def cycles(rig, screen, name, number, ready):
    """Sets the link between the machines up and takes it down; returns the events."""
    found = []
    for _ in range(number):
        rig.wait(lambda: rig.plugged() == ready, "the machines to be ready")
        time.sleep(APART_S)
        found.append(rig.join(HOPS[1]))
        rig.part(HOPS[1])
    rig.wait(lambda: rig.plugged() == ready, "the devices to be taken out")
    times = quantiles([event["took_us"] / 1e3 for event in found])
    screen.event(f"{number} times: p50 {times['p50']:.1f} ms, p99 {times['p99']:.1f} ms "
                 f"({name}; from the flow-mod to the first packet by the link)")
    return found


def run(lab, screen, build, number):
    """The whole story; returns the report."""
    screen.heading("Highway: memory that is plugged into running virtual machines")
    screen.line("[source] --- [VM 1: testpmd] --- [VM 2: sink]     every '---' leads through the switch")
    where = reporting.machine()
    rig = Rig(lab, build, screen)

    screen.heading("1. By the switch")
    rig.wait(lambda: rig.delivered()[0] > RATE, "packets by the switch")
    screen.event(f"rules that look into the packets: the switch has delivered {rig.delivered()[0]:,} packets to VM 2")

    screen.heading("2. Point-to-point rules: a link is plugged in")
    for hop in HOPS:
        event = rig.join(hop)
        screen.event(f"flow-mod in_port={hop[0]},actions=output:{hop[1]}: {event['took_us'] / 1e3:.1f} ms later the "
                     "first packet took the link")
        timeline(screen, event)
    shown = event
    rig.wait(lambda: rig.delivered()[1] > RATE, "packets by the link")
    mark = rig.delivered()
    time.sleep(1.0)
    now = rig.delivered()
    screen.event(f"since then {now[1] - mark[1]:,} packets by the link, of {now[0] - mark[0]:,} in all")

    screen.heading("3. A rule breaks the links")
    for hop in HOPS:
        rig.ovs.add_flow(BRIDGE, f"priority=200,cookie=0x3,in_port={hop[0]},udp,actions=output:{hop[1]}")
    rig.wait(lambda: rig.plugged() == [0, 0], "the devices to be taken out")
    explained = rig.highwayd.appctl("explain", "vm1e")
    for line in explained.splitlines():
        screen.line(" " * 10 + line)
    for hop in HOPS:
        rig.part(hop)
        rig.ovs.del_flows(BRIDGE, f"priority=200,in_port={hop[0]},udp", True)
    screen.event("drained, unmapped, unplugged: the packets go by the switch again")
    rig.wait(lambda: not list(rig.dir.glob("+*")), "the link regions to be removed")
    before = rig.held()  # with the ledger, which highwayd has opened for the first link
    allowed = {key: value + key.startswith("fds") for key, value in before.items()}

    screen.heading("4. Again and again, every packet numbered")
    hot = cycles(rig, screen, "hot-plugged", number, [0, 0])
    screen.event("ovs-vsctl set Open_vSwitch . other_config:highway-spare-links=1: one is plugged in beforehand")
    rig.ovs.set_other_config(highway_spare_links=1)
    spare = cycles(rig, screen, "on a spare device", number, [1, 1])
    rig.ovs.set_other_config(highway_spare_links=0)
    rig.wait(lambda: rig.plugged() == [0, 0], "the spare devices to be taken out")
    try:
        wait_until(lambda: all(rig.held()[key] <= allowed[key] for key in allowed), 15, "what was held to be given back")
    except TimeoutError:
        pass  # The figures tell.
    after = rig.held()
    leaked = {key: [before[key], after[key]] for key in before if after[key] > allowed[key]}

    final = rig.end()
    result = {
        "machine": where, "accelerator": "tcg", "rate": RATE,
        "setup_ms": {"hotplug": quantiles([e["took_us"] / 1e3 for e in hot]),
                     "spare": quantiles([e["took_us"] / 1e3 for e in spare])},
        "parts": {name: {step: quantiles([e["parts_us"][step] / 1e3 for e in events])
                         for step in STEPS if all(step in e["parts_us"] for e in events)}
                  for name, events in (("hotplug", hot), ("spare", spare))},
        "shown_parts_us": shown["parts_us"],
        "setups": {name: [e["parts_us"] for e in events] for name, events in (("hotplug", hot), ("spare", spare))},
        "sent": final["sent"], "received": final["received"], "lost": max(final["lost"], final["sent"] - final["received"]),
        **{key: final[key] for key in ("duplicated", "reordered", "corrupted")},
        "cycles": len(hot) + len(spare), "leaked": leaked, "explained": explained}
    kept = promises(result)
    result["promises"] = [{"promise": sentence, "kept": good} for sentence, good in kept]
    result["ok"] = all(good for _, good in kept)
    reporting.write(lab.folder / "report.json", result)
    screen.heading("Summary")
    for name, title in (("hotplug", "hot-plugged"), ("spare", "on a spare device")):
        parts = ", ".join(f"{step} {value['p50']:.1f}" for step, value in result["parts"][name].items())
        screen.line(f"{title:18} p50 {result['setup_ms'][name]['p50']:6.1f} ms, p99 {result['setup_ms'][name]['p99']:6.1f} ms"
                    f"   medians: {parts}")
    screen.line()
    for sentence, good in kept:
        screen.line(f"{screen.paint('green', 'yes') if good else screen.paint('red', 'NO ')}  {sentence}")
    screen.line()
    screen.line(f"report: {lab.folder / 'report.json'}")
    return result


def promises(result):
    """[(sentence, kept)]."""
    found = []
    for name, title in (("hotplug", "a link is hot-plugged into two machines"), ("spare", "with a spare device it is there")):
        times = result["setup_ms"][name]
        found.append((f"{title} within {LIMIT_MS[name]:g} ms (p50), from the flow-mod to its first packet: "
                      f"{times['p50']:.1f} ms", times["p50"] < LIMIT_MS[name]))
    wrong = {key: result[key] for key in ("lost", "duplicated", "reordered", "corrupted")}
    return [*found,
            ("the time line has all its parts: " + ", ".join(STEPS), all(step in result["shown_parts_us"] for step in STEPS)),
            (f"nothing lost, duplicated, reordered or corrupted of {result['sent']:,} numbered packets"
             + (f": {json.dumps(wrong)}" if any(wrong.values()) else ""),
             result["sent"] > 0 and result["received"] == result["sent"] and not any(wrong.values())),
            (f"nothing left of {result['cycles']} links: no region, memory backend or file descriptor"
             + (f": {json.dumps(result['leaked'])}" if result["leaked"] else ""), not result["leaked"]),
            ("highwayctl explain named the rule that broke a link", "cookie=0x3" in result["explained"])]


def main():
    parser = argparse.ArgumentParser(description="links are plugged into running virtual machines, and taken out")
    parser.add_argument("--build", type=Path, default=Path(os.environ.get("HIGHWAY_BUILD", ROOT / "build")),
                        help="build folder (default: HIGHWAY_BUILD, else build)")
    parser.add_argument("--cycles", type=int, default=10, help="set-ups of each kind that are measured (default: 10)")
    options = parser.parse_args()
    build = options.build.absolute()
    for program in ("qemu-system-x86_64", "cpio", "busybox"):
        if not shutil.which(program):
            print(f"demo-vm: {program} is missing: see setup/packages", file=sys.stderr)
            return 77
    if os.geteuid() != 0:
        print("demo-vm: needs root (network namespaces, QEMU's memory files)", file=sys.stderr)
        return 77
    return put_on("demo-vm", build / "demo-vm", lambda lab, screen: run(lab, screen, build, max(1, options.cycles)))


if __name__ == "__main__":
    sys.exit(main())
