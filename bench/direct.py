#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The direct link against its peers: one sender, one receiver, two cores.

All variants are measured in one run, interleaved, by the same tool: highway-traffic
sends on one core and receives on the other, each in a process of its own.  Prints a
table with median and spread, and writes direct.json.

  highway      a link opened by a transfer flow; a third process is the host end
  memif-zc     DPDK's memif, zero-copy client
  memif-copy   DPDK's memif
"""

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from lab import HugePages, Lab, LabError, Testpmd, Traffic, wait_until  # noqa: E402

LINK_FLOW = ("flow create 0 transfer pattern eth type is 0x0800 / ipv4 fragment_offset spec 0 "
             "fragment_offset mask 0x3fff / end actions count / port_id id 1 / end")


class Bench:
    """What the variants share: programs, cores, length of a run."""

    def __init__(self, lab, args, huge):
        self.lab = lab
        self.huge = huge
        self.build = Path(args.build).resolve()
        self.plugin = self.build / "pmd/librte_net_highway.so"
        self.binary = self.build / "traffic/highway-traffic"
        self.seconds = args.seconds
        self.turn = 0
        folder = huge.dir if huge else "/dev/shm"
        self.region = Path(tempfile.mkdtemp(prefix="highway-bench-", dir=folder))

    def devargs(self, number, port, role="guest", **more):
        words = {"domain": "bench", "port": port, "role": role, "dir": self.region, **more}
        return f"net_highway{number}," + ",".join(f"{key}={value}" for key, value in words.items())

    def traffic(self, name, mode, vdevs, cpu, **options):
        self.turn += 1
        quiet = {"interval": 0, "payload_check": "off", "timestamps": "off", **options}
        return Traffic(self.lab, f"{name}-{self.turn}", mode, vdevs, plugin=self.plugin, huge=self.huge, cpus=(cpu,),
                       memory_mb=256, binary=self.binary, **quiet)

    def pair(self, name, sender, receiver, size, listening=None, ready=None):
        """Mpps received, and cycles per packet of both sides, while one process sends
        and another receives.  'listening': a file that the receiver makes first;
        'ready': called with both running, returns when the path is what is measured."""
        sink = self.traffic(f"{name}-sink", "sink", [receiver], 0)
        source = self.traffic(f"{name}-gen", "gen", [sender], 1, size=size)
        sink.start()
        if listening:
            wait_until(listening.exists, 20, f"{name} to listen", sink, [sink])
        source.start()
        source.expect("ready", 20)
        source.control("start")
        if ready:
            ready([source, sink])
        for process in (sink, source):
            process.skip()
            process.control("reset")
        time.sleep(self.seconds)  # this is the measurement
        reports = []
        for process in (sink, source):
            process.control("report")
            reports.append(json.loads(process.expect(r"\{\"versions.*\}", 20).group(0)))
        for process in (source, sink):
            process.quit(30)
        if reports[0]["rx_mpps"] == 0:
            raise LabError(f"{name}: nothing was received")
        return {"mpps": reports[0]["rx_mpps"], "rx_cycles": reports[0]["cycles_per_packet"]["rx"],
                "tx_cycles": reports[1]["cycles_per_packet"]["tx"]}


class Highway:
    name = "highway"

    def __init__(self, bench):
        self.bench = bench
        self.host = Testpmd(bench.lab, "host", [bench.devargs(0, "a", "host", idle="yield"),
                                                bench.devargs(1, "b", "host", idle="yield")],
                            plugin=bench.plugin, huge=bench.huge, cpus=(0, 0), memory_mb=128, mbufs=4096,
                            extra=["--no-lsc-interrupt"]).start()
        self.host.command(LINK_FLOW)

    def run(self, size):
        """The host end polls until the link has opened and is out of the way then."""
        bench = self.bench
        before = self.host.xstats(0)["rx_bypass_packets"]
        self.host.start_forwarding()

        def opened(processes):
            wait_until(lambda: self.host.xstats(0)["rx_bypass_packets"] > before, 20, "the link to open", self.host,
                       processes)
            self.host.stop_forwarding()
        return bench.pair("highway", bench.devargs(0, "a"), bench.devargs(0, "b"), size, ready=opened)


class Memif:
    def __init__(self, bench, zero_copy):
        self.bench = bench
        self.zero_copy = zero_copy
        self.name = "memif-zc" if zero_copy else "memif-copy"

    def run(self, size):
        socket = self.bench.lab.rundir / f"{self.name}.sock"
        common = f"socket={socket},socket-abstract=no,rsize=10,bsize=2048"
        return self.bench.pair(self.name, f"net_memif0,role=client,{common}" + (",zero-copy=yes" if self.zero_copy else ""),
                               f"net_memif0,role=server,{common}", size, socket)


def variants(bench, names):
    made = []
    if "highway" in names:
        made.append(Highway(bench))
    for name, zero_copy in (("memif-zc", True), ("memif-copy", False)):
        if name in names and (bench.huge or not zero_copy):
            made.append(Memif(bench, zero_copy))
    return made


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=ROOT / "build", help="build folder (default: build)")
    parser.add_argument("--sizes", default="64", help="packet sizes, comma separated (default: 64)")
    parser.add_argument("--runs", type=int, default=10, help="runs of each variant (default: 10)")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a run (default: 1)")
    parser.add_argument("--variants", default="highway,memif-zc,memif-copy")
    parser.add_argument("--no-realtime", action="store_true", help="do not run at real-time priority (SCHED_RR)")
    args = parser.parse_args()
    if not args.no_realtime:  # whatever else runs here must not take the two cores away
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(10))
    out = Path(args.build) / "bench"
    figures = {}
    with Lab(out / "direct") as lab:
        bench = Bench(lab, args, HugePages(lab, 1024))
        try:
            made = variants(bench, args.variants.split(","))
            for size in (int(word) for word in args.sizes.split(",")):
                for _ in range(args.runs):
                    for variant in made:
                        run = variant.run(size)
                        figures.setdefault(size, {}).setdefault(variant.name, []).append(run["mpps"])
                        print(f"{size:5} B  {variant.name:12} {run['mpps']:7.2f} Mpps   cycles per packet: "
                              f"send {run['tx_cycles']:5.1f}, receive {run['rx_cycles']:5.1f}", flush=True)
        finally:
            shutil.rmtree(bench.region, ignore_errors=True)
    report = {}
    print(f"\n{'bytes':>5}  {'variant':12} {'median':>8} {'min':>8} {'max':>8}  Mpps, {args.runs} runs, huge pages: "
          f"{'yes' if bench.huge else 'no'}")
    for size, by_name in figures.items():
        for name, values in by_name.items():
            row = {"median": statistics.median(values), "min": min(values), "max": max(values), "runs": values}
            report.setdefault(str(size), {})[name] = row
            print(f"{size:5}  {name:12} {row['median']:8.2f} {row['min']:8.2f} {row['max']:8.2f}")
        if "highway" in by_name and "memif-zc" in by_name:
            ratio = statistics.median(by_name["highway"]) / statistics.median(by_name["memif-zc"])
            report[str(size)]["highway_vs_memif_zc"] = ratio
            print(f"{size:5}  highway / memif-zc = {ratio:.2f}")
    out.mkdir(parents=True, exist_ok=True)
    (out / "direct.json").write_text(json.dumps(report, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    os.umask(0o077)
    sys.exit(main())
