#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The benchmark in its shortest form: runs end to end, and its JSON has every variant.
Nothing here looks at how fast anything is."""

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench import chains  # noqa: E402

DIRECT = {"highway", "highway-driver", "memif-zc", "memif-copy", "vhost", "vhost-out", "net-ring", "ring-floor"}
WITHOUT_HUGE = {"highway", "highway-driver", "memif-copy", "ring-floor"}
RATIOS = {"direct64_vs_memif_zc", "direct64_vs_net_ring", "direct1518_vs_best_isolating", "chain8_vs_vhost",
          "chain8_vs_normal", "latency8_p50_vs_vhost", "latency8_p99_vs_vhost", "switch_busy_open",
          "setup_ms_p50_saturated", "setup_ms_p50_free_core"}


def checks(found, folder):
    """(what, is it so) one after the other."""
    figures, huge = found["figures"], found["about"]["machine"]["huge_pages"]

    def variants(figure):
        return {row["variant"] for row in figures.get(figure, [])}
    chained = {each.name for each in chains.VARIANTS if huge or not each.huge_only}
    yield "the direct link has every variant", variants("direct") == (DIRECT if huge else WITHOUT_HUGE)
    for figure in ("throughput", "latency", "cores", "ndr"):
        yield f"{figure} has every variant", variants(figure) == chained
    kinds = {(row["variant"], row["kind"], row["cores"]) for row in figures.get("setup", [])}
    yield "set-up and way back, with and without highwayd, saturated and with a free core", len(kinds) == 12
    yield "set-up has its parts", all("p99" in row["setup_ms"] and row["parts"] for row in figures.get("setup", []))
    yield "steps and growth are there", bool(figures.get("steps")) and bool(figures.get("growth"))
    cost = {row["case"]: row["instructions"]["median"] for row in figures.get("steps", [])
            if row["step"] == "send" and "instructions" in row}  # Cycles of one run say nothing.
    yield ("a packet of a proven link takes fewer instructions to send",
           not cost or cost["64 B, inline, by a proof"] < cost["64 B, inline"])
    yield "results.json has the agreed ratios", set(found["ratios"]) == RATIOS
    rows = figures.get("throughput", []) + figures.get("direct", [])
    published = (folder / "report.md").read_text() + (folder / "results.json").read_text()
    yield "nothing that is published has a path of this machine", not re.search(r"/(root|home|tmp|dev|usr|var|run)/", published)
    yield "something was carried in every variant", all(row["mpps"] > 0 for row in rows)
    plots = {path.stem for path in folder.glob("*.svg")} & {path.stem for path in folder.glob("*.png")}
    yield "plots as SVG and PNG", len(plots) >= 8
    yield "report.md names every plot", all(f"{name}.svg" in (folder / "report.md").read_text() for name in plots)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, default=ROOT / "build")
    build = parser.parse_args().build.resolve()
    if os.geteuid() != 0 or (os.cpu_count() or 1) < 2:
        print("skip  the shortest benchmark: needs root and two CPUs")
        return 0
    done = subprocess.run([sys.executable, ROOT / "bench/bench.py", "--build", build, "--fresh"], cwd=ROOT,
                          env={**os.environ, "BENCH": "smoke"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        print(f"FAIL  the shortest benchmark: {' '.join(done.stdout.split())[-600:]}")
        return 1
    print("ok    the shortest benchmark runs to its end")
    folder = build / "bench/smoke"
    failed = 0
    for what, so in checks(json.loads((folder / "results.json").read_text()), folder):
        failed += not so
        print(f"{'ok  ' if so else 'FAIL'}  {what}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
