# SPDX-License-Identifier: BSD-3-Clause
"""What the demo promises, whether it was kept, and the report."""

import json
import os
import platform
import re
import time
from pathlib import Path

from chain import NICE, PINNING, RING, VNFS
from lab import DEADLINE, run, wait_until
from phases import SIZE

SWITCHOVERS = 40
RATIO = 2.0


class Ledger:
    """What every port's guest sent, as the guests themselves count it."""

    def __init__(self, chain):
        self.chain = chain
        self.ends = {"a": [0, 0], "b": [0, 0]}

    def add(self, port, packets, size):
        """Adds what a guest that sat at the chain's end 'port' has sent."""
        self.ends[port][0] += packets
        self.ends[port][1] += size

    def add_generator(self, result):
        """Adds the per-port counters of highway-traffic's final report."""
        for port, counters in zip(("a", "b"), result["per_port"]):
            self.add(port, counters["opackets"], counters["obytes"])

    def sent(self):
        """{link: (packets, bytes)}."""
        found = {port: tuple(counts) for port, counts in self.ends.items()}
        for vnf, ports in zip(self.chain.vnfs, self.chain.sides[1:]):
            for index, port in enumerate(ports):
                stats = vnf.port_stats(index)
                found[port] = stats["TX-packets"], stats["TX-bytes"]
        return {link: found[link[0]] for link in self.chain.links}

    def compare(self):
        """Waits until the switch has read the counters of its flows; then, per link and
        in total, what the senders and the OpenFlow rules and ports counted."""
        chain, sent = self.chain, self.sent()
        try:
            chain.controller.wait_removed()
            wait_until(lambda: self._flows() == sent and self._ports() == sent, DEADLINE, "equal counters")
        except TimeoutError:
            pass  # The figures tell.
        flows, ports = self._flows(), self._ports()

        def total(counts, index):
            return sum(pair[index] for pair in counts.values())

        return {
            "sender_packets": total(sent, 0), "sender_bytes": total(sent, 1),
            "flow_packets": total(flows, 0), "flow_bytes": total(flows, 1),
            "port_packets": total(ports, 0), "port_bytes": total(ports, 1),
            "links": [{"from": link[0], "to": link[1], "sent": sent[link], "flow": flows[link], "port": ports[link],
                       "told": chain.region.told(link[0])}
                      for link in chain.links],
        }

    def _flows(self):
        return self.chain.controller.counted()

    def _ports(self):
        stats = self.chain.ovs.port_stats("br0")
        return {link: (stats[self.chain.ofport[link[0]]]["rx_pkts"], stats[self.chain.ofport[link[0]]]["rx_bytes"])
                for link in self.chain.links}


def versions(chain, packages):
    """What ran here."""
    said = run([Path(f"/proc/{chain.ovs.vswitchd.pid}/exe").resolve(), "--version"])
    return {"openvswitch": (re.search(r"\) ([\d.]+\S*)", said) or ["", ""])[1],
            "dpdk": (re.search(r"DPDK ([\d.]+\S*)", said) or ["", ""])[1],
            "kernel": platform.release(), "python": platform.python_version(), "packages": packages.versions}


