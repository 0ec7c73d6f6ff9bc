# SPDX-License-Identifier: BSD-3-Clause
"""The demo: a chain of unmodified VNFs whose packets leave stock Open vSwitch by themselves.

    python3 demo/demo.py [--build DIR] [--seed N]

Needs root and Debian's Open vSwitch and DPDK; touches nothing of the system's own Open
vSwitch.  Takes less than two minutes.  Exit status: 0 if every promise was kept, 1 if
not, 77 if it cannot run here.  Logs and report.json are left in DIR/demo.
"""

import argparse
import os
import random
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import report as reporting  # noqa: E402
import untouched  # noqa: E402
from chain import Chain  # noqa: E402
from phases import Phases, Source  # noqa: E402
from realtraffic import RealTraffic  # noqa: E402
from screen import Monitor  # noqa: E402
from stage import put_on  # noqa: E402

REFUSALS = (r"rte_flow creation failed", r"\|WARN\|[^|]*Failed flow")
"""Open vSwitch's warnings when the driver refuses a flow that is not point-to-point."""


def arguments():
    parser = argparse.ArgumentParser(description="a chain of VNFs leaves Open vSwitch by itself, and comes back")
    parser.add_argument("--build", type=Path, default=Path(os.environ.get("HIGHWAY_BUILD", ROOT / "build")),
                        help="build folder (default: HIGHWAY_BUILD, else build)")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32),
                        help="of the order in which links change (default: a new one each time)")
    return parser.parse_args()


def main():
    options = arguments()
    build = options.build.absolute()
    traffic = build / "traffic/highway-traffic"
    for path in (build / "pmd/librte_net_highway.so", traffic, build / "agent/highwayd", build / "cli/highwayctl"):
        if not path.exists():
            print(f"demo: {path} is missing: build first, or name the build folder with --build", file=sys.stderr)
            return 77
    if os.geteuid() != 0:
        print("demo: needs root (network namespaces, huge pages)", file=sys.stderr)
        return 77
    if len(os.sched_getaffinity(0)) < 2:
        print("demo: needs two CPUs", file=sys.stderr)
        return 77
    return put_on("demo", build / "demo", lambda lab, screen: run(lab, screen, build, traffic, options.seed))


def run(lab, screen, build, traffic, seed):
    """The whole story; returns the report."""
    where = reporting.machine()
    screen.heading("Highway: packets between VNFs leave stock Open vSwitch by themselves")
    screen.line("[a] --- VNF1 --- VNF2 --- VNF3 --- VNF4 --- [b]   every '---' leads through the switch, both ways")
    chain = Chain(lab, build, screen.event)
    packages = untouched.Packages()
    evidence = untouched.show(screen, chain, packages)
    source = Source(chain, traffic)
    monitor = Monitor(chain, screen)
    phases = Phases(chain, screen, monitor, source, seed)
    ledger = reporting.Ledger(chain)
    monitor.start()
    lab.add(monitor)
    phases.by_the_switch()
    phases.leaves()
    phases.one_link()
    phases.storm()
    monitor.note = list
    ledger.add_generator(source.end())

    real = RealTraffic(chain, screen, seed)
    replayed = real.replay()
    http = real.http()
    monitor.stop()
    for port, counts in real.close().items():
        ledger.add(port, *counts)
    counters = ledger.compare()

    total = {key: phases.totals[key] for key in
             ("sent", "received", "lost", "duplicated", "reordered", "corrupted")}
    total |= {key: counters[key] for key in ("flow_packets", "flow_bytes", "port_packets", "port_bytes")}
    total |= {"sender_packets": counters["sender_packets"], "sender_bytes": counters["sender_bytes"],
              "switchovers": chain.switchovers(), "http_ok": http["ok"], "pcap_ok": replayed["ok"]}
    report = {"versions": reporting.versions(chain, packages), "machine": where, "setup": reporting.setup(chain),
              "seed": seed, "phases": phases.results, "total": total, "counters": counters, "pcap": replayed,
              "http": http, "untouched": evidence, "explained": phases.explained,
              "switch_warnings": chain.ovs.log_warnings(REFUSALS), "table_error": str(monitor.error or "")}
    kept = reporting.promises(report)
    report["promises"] = [{"promise": sentence, "kept": good} for sentence, good in kept]
    report["ok"] = all(good for _, good in kept)
    reporting.write(lab.folder / "report.json", report)
    reporting.summary(screen, report, kept)
    screen.line()
    screen.line(f"seed {seed}; report: {lab.folder / 'report.json'}")
    return report


if __name__ == "__main__":
    sys.exit(main())
