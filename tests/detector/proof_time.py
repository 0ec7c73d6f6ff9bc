#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""From a flow-mod to the proof, or its withdrawal, in the region, as the number of rules grows.

    sudo tests/detector/proof_time.py --build build [--json build/bench/detector.json]

A private Open vSwitch with two Highway ports and highwayd; no traffic.  The switch's PMD thread
polls on CPU 1 all the while, which is what one does; all else has CPU 0.  With --json, adds
`proof_ms` and `withdraw_ms` to the file that tests/unit/test_detector_scale.c wrote, one row
for each number of rules: null, with the reason beside it, where it was not measured.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from lab import HugePages, Lab, LabError, Ovs, run, wait_until  # noqa: E402
from lab.highwayd import Highwayd  # noqa: E402

SIZES = (100, 1000, 10000, 100000)
TIMES = 300
SLOW = "that many rules take Open vSwitch and highwayd more than a minute to take in"
NARROW = "table=1,priority=61000,metadata=1,tcp,tp_dst=80"


def background(number):
    """Rule 'number' of a big table, as in test_detector_scale.c: none is above those that decide."""
    table, priority, port, mac = number & 1, number % 50000, 1 + number // 4 % 16, f"{number:012x}"
    mac = ":".join(mac[i:i + 2] for i in range(0, 12, 2))
    address = ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))
    match = (f"in_port={port},dl_dst={mac}", f"metadata={1000 + number}", f"ip,nw_dst={address}",
             f"metadata={1 + number // 4 % 16},dl_src={mac}")[number & 3]
    return f"table={table},priority={priority},{match},actions=output:3"


class Rig:
    """The switch with its ports, and highwayd."""

    def __init__(self, lab, build, regions):
        self.build, self.regions = build, regions
        self.ovs = Ovs(lab, plugin=build / "pmd/librte_net_highway.so", huge=HugePages(lab, 160), memory_mb=256)
        self.ovs.add_bridge("br0")
        for number in (1, 2):
            self.ovs.add_highway_port("br0", f"p{number}", f"net_highway{number},domain=clock,port=p{number},role=host,"
                                      f"dir={regions}", number)
        # Each change is a withdrawal or a proof of its own here, not flapping.
        self.ovs.set_other_config(highway_debounce_ms=0)
        for number in (1, 2):
            self.ovs.add_flow("br0", f"priority=60000,in_port={number},actions=write_metadata:{number},goto_table:1")
            self.ovs.add_flow("br0", f"table=1,priority=60000,metadata={number},actions=output:{3 - number}")
        self.highwayd = Highwayd(lab, self.ovs, build / "agent/highwayd").start()
        self.highwayd.wait_synced("br0")
        self.rules = 0

    def grow(self, rules, deadline_s=90):
        """Adds rules until there are so many in the background, and waits until all know them."""
        lines = "\n".join(background(number) for number in range(self.rules, rules)) + "\n"
        self.ovs.ofctl("add-flows", "br0", "-", version="OpenFlow15", stdin=lines, deadline_s=deadline_s)
        self.rules = rules
        wait_until(lambda: self.highwayd.bridges()["br0"]["rules"] == rules + 4, deadline_s, f"{rules} rules to be known",
                   lambda: self.highwayd.appctl("bridges"), [self.highwayd])
        wait_until(lambda: self.highwayd.explain("p1")["rules"]["published"], deadline_s, "the proof",
                   lambda: self.highwayd.appctl("explain", "p1"), [self.highwayd])

    def measure(self, times):
        """{"proof_ms", "withdraw_ms"} by p50 and p99."""
        said = run([self.build / "bench/rule-clock", f"unix:{self.ovs.run}/br0.mgmt", self.regions / "clock", "p1", "p2"], 120,
                   stdin=f"withdrawal add {NARROW},actions=drop\nproof delete {NARROW}\n" * times)
        found = [json.loads(line)["proof"] / 1000 for line in said.splitlines()]
        if len(found) != 2 * times:
            raise LabError(f"rule-clock printed {len(found)} lines, not {2 * times}:\n{said[-500:]}")
        return {"withdraw_ms": percentiles(found[::2]), "proof_ms": percentiles(found[1::2])}


def percentiles(values):
    values = sorted(values)
    return {"p50": round(values[len(values) // 2], 3), "p99": round(values[len(values) * 99 // 100], 3)}


def measure_all(lab, build, regions, sizes, times):
    """{rules: figures}, each printed as it comes."""
    rig, found = Rig(lab, build, regions), {}
    print(f"{'rules':>10} {'proof, ms':>19} {'withdrawal, ms':>19}\n{'':10} " + f"{'p50':>9} {'p99':>9} " * 2)
    for rules in sizes:
        started = time.monotonic()
        try:
            rig.grow(rules)
        except TimeoutError:  # A slow machine: what is smaller has its figures.
            print(f"{rules:>10} not measured: {SLOW}")
            break
        took = time.monotonic() - started
        found[rules] = rig.measure(times)
        cells = [found[rules][name][p] for name in ("proof_ms", "withdraw_ms") for p in ("p50", "p99")]
        print(f"{rules:>10} " + " ".join(f"{cell:>9.3f}" for cell in cells) + f"   ({took:.0f} s to add the rules)",
              flush=True)
    return found


def add_to(path, found):
    """Adds the figures to the rows of the JSON file."""
    rows = json.loads(path.read_text())
    for row in (row for row in rows if "rules" in row):
        row |= found.get(row["rules"], {"proof_ms": None, "withdraw_ms": None, "why_null": SLOW})
    path.write_text("[\n " + ",\n ".join(map(json.dumps, rows)) + "\n]\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=ROOT / "build")
    parser.add_argument("--json", type=Path, help="file to add the figures to")
    parser.add_argument("--max-rules", type=int, default=max(SIZES), help="the largest table (default: %(default)s)")
    parser.add_argument("--times", type=int, default=TIMES, help="flow-mods each way for each table (default: %(default)s)")
    args = parser.parse_args()
    build = args.build.resolve()
    if os.geteuid() != 0 or (os.cpu_count() or 1) < 2:
        print("skip  proof_time: needs root and two CPUs")
        return 0
    with tempfile.TemporaryDirectory(prefix="highway-clock-", dir="/dev/shm") as regions, Lab(build / "proof_time") as lab:
        try:
            found = measure_all(lab, build, Path(regions), [size for size in SIZES if size <= args.max_rules], args.times)
        except (LabError, TimeoutError) as error:
            print(f"FAIL  proof_time: {error}")
            return 1
    if args.json:
        add_to(args.json, found)
    print("ok    proof_time: from flow-mod to proof and to withdrawal")
    return 0


if __name__ == "__main__":
    sys.exit(main())