def machine():
    """Where it ran."""
    model = next((line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.machine())
    return {"cpu": model, "cpus": os.cpu_count(), "load_at_start": round(os.getloadavg()[0], 2)}


def setup(chain):
    """How it ran."""
    return {"pinning": PINNING, "cores": 2, "nice": NICE, "vnfs": VNFS, "links": len(chain.links), "ring": RING,
            "huge_pages": bool(chain.huge), "frame_bytes": SIZE, "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "mpps": "peak, received at both ends together, the better of two", "switch_busy": "during the peak",
            "sent": "between moments with nothing under way, at latency_at_mpps; peaks are not counted for loss"}


def ratio(report):
    """Throughput by the bypass over that by the switch."""
    mpps = {each["name"]: each["mpps"] for each in report["phases"]}
    return mpps["bypass"] / max(mpps["switch"], 1e-9)


def promises(report):
    """[(sentence, kept)]."""
    total = report["total"]
    return [
        (f"bypass at least {RATIO:g} times the switch's throughput at equal total cores: {ratio(report):.1f} times",
         ratio(report) >= RATIO),
        (f"nothing lost, duplicated, reordered or corrupted of {total['sent']:,} numbered packets",
         total["sent"] > 0 and total["received"] == total["sent"]
         and not any(total[key] for key in ("lost", "duplicated", "reordered", "corrupted"))),
        (f"at least {SWITCHOVERS} switch-overs: {total['switchovers']}", total["switchovers"] >= SWITCHOVERS),
        (f"OpenFlow flow packets equal to what the senders counted, on each of {len(report['counters']['links'])} "
         f"links: {total['flow_packets']:,}",
         all(link["sent"] == link["flow"] for link in report["counters"]["links"])),
        (f"so are OpenFlow port packets: {total['port_packets']:,}",
         all(link["sent"] == link["port"] for link in report["counters"]["links"])),
        (f"pcap replay byte by byte the same: {report['pcap']['frames']:,} frames, "
         f"{report['pcap']['switchovers']} switch-overs meanwhile", report["pcap"]["ok"]),
        (f"HTTP: checksum right in {report['http']['downloads']} downloads, "
         f"{report['http']['switchovers']} switch-overs meanwhile", total["http_ok"]),
        ("highwayctl explain named the rule that broke a link",
         all(word in report["explained"] for word in ("does not bypass", "priority=200", "cookie=0x3"))),
        ("Open vSwitch, DPDK and testpmd are the distribution's, untouched", report["untouched"]["ok"]),
    ]


def write(path, report):
    """Writes the report, whole or not at all."""
    path = Path(path)
    new = path.with_suffix(".new")
    new.write_text(json.dumps(report, indent=2) + "\n")
    new.replace(path)


def summary(screen, report, kept):
    """The closing lines."""
    phase = {each["name"]: each for each in report["phases"]}
    switch, bypass = phase["switch"], phase["bypass"]
    screen.heading("Summary")
    screen.line(f"chain of {VNFS} VNFs (Debian's dpdk-testpmd), {SIZE}-byte frames both ways, two cores in total")
    for path, pinning in PINNING.items():
        screen.line(f"  by the {path}: {pinning}")
    screen.line()
    screen.line(screen.paint("bold", f"{'':34} {'by the switch':>16} {'by the bypass':>16} {'better by':>10}"))
    rate = f"{switch['latency_at_mpps']:.3g} Mpps"
    left, right = switch["latency_us"], bypass["latency_us"]
    rows = [("throughput, both ways (Mpps)", switch["mpps"], bypass["mpps"], ratio(report), 2),
            (f"latency p50 at {rate} (us)", left["p50"], right["p50"], left["p50"] / right["p50"], 0),
            (f"latency p99 at {rate} (us)", left["p99"], right["p99"], left["p99"] / right["p99"], 0),
            ("switch core busy at the peak (%)", 100 * switch["switch_busy"], 100 * bypass["switch_busy"], None, 0)]
    for text, by_switch, by_bypass, better, digits in rows:
        screen.line(f"{text:34} {by_switch:>16.{digits}f} {by_bypass:>16.{digits}f} "
                    + (f"{better:>8.1f} x" if better is not None else ""))
    for text, key in (("  the same pinning", "mpps_pinned_as_before"), ("  traffic source on the freed core",
                                                                       "mpps_freed_core_used")):
        screen.line(screen.paint("dim", f"{text:34} {'':16} {bypass[key]:>16.2f} "
                                        f"{bypass[key] / max(switch['mpps'], 1e-9):>8.1f} x"))
    others = [each for each in report["phases"] if each["name"] not in ("switch", "bypass")]
    for each in others:
        latency = each["latency_us"]
        screen.line(screen.paint("dim", f"  {each['title']}: {each['mpps']:.2f} Mpps, p50 {latency['p50']:.0f} us, "
                                        f"p99 {latency['p99']:.0f} us, core {100 * each['switch_busy']:.0f} % busy"))
    screen.line()
    for sentence, good in kept:
        screen.line(f"{screen.paint('green', 'yes') if good else screen.paint('red', 'NO ')}  {sentence}")
